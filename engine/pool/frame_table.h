// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// FrameTable: which page is in which frame, and each frame's latch. The part of a BufferPool that a hit runs through.
//
//   page id ──hash──► heads[] ──► infos[frame] {page, next, version} ──next──► ...    translation, no lock
//                                 states[frame]  one word: pins, latch, dirty         read-modify-write only
//                                 memory + frame x page size                          the page
//
// Lookup. A chain of frames is walked without a lock. What it finds is only a guess, which pinning settles: once a
// frame is latched or pinned the page in it cannot change, so the page number is compared again after that. A walk that
// misses may have been misled by a concurrent change; a miss is therefore settled under the chain's spin lock
// (engine/pool/residency.cc).
//
// State word. `shared` counts latches, `pins` counts tasks that keep the frame while they hold it exclusively or wait
// for it. A shared latch is one fetch_add; where the old word says that it must not be (exclusive, no page, a writer
// waits) it is taken back. A frame is given to another page by compare-exchange from a word without pins, dirt or
// writing.
//
// Version. Even: stable; odd: being changed. It grows with each change and each change of page, has a cache line apart
// from the latch's, and is all that an optimistic reader looks at.
//
// Complexity: a hit touches one head, the infos of one chain (1.25 on average) and one state. 48 bytes a frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/check.h"
#include "engine/error.h"
#include "engine/scheduler.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace pagedb {

class PageStore;

/// Where a page was last seen in a pool. Kept by the caller beside whatever points to the page; a guess, never wrong to
/// have.
struct FrameHint {
  std::uint32_t frame = 0xFFFFFFFF;  ///< opaque; the default is no frame
};

namespace detail {

inline constexpr std::uint32_t kNoFrame = 0xFFFFFFFF;
inline constexpr std::uint64_t kNoPage = ~std::uint64_t{0};  // no page can have this number: its offset overflows
inline constexpr std::uint64_t kChanging = 1;                // a version that no stable page has

/// The bits of a frame's state word.
namespace frame_state {
inline constexpr std::uint64_t kShared = 1;  // one shared latch
inline constexpr std::uint64_t kSharedMask = (std::uint64_t{1} << 20) - 1;
inline constexpr std::uint64_t kSharedFull = std::uint64_t{1} << 19;  // too many guards: aborts long before it wraps
inline constexpr std::uint64_t kPin = std::uint64_t{1} << 20;         // one task that holds exclusively, or waits
inline constexpr std::uint64_t kPinMask = ((std::uint64_t{1} << 20) - 1) << 20;
inline constexpr std::uint64_t kExclusive = std::uint64_t{1} << 40;    // latched exclusively
inline constexpr std::uint64_t kEmpty = std::uint64_t{1} << 41;        // no page: free, or being given to another page
inline constexpr std::uint64_t kWriterWaits = std::uint64_t{1} << 42;  // newcomers queue up behind a waiting writer
inline constexpr std::uint64_t kWaiters = std::uint64_t{1} << 43;      // somebody sleeps: whoever releases wakes
inline constexpr std::uint64_t kDirty = std::uint64_t{1} << 44;        // differs from what the store has
inline constexpr std::uint64_t kWriting = std::uint64_t{1} << 45;      // a copy of it is on its way to the store
inline constexpr std::uint64_t kLoading = std::uint64_t{1} << 46;      // exclusive because it is being read
inline constexpr std::uint64_t kNoShare = kExclusive | kEmpty | kWriterWaits | kSharedFull;
}  // namespace frame_state

/// What a frame holds. Two share a cache line.
struct alignas(32) FrameInfo {
  sync::Atomic<std::uint64_t> version{1};  // odd: an empty frame has no stable page
  sync::Atomic<std::uint64_t> page{kNoPage};
  sync::Atomic<std::uint32_t> next{kNoFrame};  // in its chain
  sync::Atomic<std::uint32_t> owner{0};        // low half of the exclusive holder's TaskId, to see who waits for itself
  sync::Atomic<std::uint32_t> write_epoch{0};  // the sync that makes the last write of it durable
  sync::Atomic<std::uint8_t> uses{0};          // uses since the replacement policy last looked, up to kUsesMax
};
static_assert(sizeof(FrameInfo) == 32);

/// Uses beyond this many are not counted: the policy wants to know hot from cold, and a hot page's line stays
/// unwritten.
inline constexpr std::uint8_t kUsesMax = 3;

/// How waiting for a latch ended.
struct Latched {
  bool held = false;         ///< it is held; otherwise the page has left the frame
  bool read_failed = false;  ///< it left because the read that was waited for failed:
  PageError read_error{};    ///< like this
};

/// See the head of this file.
class FrameTable {
 public:
  FrameTable() noexcept;
  ~FrameTable();
  FrameTable(const FrameTable&) = delete;
  FrameTable& operator=(const FrameTable&) = delete;

