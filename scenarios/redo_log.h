// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The reference redo log: page images and checkpoints on a file of their own. A test stand-in for a real write-ahead
// log; the engine has none.
//
// A record is three blocks of 4 KiB: a head (magic, kind, position, page id, LSN, redo_from, CRC32C over head and
// image), a page image, and a gap, so that a cut read-modify-write of the next record's first physical sector damages
// nothing that is durable, however the partition is aligned. Records stand one after another; reading stops at the
// first that cannot be read, does not verify or is not where it says it is: the tail that a crash tore. Commits are in
// groups: one task writes and syncs everything appended so far, the others wait for it, so what is durable is always a
// prefix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/backend.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb::scenarios {

/// What a record is.
enum class RedoKind : std::uint32_t { image = 1, checkpoint = 2 };

/// One record, as it was read. `image` points into the reader's memory.
struct RedoRecord {
  RedoKind kind{};
  PageId page{};
  std::uint64_t lsn = 0;
  std::uint64_t redo_from = 0;
  std::span<const std::byte> image{};
};

class RedoLog {
 public:
  static constexpr std::size_t kImageBytes = 4096;

  /// Creates the log's file and makes its name durable; null when the disk says no.
  [[nodiscard]] static std::unique_ptr<RedoLog> create(Scheduler& scheduler, IoBackend& backend,
                                                       const std::string& path);

  /// Adds the image of a page (kImageBytes, with its LSN in the header). Returns the position to ask `ensure_durable`
  /// for.
  std::uint64_t append_image(PageId page, std::uint64_t lsn, std::span<const std::byte> image);
  /// Adds a checkpoint: recovery needs no record of an LSN below `redo_from`.
  std::uint64_t append_checkpoint(std::uint64_t redo_from);
  /// Returns once everything up to `position` is durable; false when the log failed, for good.
  [[nodiscard]] bool ensure_durable(std::uint64_t position);

 private:
  RedoLog(Scheduler& scheduler, std::unique_ptr<IoFile> file) : scheduler_(scheduler), file_(std::move(file)) {}
  std::uint64_t append(RedoKind kind, PageId page, std::uint64_t lsn, std::uint64_t redo_from,
                       std::span<const std::byte> image);
  bool write_out();

  Scheduler& scheduler_;
  std::unique_ptr<IoFile> file_;
  std::vector<std::byte> staged_;  // appended and not yet being written
  std::uint64_t appended_ = 0;     // bytes, ever
  std::uint64_t durable_ = 0;
  bool committing_ = false;
  bool failed_ = false;
  std::vector<TaskId> waiting_;
};

/// Reads a log's file: all records of its sound prefix, in order.
class RedoReader {
 public:
  /// False when the file exists and cannot be opened. A missing file is an empty log.
  [[nodiscard]] bool read(IoBackend& backend, const std::string& path);
  [[nodiscard]] std::span<const RedoRecord> records() const noexcept { return records_; }

 private:
  AlignedBuffer memory_;
  std::vector<RedoRecord> records_;
};

}  // namespace pagedb::scenarios
