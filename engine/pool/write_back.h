// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// WriteBack: how dirty pages reach the store.
//
//   latch shared ─► copy to staging ─► release ─► log barrier (highest LSN staged) ─► store, in page order ─► clean?
//
// A frame is marked kWriting while a copy of it is on its way: no second copy may be, lest they land in the wrong
// order, and the frame cannot be given to another page. It becomes clean only if its version is still that of the copy,
// which is looked at under a shared latch, where no change can come between.
//
// Staging is two lanes. Who has a lane never waits for a latch, or for another write: those who hold the latch may need
// a lane themselves. What cannot be staged at once is left, and waited for without a lane.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/aligned_buffer.h"
#include "engine/error.h"
#include "engine/internal/hand_out.h"
#include "engine/log.h"
#include "engine/page_store.h"
#include "engine/pool/frame_table.h"
#include "engine/pool/residency.h"
#include "engine/scheduler.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace pagedb::detail {

/// See the head of this file. Thread-safe.
class WriteBack {
 public:
  WriteBack(FrameTable& table, Residency& residency, PageStore& store, LogBarrier* log) noexcept
      : table_(table), residency_(residency), store_(store), log_(log), idle_lanes_(table.scheduler()) {}

  /// Staging for batches of `batch_pages`, fewer when pages are large. Errors: out_of_memory.
  [[nodiscard]] Result<void> make(std::uint32_t batch_pages) noexcept;
  /// Bytes that it takes in memory.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

  // As BufferPool.
  [[nodiscard]] Result<void> flush(PageId id) noexcept;
  [[nodiscard]] Result<void> flush_all() noexcept;
  [[nodiscard]] Result<void> sync() noexcept;

  /// Writes those of `frames` that are dirty and can be written now, a batch at most. Returns how many it wrote; an
  /// error when it wrote none because of it.
  [[nodiscard]] Result<std::uint32_t> clean(std::span<const std::uint32_t> frames) noexcept;

  /// Starts the task that cleans when asked to. Errors: out_of_memory.
  [[nodiscard]] Result<void> start_background() noexcept;
  /// Asks it to.
  void ask_background() noexcept;
  /// Ends it.
  void stop_background() noexcept;

  /// Whether the last write of `frame` is covered by no sync yet.
  [[nodiscard]] bool unsynced(std::uint32_t frame) const noexcept {
    return table_.info(frame).write_epoch.load(std::memory_order_relaxed) >
           synced_epoch_.load(std::memory_order_relaxed);
  }
  /// Takes note that everything written before `begun` (a value of `epoch_begins`) is durable.
  void synced(std::uint32_t begun) noexcept;
  /// A sync is about to begin.
  [[nodiscard]] std::uint32_t epoch_begins() noexcept { return epoch_.fetch_add(1, std::memory_order_acq_rel); }
  /// The highest LSN of any page written so far.
  [[nodiscard]] Lsn highest_lsn() const noexcept { return {highest_lsn_.load(std::memory_order_acquire)}; }
  /// For who finds all frames held, and wants to know whether that was the pool's own doing: whether no frame is
  /// latched for staging or finishing just now, and how many times that was so. Read `idle` first.
  [[nodiscard]] bool idle() const noexcept { return holding_.load(std::memory_order_acquire) == 0; }
  [[nodiscard]] std::uint64_t activity() const noexcept { return activity_.load(std::memory_order_acquire); }

  struct Counts {
    sync::Atomic<std::uint64_t> writes{0};
    sync::Atomic<std::uint64_t> failures{0};
    sync::Atomic<std::uint64_t> barriers{0};
  };
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

 private:
  enum class Outcome : std::uint8_t {
    clean,    // nothing to write: not dirty any more, or gone
    written,  // as it was when it was copied
    busy,     // held exclusively, or being written by somebody else
    failed,   // still dirty
  };
  struct Target {
    PageId id{};
    std::uint32_t frame = 0;
    Outcome outcome = Outcome::busy;
  };
  struct Staged {
    std::uint64_t version = 0;
    Target* target = nullptr;
  };
  struct Lane {
    AlignedBuffer memory;
    std::unique_ptr<PageIo[]> ios;
    std::unique_ptr<Staged[]> staged;
    std::unique_ptr<Target[]> targets;
    Lane* next_idle = nullptr;
  };
  struct Sweep;

  /// Writes those of `targets` (a batch at most, in page order) that can be staged now. The first error in page order.
  [[nodiscard]] Result<void> write(Lane& lane, std::span<Target> targets) noexcept;
  /// Copies a page into `to`. Outcome::written stands for: staged, of `version`.
  [[nodiscard]] Outcome stage(const Target& target, std::span<std::byte> to, std::uint64_t& version) noexcept;
  /// The copy of `frame` of `version` is written, or not.
  void finish(std::uint32_t frame, std::uint64_t version, bool written) noexcept;
  void no_longer_holding() noexcept;
  void clean_when_asked() noexcept;

  FrameTable& table_;
  Residency& residency_;
  PageStore& store_;
  LogBarrier* log_;
  std::uint32_t batch_ = 0;
  Lane lanes_[2];
  HandOut<Lane> idle_lanes_;

  sync::Atomic<std::uint32_t> epoch_{1};
  sync::Atomic<std::uint32_t> synced_epoch_{0};
  sync::Atomic<std::uint64_t> highest_lsn_{0};
  sync::Atomic<std::uint32_t> holding_{0};
  sync::Atomic<std::uint64_t> activity_{0};
  Counts counts_;

  TaskId background_{};
  std::unique_ptr<std::uint32_t[]> soon_;  // the background's: a batch of frames
  sync::Atomic<bool> asked_{false};
  sync::Atomic<bool> stop_{false};
};

}  // namespace pagedb::detail