  /// Makes `frames` empty frames for pages of `store`. Errors: out_of_memory.
  [[nodiscard]] Result<void> make(Scheduler& scheduler, const PageStore& store, std::uint32_t frames) noexcept;
  /// Bytes that the table takes besides the pages.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

  // ---- translation

  /// The frame that seems to hold `id`, or kNoFrame.
  [[nodiscard]] std::uint32_t find(PageId id) const noexcept {
    std::uint32_t frame = heads_[bucket_of(id)].load(std::memory_order_acquire);
    for (unsigned hops = 0; frame != kNoFrame && hops < kHopsMax; ++hops) {
      const FrameInfo& info = infos_[frame];
      if (info.page.load(std::memory_order_acquire) == id.value) return frame;
      frame = info.next.load(std::memory_order_acquire);
    }
    return kNoFrame;
  }
  /// Whether `frame`, which may be any number, seems to hold `id`.
  [[nodiscard]] bool holds(std::uint32_t frame, PageId id) const noexcept {
    return frame < frames_ && infos_[frame].page.load(std::memory_order_acquire) == id.value;
  }
  /// The page in a frame that the caller keeps.
  [[nodiscard]] PageId page_of(std::uint32_t frame) const noexcept {
    return {infos_[frame].page.load(std::memory_order_relaxed)};
  }
  /// Which chain `id` belongs to.
  [[nodiscard]] std::uint32_t bucket_of(PageId id) const noexcept {
    // Fibonacci hashing, then the high bits scaled to the number of chains.
    const std::uint64_t hash = id.value * 0x9E3779B97F4A7C15u;
    return static_cast<std::uint32_t>((static_cast<unsigned __int128>(hash) * heads_count_) >> 64);
  }

  /// The head of a chain; changed under the chain's lock (engine/pool/residency.h).
  [[nodiscard]] sync::Atomic<std::uint32_t>& head(std::uint32_t bucket) noexcept { return heads_[bucket]; }

  // ---- latches

  /// Latches `frame` shared if that needs no waiting and it holds `id`.
  [[nodiscard]] bool try_share(std::uint32_t frame, PageId id) noexcept {
    // A locked instruction waits for what came before it, and what comes after waits for it: ask for the page, and have
    // every address, before.
    __builtin_prefetch(memory_of(frame));
    FrameInfo& info = infos_[frame];
    const std::uint64_t before = states_[frame].fetch_add(frame_state::kShared, std::memory_order_acquire);
    if ((before & frame_state::kNoShare) == 0 && info.page.load(std::memory_order_relaxed) == id.value) [[likely]] {
      note_use(info);
      return true;
    }
    take_back_share(frame);
    return false;
  }
  /// Latches `frame` shared, or exclusively, and waits for that as long as it takes.
  [[nodiscard]] Latched share(std::uint32_t frame, PageId id) noexcept { return share(frame, id, false); }
  [[nodiscard]] Latched exclude(std::uint32_t frame, PageId id) noexcept;
  /// Latches `frame` shared for the pool's own purposes, which is no use of the page. It goes ahead of writers that
  /// wait: the task may share the page already, and they wait for that.
  [[nodiscard]] bool share_ahead(std::uint32_t frame, PageId id) noexcept { return share(frame, id, true).held; }
  /// Latches `frame` exclusively if that needs no waiting and it holds `id`.
  [[nodiscard]] bool try_exclude(std::uint32_t frame, PageId id) noexcept;
  /// Turns the only shared latch into an exclusive one. False: it is not the only one, or somebody waits.
  [[nodiscard]] bool try_upgrade(std::uint32_t frame) noexcept;
  /// Turns an exclusive latch into a shared one. `changed`: begin_change was called.
  void downgrade(std::uint32_t frame, bool changed) noexcept;
  /// Gives a shared latch back.
  void unlatch_shared(std::uint32_t frame) noexcept {
    const std::uint64_t before = states_[frame].fetch_sub(frame_state::kShared, std::memory_order_release);
    if ((before & frame_state::kWaiters) != 0) [[unlikely]]
      wake_after_share(frame, before);
  }
  /// Gives an exclusive latch back. `changed`: begin_change was called.
  void unlatch_exclusive(std::uint32_t frame, bool changed) noexcept;

  /// The caller, who has latched `frame` exclusively, is its owner: it must not wait for it.
  void own(std::uint32_t frame) noexcept;
  /// Waits until no copy of `frame` is on its way to the store; whoever has latched it knows that none will be then.
  void wait_while_writing(std::uint32_t frame) noexcept;
  /// Wakes everybody who waits for `frame`; tells those who wait for a read of it that it failed with `read_error`.
  void wake(std::uint32_t frame, const PageError* read_error = nullptr) noexcept;

