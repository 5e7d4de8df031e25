// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Replacement: which frame a BufferPool gives up next. S3-FIFO, with a bound on the work of one eviction.
//
// Two queues and a memory. A page that is new goes into the *small* queue (a tenth of the frames); if it is used a
// second time before it comes to that queue's end it moves to the *main* queue, else it is evicted and its number
// remembered in the *ghost* table; a page that comes back while it is remembered goes straight to the main queue. The
// main queue gives a page another round for each use, up to kUsesMax. So a scan passes through the small queue and
// pushes nothing else out. A hit writes one byte at most (FrameInfo::uses), and nothing once a page is hot.
//
// Pages that were prefetched stand in a *waiting* queue of their own until they are used, and come into the small queue
// only then, like pages that were just read: else those that are asked for far ahead would be gone before their time. A
// page that nobody comes for is not waited for longer than `frames` evictions, nor are more than half the frames.
//
// Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
//
// Thread-safety: none; the pool calls it under a spin lock of its own, so no call does more than a bounded number of
// steps. Only FrameInfo::uses changes without that lock. 13 bytes a frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/error.h"
#include "engine/pool/frame_table.h"
#include "engine/types.h"

namespace pagedb::detail {

/// See the head of this file.
class Replacement {
 public:
  /// All frames of `table` free. Errors: out_of_memory.
  [[nodiscard]] Result<void> make(FrameTable& table) noexcept;

  /// A free frame, which is then in no queue; kNoFrame when there is none.
  [[nodiscard]] std::uint32_t take_free() noexcept;
  /// `frame`, which is in no queue and holds no page, is free.
  void give_free(std::uint32_t frame) noexcept;

  /// `frame`, which is in no queue, now holds `id`. Its uses count from here; `used`: somebody wanted it now, and that
  /// is the first. A page that was prefetched has yet to be used.
  void admit(std::uint32_t frame, PageId id, bool used) noexcept;

  /// The frame to evict next, taken out of its queue; kNoFrame when no frame is in a queue. The caller then calls
  /// `evicted` or `reject`. Looks at no more than kLookMax frames: beyond that a frame goes although it was used.
  [[nodiscard]] std::uint32_t candidate() noexcept;
  /// The candidate `frame` cannot be evicted now (held, or dirty): to the end of its queue. The next candidate comes
  /// from the other queue, so that one whose frames are all held does not hide the other.
  void reject(std::uint32_t frame) noexcept;
  /// The candidate `frame` no longer holds `id`, and is in no queue.
  void evicted(std::uint32_t frame, PageId id) noexcept;

  /// Takes `frame` out of its queue: its page was dropped. False: it is a candidate just now, and in no queue; whoever
  /// has it will call `vacant`.
  [[nodiscard]] bool remove(std::uint32_t frame) noexcept;
  /// The candidate `frame` was found to hold no page: it was dropped meanwhile. It is then in no queue.
  void vacant(std::uint32_t frame) noexcept;

  /// The frames that `candidate` would give next, in that order, if each were evicted and its frame given to a new
  /// page, as many as `into` has room for; for whoever cleans them. Frames that have another round before them are left
  /// out. Moves nothing. Returns how many.
  [[nodiscard]] std::size_t peek(std::span<std::uint32_t> into) const noexcept;

  /// Frames in the queues.
  [[nodiscard]] std::uint32_t queued() const noexcept;
  /// Bytes that it takes in memory.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

  static constexpr unsigned kLookMax = 64;
  static constexpr std::uint32_t kSmallPart = 10;  // the small queue is this part of the frames

 private:
  enum Place : std::uint8_t { kSmall, kMain, kWaiting, kTakenFromSmall, kTakenFromMain, kNowhere, kFree };

  // Doubly linked through next_ (towards older) and prev_ (towards newer).
  struct Queue {
    std::uint32_t newest = kNoFrame;
    std::uint32_t oldest = kNoFrame;
    std::uint32_t size = 0;
  };

  // The numbers of pages evicted lately: as many words as frames, each a fingerprint over a coarse age. A page's word
  // is among kWays that its number hashes to; the oldest of those is overwritten.
  class Ghosts {
   public:
    [[nodiscard]] bool make(std::uint32_t entries) noexcept;
    void remember(PageId id) noexcept;
    /// Whether `id` is remembered; it is then forgotten.
    [[nodiscard]] bool recall(PageId id) noexcept;

   private:
    static constexpr std::uint32_t kWays = 8;
    static constexpr std::uint32_t kAgeMask = 0xFF;
    struct Spot {
      std::uint32_t* words;
      std::uint32_t fingerprint;
    };
    [[nodiscard]] Spot spot_of(PageId id) const noexcept;
    [[nodiscard]] std::uint32_t age_of(std::uint32_t word) const noexcept { return (now_ - word) & kAgeMask; }

    std::unique_ptr<std::uint32_t[]> words_;
    std::uint32_t entries_ = 0;
    std::uint32_t ways_ = 0;
    std::uint32_t tick_every_ = 0;  // evictions
    std::uint32_t age_max_ = 0;     // ticks
    std::uint32_t since_tick_ = 0;
    std::uint32_t now_ = 0;
  };

  void push(Place place, std::uint32_t frame) noexcept;
  void unlink(std::uint32_t frame) noexcept;
  [[nodiscard]] std::uint8_t uses_of(std::uint32_t frame) const noexcept {
    return table_->info(frame).uses.load(std::memory_order_relaxed);
  }
  /// Whether a page in queue `place` that was used so often goes when it comes to the end.
  [[nodiscard]] static bool goes(Place place, std::uint8_t uses) noexcept { return uses <= (place == kSmall ? 1 : 0); }
  void set_uses(std::uint32_t frame, std::uint8_t uses) noexcept {
    table_->info(frame).uses.store(uses, std::memory_order_relaxed);
  }
  [[nodiscard]] bool small_is_next() const noexcept;
  /// Moves pages that were used from the waiting queue to the small one, in order, kLookMax at most; and one that has
  /// waited too long.
  void admit_waiting() noexcept;

  FrameTable* table_ = nullptr;
  std::unique_ptr<std::uint32_t[]> next_;
  std::unique_ptr<std::uint32_t[]> prev_;
  std::unique_ptr<std::uint8_t[]> place_;
  std::array<Queue, 3> queues_{};  // by Place: kSmall, kMain, kWaiting
  std::uint32_t free_ = kNoFrame;  // a stack, linked through next_
  std::uint32_t small_max_ = 0;
  std::uint32_t passed_by_ = 0;  // how often the oldest that waits was found unused
  Place avoid_ = kNowhere;       // the queue whose frame was just rejected
  Ghosts ghosts_;
};

}  // namespace pagedb::detail
