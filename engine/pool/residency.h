// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Residency: how pages come into frames and leave them.
//
// A frame's life, and who may change what:
//
//   empty ──claim──► loading (latched exclusively) ──publish──► resident ──evict or drop──► empty
//                        └───────────────fail──────────────────────────────────────────────►┘
//
// Translation changes under a chain's spin lock, the queues under the policy's; where both are needed the policy's
// comes first. Neither is held across I/O or a wait. A page is linked before it is read, so that all who want it
// meanwhile find the frame and wait for its latch: one read.
//
// Eviction takes a frame by compare-exchange from the state word 0: no latch, no pin, no waiter, not dirty, not being
// written. It happens under the chain's lock, so that a search under that lock never meets a frame that is leaving.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/error.h"
#include "engine/pool/frame_table.h"
#include "engine/pool/replacement.h"
#include "engine/scheduler.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace pagedb::detail {

/// See the head of this file. Thread-safe.
class Residency {
 public:
  explicit Residency(FrameTable& table) noexcept : table_(table) {}

  /// All frames empty. Errors: out_of_memory.
  [[nodiscard]] Result<void> make() noexcept { return policy_.make(table_); }
  /// Bytes that it takes in memory.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return sizeof *this + policy_.memory_bytes(); }

  /// The frame that holds `id`, or kNoFrame; under the chain's lock, so that a miss is one.
  [[nodiscard]] std::uint32_t find(PageId id) noexcept;

  /// What looking for an empty frame found.
  struct Sweep {
    std::uint32_t frame = kNoFrame;    ///< an empty frame, the caller's alone; or none, and then:
    std::size_t dirty = 0;             ///< frames in `dirty_frames` that nobody holds, but that are dirty
    std::uint32_t writing = kNoFrame;  ///< a frame that is being written
  };
  /// An empty frame: a free one, or that of a clean page that nobody holds. Looks at every frame before it gives up.
  /// Puts dirty frames that it passes by into `dirty_frames`, as many as there is room for.
  [[nodiscard]] Sweep sweep(std::span<std::uint32_t> dirty_frames) noexcept;
  /// An empty frame goes back.
  void give_back(std::uint32_t frame) noexcept;

  /// Puts `id` into `frame`, an empty one of the caller's, which is then latched exclusively and loading. False: the
  /// page is in memory already; the frame stays the caller's.
  [[nodiscard]] bool claim(std::uint32_t frame, PageId id) noexcept;
  /// How a loading frame is held afterwards: `changing` is exclusive, with a version that stays odd until unlatched.
  enum class Hold : std::uint8_t { nothing, shared, exclusive, changing };
  /// The page of a loading frame is there: whoever waits for it may have it.
  void publish(std::uint32_t frame, Hold hold) noexcept;
  /// The page of a loading frame could not be had: the frame is empty and free again, and who waits gets `error`.
  void fail(std::uint32_t frame, const PageError& error) noexcept;
  /// The page in `frame`, which the caller has latched exclusively and nobody is writing, leaves, dirty or not.
  void drop(std::uint32_t frame) noexcept;

  /// Frames that will be evicted soon and are dirty, to be cleaned.
  [[nodiscard]] std::size_t dirty_soon(std::span<std::uint32_t> into) noexcept;

  /// Pages evicted so far.
  [[nodiscard]] std::uint64_t evictions() const noexcept { return evictions_.load(std::memory_order_relaxed); }
  /// Pages in memory.
  [[nodiscard]] std::uint32_t resident() noexcept;

 private:
  static constexpr std::size_t kChainLocks = 256;

  [[nodiscard]] sync::SpinLock& chain_lock(std::uint32_t bucket) noexcept { return chain_locks_[bucket % kChainLocks]; }
  [[nodiscard]] bool evict(std::uint32_t frame, PageId& id) noexcept;
  [[nodiscard]] std::uint32_t find_in(std::uint32_t bucket, PageId id) noexcept;
  /// Takes `frame` out of its chain and leaves it without a page. Under the chain's lock.
  void unlink(std::uint32_t bucket, std::uint32_t frame) noexcept;

  FrameTable& table_;
  std::array<sync::SpinLock, kChainLocks> chain_locks_{};
  sync::SpinLock policy_lock_;
  Replacement policy_;
  sync::Atomic<std::uint64_t> evictions_{0};
};

}  // namespace pagedb::detail