  // ---- versions

  /// The version of page `id` in `frame`; kChanging when it is being changed, or is not there.
  [[nodiscard]] std::uint64_t version_of(std::uint32_t frame, PageId id) noexcept {
    FrameInfo& info = infos_[frame];
    const std::uint64_t version = info.version.load(std::memory_order_acquire);
    // A change of page makes the version odd first and even last: an even version read before the number is that
    // page's, or `unchanged_since` will fail.
    if ((version & 1) != 0 || info.page.load(std::memory_order_acquire) != id.value) return kChanging;
    note_use(info);
    return version;
  }
  /// Whether nothing in `frame` has changed since `version` was read, as far as loads before this call can tell.
  [[nodiscard]] bool unchanged_since(std::uint32_t frame, std::uint64_t version) const noexcept {
    sync::order_loads();
    return infos_[frame].version.load(std::memory_order_relaxed) == version;
  }
  /// The exclusive holder begins to change the page: dirty, and its version odd until unlatched.
  void begin_change(std::uint32_t frame) noexcept;
  /// What is in the frame is stable again: its version is even.
  void end_change(std::uint32_t frame) noexcept;
  /// The exclusively latched `frame` is dirty.
  void mark_dirty(std::uint32_t frame) noexcept;

  // ---- what the rest of the pool works on

  [[nodiscard]] FrameInfo& info(std::uint32_t frame) noexcept { return infos_[frame]; }
  [[nodiscard]] const FrameInfo& info(std::uint32_t frame) const noexcept { return infos_[frame]; }
  [[nodiscard]] sync::Atomic<std::uint64_t>& state(std::uint32_t frame) noexcept { return states_[frame]; }
  [[nodiscard]] const sync::Atomic<std::uint64_t>& state(std::uint32_t frame) const noexcept { return states_[frame]; }
  [[nodiscard]] std::byte* memory_of(std::uint32_t frame) const noexcept {
    return memory_ + (static_cast<std::size_t>(frame) << shift_);
  }
  [[nodiscard]] std::size_t page_bytes() const noexcept { return std::size_t{1} << shift_; }
  [[nodiscard]] PageSize page_size() const noexcept { return *PageSize::of(page_bytes()); }
  [[nodiscard]] std::uint32_t frames() const noexcept { return frames_; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }

  /// Whether the page in `frame` may be written: PageStore::may_write.
  [[nodiscard]] bool may_write(std::uint32_t frame) const noexcept;

  /// Dirty frames.
  [[nodiscard]] std::uint32_t dirty() const noexcept;
  /// Frame `frame`, whose state word no longer says so, was dirty.
  void count_cleaned() noexcept;

  /// Changes of pages whose LSN is below this need a full image in the log. Set by a checkpoint.
  [[nodiscard]] Lsn image_horizon() const noexcept;
  void set_image_horizon(Lsn horizon) noexcept;

 private:
  static constexpr unsigned kHopsMax = 64;  // a walk that a concurrent change leads astray ends, and counts as a miss

  static void note_use(FrameInfo& info) noexcept {
    // Not a read-modify-write: a use that gets lost costs nothing, a locked instruction would.
    const std::uint8_t uses = info.uses.load(std::memory_order_relaxed);
    if (uses < kUsesMax) [[unlikely]]
      info.uses.store(static_cast<std::uint8_t>(uses + 1), std::memory_order_relaxed);
  }
  [[nodiscard]] Latched share(std::uint32_t frame, PageId id, bool ahead) noexcept;
  void take_back_share(std::uint32_t frame) noexcept {
    const std::uint64_t before = states_[frame].fetch_sub(frame_state::kShared, std::memory_order_release);
    PAGEDB_CHECK((before & frame_state::kSharedFull) == 0, "half a million guards of one page");
    if ((before & frame_state::kWaiters) != 0) wake_after_share(frame, before);
  }
  void wake_after_share(std::uint32_t frame, std::uint64_t before) noexcept;
  void unpin(std::uint32_t frame) noexcept;
  void check_not_own(std::uint32_t frame, std::uint64_t state) noexcept;

  // Constant once made; all that a hit reads of this object is in one line.
  sync::Atomic<std::uint32_t>* heads_ = nullptr;
  FrameInfo* infos_ = nullptr;
  sync::Atomic<std::uint64_t>* states_ = nullptr;
  std::byte* memory_ = nullptr;
  std::uint32_t heads_count_ = 0;
  std::uint32_t frames_ = 0;
  unsigned shift_ = 0;
  Scheduler* scheduler_ = nullptr;
  const PageStore* store_ = nullptr;

  struct Parts;
  std::unique_ptr<Parts> parts_;  // owns the arrays, the page memory and the wait lists
};

}  // namespace detail
}  // namespace pagedb
