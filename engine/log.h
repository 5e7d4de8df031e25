// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the engine needs of a write-ahead log, and what recovery reads from it. The log itself is the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/error.h"
#include "engine/types.h"

namespace pagedb {

/// The write-ahead rule: the buffer pool writes no page before the log that explains it is durable.
///
/// Thread-safety: called by several tasks at once, each holding no latch and no lock. It may wait through the pool's
/// Scheduler. It must not call back into the pool, nor need anything that a task holds while *it* calls the pool (a
/// lock of the log across `fetch`, say): that task may be waiting for the very writes that wait here.
class LogBarrier {
 public:
  virtual ~LogBarrier() = default;

  /// Returns Ok once every log record up to and including `lsn` is durable. An error means that it may not be: the
  /// pages that needed it are not written, stay dirty, and the error goes to whoever wanted them written.
  [[nodiscard]] virtual Result<void> ensure_durable(Lsn lsn) noexcept = 0;
};

/// What a record of the log says.
enum class RedoKind : std::uint8_t {
  image,     ///< what a page holds from then on, whole
  change,    ///< a change of a page, in the caller's own terms
  allocate,  ///< the page is in use from then on
  free,      ///< the page is free from then on
};

/// One record, as recovery takes it.
struct RedoRecord {
  RedoKind kind{};                    ///< what it says
  PageId page{};                      ///< about which page
  Lsn lsn{};                          ///< the page's LSN from then on; of allocate and free, their own
  Lsn previous{};                     ///< the page's LSN before: how a lost write is told. 0: it was never written
  std::span<const std::byte> body{};  ///< image: the page, header included (its fields but the LSN are made anew);
                                      ///< change: whatever the caller's function understands
};

/// Where recovery reads the log.
///
/// A page's first change after the page was allocated is an image, and with torn protection `none` so is its first
/// change after a checkpoint began (engine/buffer_pool.h). Records that are not known to be durable must be made so
/// before they are given out: recovery writes pages that rely on them.
///
/// Thread-safety: called by one task at a time.
class RedoSource {
 public:
  virtual ~RedoSource() = default;

  /// The next record in the order of LSNs, or nothing at the log's end. Its body stays as it is until the next call,
  /// and is copied: whoever sees it later finds it at no particular alignment. An error ends the recovery, and is its
  /// result.
  [[nodiscard]] virtual Result<std::optional<RedoRecord>> next() noexcept = 0;
};

/// What allocate and free records are redone on. PageAllocator is one (engine/page_allocator.h).
class RedoAllocation {
 public:
  /// Page `id` is in use, whether it was or not.
  [[nodiscard]] virtual Result<void> redo_allocate(PageId id) noexcept = 0;
  /// Page `id` is free, whether it was or not.
  [[nodiscard]] virtual Result<void> redo_free(PageId id) noexcept = 0;

 protected:
  ~RedoAllocation() = default;
};

}  // namespace pagedb
