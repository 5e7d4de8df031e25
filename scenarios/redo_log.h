// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The reference redo log: page images, deltas and checkpoints on a file of their own. A test stand-in for a real
// write-ahead log; the engine has none.
//
// A record is a head block of 4 KiB (magic, kind, position, page id, LSN, previous LSN, redo_from, the bytes of a
// delta, CRC32C over all that is said), for an image a block that holds the page, and a gap of a block, so that a cut
// read-modify-write of the next record's first physical sector damages nothing that is durable, however the partition
// is aligned. Records stand one after another; reading stops at the first that cannot be read, does not verify or is
// not where it says it is: the tail that a crash tore. Commits are in groups: one task writes and syncs, the others
// wait for it, so what is durable is always a prefix. A log that is cut is overwritten with zeros below the cut: a
// recovery that still needed something there finds nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/backend.h"
#include "engine/log.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb::scenarios {

/// What a record is.
enum class LogKind : std::uint32_t { image = 1, checkpoint = 2, delta = 3 };

/// One record, as it was read. `bytes` points into the reader's memory.
struct LogRecord {
  LogKind kind{};
  PageId page{};
  std::uint64_t lsn = 0;
  std::uint64_t previous = 0;          ///< the page's LSN before
  std::uint64_t redo_from = 0;         ///< checkpoint
  std::size_t offset = 0;              ///< delta: where in the page `bytes` go
  std::span<const std::byte> bytes{};  ///< image: a page; delta: what changed
};

class RedoLog final : public LogBarrier {
 public:
  static constexpr std::size_t kImageBytes = 4096;
  static constexpr std::size_t kDeltaBytesMax = 1024;

  /// Told whenever more of the log is durable: the newest LSN that is.
  using OnDurable = std::function<void(std::uint64_t)>;

  /// Creates the log's file and makes its name durable; null when the disk says no.
  [[nodiscard]] static std::unique_ptr<RedoLog> create(Scheduler& scheduler, IoBackend& backend,
                                                       const std::string& path, OnDurable on_durable = {});

  /// Adds the image of a page (kImageBytes; its LSN is set to `lsn`) whose LSN was `previous`. Returns the position to
  /// ask `commit` for. LSNs grow.
  std::uint64_t append_image(PageId page, std::uint64_t lsn, std::uint64_t previous, std::span<const std::byte> image);
  /// Adds a change of a page whose LSN is `previous`: `bytes` at `offset` of the page.
  std::uint64_t append_delta(PageId page, std::uint64_t lsn, std::uint64_t previous, std::size_t offset,
                             std::span<const std::byte> bytes);
  /// Adds a checkpoint: recovery needs no record of an LSN below `redo_from`.
  std::uint64_t append_checkpoint(std::uint64_t redo_from);
  /// Position behind everything appended.
  [[nodiscard]] std::uint64_t end() const noexcept { return appended_; }
  /// Returns once everything up to `position` is durable, with whatever else was appended; false when the log failed,
  /// for good.
  [[nodiscard]] bool commit(std::uint64_t position) { return commit(position, true); }
  /// Forgets the records of LSNs below `lsn`, by overwriting them. False when the disk says no.
  [[nodiscard]] bool cut(std::uint64_t lsn);

  // LogBarrier. Flushes no more than it is asked for.
  Result<void> ensure_durable(Lsn lsn) noexcept override;

 private:
  struct Place {
    std::uint64_t lsn, begin, end;
  };

  RedoLog(Scheduler& scheduler, std::unique_ptr<IoFile> file, OnDurable on_durable)
      : scheduler_(scheduler), file_(std::move(file)), on_durable_(std::move(on_durable)) {}
  std::uint64_t append(const LogRecord& record);
  bool commit(std::uint64_t position, bool whole_group);
  bool write_out(std::uint64_t end);

  Scheduler& scheduler_;
  std::unique_ptr<IoFile> file_;
  OnDurable on_durable_;
  std::vector<std::byte> staged_;  // appended and not yet being written
  std::deque<Place> places_;       // of the records with an LSN that are not cut
  std::uint64_t cut_ = 0;          // bytes that are overwritten, or being overwritten
  std::uint64_t appended_ = 0;     // bytes, ever
  std::uint64_t durable_ = 0;
  std::uint64_t durable_lsn_ = 0;
  bool committing_ = false;
  bool failed_ = false;
  std::vector<TaskId> waiting_;
};

/// Reads a log's file: all records of its sound prefix, in order.
class RedoReader {
 public:
  /// False when the file exists and cannot be opened. A missing file is an empty log. `first`: the log may have been
  /// cut below that LSN, and begins with its record; 0: it begins where the file does.
  [[nodiscard]] bool read(IoBackend& backend, const std::string& path, std::uint64_t first = 0);
  [[nodiscard]] std::span<const LogRecord> records() const noexcept { return records_; }

 private:
  AlignedBuffer memory_;
  std::vector<LogRecord> records_;
};

}  // namespace pagedb::scenarios
