// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Replacement: which frame a BufferPool gives up next. S3-FIFO, with a bound on the work of one eviction.
//
// Two queues and a memory. A page that is new goes into the *small* queue (a tenth of the frames); if it is used again
// before it comes to that queue's end it moves to the *main* queue, else it is evicted and its number remembered in the
// *ghost* table; a page that comes back while it is remembered goes straight to the main queue. The main queue gives a
// page another round for each use, up to kUsesMax. So a scan passes through the small queue and pushes nothing else
// out. A hit writes one byte at most (FrameInfo::uses), and nothing once a page is hot.
//
// Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
//
// Thread-safety: none; the pool calls it under a spin lock of its own, so no call does more than a bounded number of
// steps. 13 bytes a frame.
#pragma once

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

  /// `frame`, which is in no queue, now holds `id`.
  void admit(std::uint32_t frame, PageId id) noexcept;

  /// The frame to evict next, taken out of its queue; kNoFrame when no frame is in a queue. The caller then calls
  /// `evicted` or `reject`. Looks at no more than kLookMax frames: beyond that a frame goes although it was used.
  [[nodiscard]] std::uint32_t candidate() noexcept;
  /// The candidate `frame` cannot be evicted now (held, or dirty): to the end of its queue.
  void reject(std::uint32_t frame) noexcept;
  /// The candidate `frame` no longer holds `id`, and is in no queue.
  void evicted(std::uint32_t frame, PageId id) noexcept;

  /// Takes `frame` out of its queue: its page was dropped.
  void remove(std::uint32_t frame) noexcept;

  /// The frames that `candidate` would come upon next, in that order, as many as `into` has room for; for whoever
  /// cleans them. Moves nothing. Returns how many.
  [[nodiscard]] std::size_t peek(std::span<std::uint32_t> into) const noexcept;

  /// Frames in the queues.
  [[nodiscard]] std::uint32_t queued() const noexcept;

  static constexpr unsigned kLookMax = 64;
};

}  // namespace pagedb::detail
