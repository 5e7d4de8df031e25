// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Prefetcher: reads pages that somebody will want, in tasks of its own, at the device's depth.
//
// Wishes wait in a ring; what does not fit is not taken note of. A batch claims frames for the pages that are not in
// memory, reads them together and publishes each as it arrives. Two tasks do so in turn: while one claims frames, or
// waits for the last reads of its batch, the other keeps the device busy. They take clean frames only, and at most half
// of all together, so that they never stand in the way of a fetch for long.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/error.h"
#include "engine/page_store.h"
#include "engine/pool/frame_table.h"
#include "engine/pool/residency.h"
#include "engine/scheduler.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace pagedb::detail {

/// See the head of this file. Thread-safe.
class Prefetcher {
 public:
  Prefetcher(FrameTable& table, Residency& residency, PageStore& store) noexcept
      : table_(table), residency_(residency), store_(store) {}

  /// Starts the tasks. Errors: out_of_memory.
  [[nodiscard]] Result<void> start() noexcept;
  /// Ends them; what is in the ring is forgotten.
  void stop() noexcept;
  /// Takes note of as many of `ids` as there is room for. Returns how many.
  [[nodiscard]] std::size_t ask(std::span<const PageId> ids) noexcept;
  /// Bytes that it takes in memory.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

  /// Pages read so far, and reads that failed.
  [[nodiscard]] std::uint64_t reads() const noexcept { return reads_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }
  /// Grows whenever a batch begins and when it ends.
  [[nodiscard]] std::uint64_t activity() const noexcept { return activity_.load(std::memory_order_acquire); }
  /// Whether no batch is under way.
  [[nodiscard]] bool idle() const noexcept { return busy_.load(std::memory_order_acquire) == 0; }

 private:
  struct Reader {
    TaskId task{};
    std::unique_ptr<PageIo[]> ios;
    std::unique_ptr<std::uint32_t[]> frames;  // of ios
  };

  void run(Reader& reader) noexcept;
  /// The next id in the ring; false when it is empty.
  [[nodiscard]] bool next(PageId& id) noexcept;
  /// Reads a batch of what is in the ring; false when that is nothing.
  bool read_batch(Reader& reader) noexcept;

  FrameTable& table_;
  Residency& residency_;
  PageStore& store_;
  static constexpr std::size_t kReaders = 2;
  std::array<Reader, kReaders> readers_{};
  sync::Atomic<bool> stop_{false};

  sync::SpinLock lock_;  // of the ring
  std::unique_ptr<PageId[]> ring_;
  std::size_t ring_size_ = 0;
  std::size_t first_ = 0;
  std::size_t waiting_ = 0;

  std::size_t batch_ = 0;  // pages that one reader reads together
  sync::Atomic<std::uint64_t> reads_{0};
  sync::Atomic<std::uint64_t> failures_{0};
  sync::Atomic<std::uint64_t> activity_{0};
  sync::Atomic<std::uint32_t> busy_{0};
};

}  // namespace pagedb::detail
