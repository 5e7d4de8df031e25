// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// BufferPool: misses, new pages, dropping, checkpoints, and how a pool begins and ends.
#include "engine/buffer_pool.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "engine/check.h"
#include "engine/internal/hand_out.h"
#include "engine/pool/prefetcher.h"
#include "engine/pool/residency.h"
#include "engine/pool/write_back.h"

namespace pagedb {

using detail::kNoFrame;
using detail::Latched;
using detail::Residency;
namespace frame_state = detail::frame_state;

struct BufferPool::Impl {
  Impl(detail::FrameTable& frame_table, PageStore& page_store, const BufferPoolOptions& pool_options) noexcept
      : table(frame_table),
        store(page_store),
        options(pool_options),
        residency(table),
        write_back(table, residency, store, options.log),
        prefetcher(table, residency, store),
        checkpoint_gate(table.scheduler()) {}

  /// An empty frame for page `id`. Waits for writes when only dirty pages could go, and as long as the options say when
  /// all frames are held.
  [[nodiscard]] Result<std::uint32_t> empty_frame() noexcept;
  /// A frame with `id` in it, latched exclusively and loading; kNoFrame when the page came into memory meanwhile.
  [[nodiscard]] Result<std::uint32_t> claim(PageId id) noexcept;
  /// Reads `id` into a frame of its own and holds it; kNoFrame as above.
  [[nodiscard]] Result<std::uint32_t> load(PageId id, Residency::Hold hold) noexcept;
  /// The frame in which `id` was found by a walk, or under the lock. `again`: only under the lock, which waits for
  /// whoever is taking the page out of the frame that the walk found before.
  [[nodiscard]] std::uint32_t find(PageId id, bool again) noexcept {
    const std::uint32_t frame = again ? kNoFrame : table.find(id);
    return frame != kNoFrame ? frame : residency.find(id);
  }
  /// Waits until every exclusive guard that is alive now is released, and returns the highest LSN of a dirty page.
  [[nodiscard]] Lsn pass_by_writers() noexcept;
  /// The log is durable up to `begin`, also where no page needed it: else it could end below `begin` after a crash, and
  /// number new records so that recovery would pass them over.
  [[nodiscard]] Result<void> log_below(Lsn begin) noexcept {
    if (options.log == nullptr || begin.value == 0) return {};
    return options.log->ensure_durable({begin.value - 1});
  }
  void stop_tasks() noexcept {
    write_back.stop_background();
    prefetcher.stop();
  }

  struct CheckpointTurn {
    CheckpointTurn* next_idle = nullptr;
  };

  detail::FrameTable& table;
  PageStore& store;
  const BufferPoolOptions options;
  Residency residency;
  detail::WriteBack write_back;
  detail::Prefetcher prefetcher;

  detail::HandOut<CheckpointTurn> checkpoint_gate;  // of the one turn there is
  CheckpointTurn turn;
  Lsn last_begin{};                            // the turn's holder's
  sync::Atomic<std::uint64_t> ended_begin{0};  // that of the last checkpoint that ended, well or not
  sync::Atomic<std::uint64_t> redo_from{0};

  sync::Atomic<std::uint64_t> misses{0};
  sync::Atomic<std::uint64_t> reads{0};
  sync::Atomic<std::uint64_t> read_failures{0};
  sync::Atomic<std::uint64_t> eviction_writes{0};
  sync::Atomic<std::uint64_t> conflicts{0};
};

// ---- beginning and end

BufferPool::BufferPool() noexcept = default;

Result<std::unique_ptr<BufferPool>> BufferPool::create(Scheduler& scheduler, PageStore& store,
                                                       const BufferPoolOptions& options) noexcept {
  PAGEDB_CHECK(options.frames >= 2 && options.frames <= 1u << 30, "a pool has 2 to 2^30 frames");
  PAGEDB_CHECK(options.write_batch_pages >= 1 && options.write_batch_pages <= 4096, "a batch has 1 to 4096 pages");
  constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};
  std::unique_ptr<BufferPool> pool(new (std::nothrow) BufferPool);
  if (pool == nullptr) return failure(kNoMemory);
  if (auto made = pool->table_.make(scheduler, store, options.frames); !made) return failure(made.error());
  pool->impl_.reset(new (std::nothrow) Impl(pool->table_, store, options));
  if (pool->impl_ == nullptr) return failure(kNoMemory);
  Impl& impl = *pool->impl_;
  impl.checkpoint_gate.give(impl.turn);
  if (auto made = impl.residency.make(); !made) return failure(made.error());
  if (auto made = impl.write_back.make(options.write_batch_pages); !made) return failure(made.error());
  if (options.background_writer) {
    if (auto started = impl.write_back.start_background(); !started) return failure(started.error());
  }
  if (options.background_reader) {
    if (auto started = impl.prefetcher.start(); !started) return failure(started.error());
  }
  return pool;
}

BufferPool::~BufferPool() {
  if (impl_ == nullptr) return;
  impl_->stop_tasks();
  for (std::uint32_t frame = 0; frame < table_.frames(); ++frame) {
    constexpr std::uint64_t kHeld = frame_state::kSharedMask | frame_state::kPinMask | frame_state::kExclusive;
    PAGEDB_CHECK((table_.state(frame).load() & kHeld) == 0, "a guard outlives its pool");
  }
  PAGEDB_CHECK(table_.dirty() == 0, "a pool with dirty pages is destroyed: close() or abandon() it first");
}

Result<void> BufferPool::close() noexcept {
  if (auto flushed = flush_all(); !flushed) return flushed;
  return sync();
}

std::uint32_t BufferPool::abandon() noexcept {
  impl_->stop_tasks();
  const std::uint32_t dirty = table_.dirty();
  for (std::uint32_t frame = 0; frame < table_.frames(); ++frame) {
    const std::uint64_t before = table_.state(frame).fetch_and(~frame_state::kDirty);
    if ((before & frame_state::kDirty) != 0) table_.count_cleaned();
  }
  return dirty;
}

// ---- pages come in

Result<std::uint32_t> BufferPool::Impl::empty_frame() noexcept {
  constexpr unsigned kSweepsMin = 4;  // a frame may be held for a moment by a task that only looks at it
  constexpr std::size_t kCleanAtOnce = 64;
  std::array<std::uint32_t, kCleanAtOnce> dirty{};
  Time deadline = kForever;
  unsigned found_held = 0;
  for (unsigned attempt = 0;; ++attempt) {
    const std::uint64_t activity = write_back.activity() + prefetcher.activity();
    const Residency::Sweep sweep = residency.sweep(dirty);
    if (sweep.dirty > 0) write_back.ask_background();
    if (sweep.frame != kNoFrame) return sweep.frame;
    if (sweep.dirty > 0) {
      const auto cleaned = write_back.clean({dirty.data(), sweep.dirty});
      if (!cleaned) return failure(cleaned.error());
      eviction_writes.fetch_add(*cleaned, std::memory_order_relaxed);
      if (*cleaned > 0) continue;
    } else if (sweep.writing != kNoFrame) {
      table.wait_while_writing(sweep.writing);
      continue;
    } else if (write_back.idle() && prefetcher.idle() && write_back.activity() + prefetcher.activity() == activity &&
               ++found_held >= kSweepsMin) {
      // All were held throughout, and not by the pool itself.
      const Time now = table.scheduler().now();
      if (deadline == kForever) deadline = now + options.exhausted_wait;
      if (now >= deadline) return failure(PageError{.code = ErrorCode::pool_exhausted, .actual = table.frames()});
    }
    table.scheduler().relax(attempt);
  }
}

Result<std::uint32_t> BufferPool::Impl::claim(PageId id) noexcept {
  const auto frame = empty_frame();
  if (!frame) return failure(frame.error().has_page ? frame.error() : frame.error().about(id));  // or of a victim
  if (residency.claim(*frame, id)) return *frame;
  residency.give_back(*frame);
  return kNoFrame;
}

Result<std::uint32_t> BufferPool::Impl::load(PageId id, Residency::Hold hold) noexcept {
  // Nothing is evicted for a read that cannot be.
  if (id.value == detail::kNoPage) return failure(PageError{.code = ErrorCode::page_id_overflow}.about(id));
  if (store.poisoned()) return failure(PageError{.code = ErrorCode::poisoned}.about(id));
  const auto frame = claim(id);
  if (!frame || *frame == kNoFrame) return frame;
  misses.fetch_add(1, std::memory_order_relaxed);
  reads.fetch_add(1, std::memory_order_relaxed);
  const auto read = store.read(id, {table.memory_of(*frame), table.page_bytes()});
  if (!read) {
    read_failures.fetch_add(1, std::memory_order_relaxed);
    residency.fail(*frame, read.error());
    return failure(read.error());
  }
  residency.publish(*frame, hold);
  return *frame;
}

Result<SharedGuard> BufferPool::fetch_slow(PageId id) noexcept {
  for (bool again = false;; again = true) {
    const std::uint32_t frame = impl_->find(id, again);
    if (frame == kNoFrame) {
      const auto loaded = impl_->load(id, Residency::Hold::shared);
      if (!loaded) return failure(loaded.error());
      if (*loaded == kNoFrame) continue;
      return SharedGuard(table_, *loaded);
    }
    const Latched latched = table_.share(frame, id);
    if (latched.held) return SharedGuard(table_, frame);
    if (latched.read_failed) return failure(latched.read_error);
  }
}

Result<ExclusiveGuard> BufferPool::fetch_exclusive(PageId id) noexcept {
  if (auto allowed = impl_->store.may_write(id); !allowed) return failure(allowed.error());
  for (bool again = false;; again = true) {
    const std::uint32_t frame = impl_->find(id, again);
    if (frame == kNoFrame) {
      const auto loaded = impl_->load(id, Residency::Hold::exclusive);
      if (!loaded) return failure(loaded.error());
      if (*loaded == kNoFrame) continue;
      return ExclusiveGuard(table_, *loaded);
    }
    if (table_.try_exclude(frame, id)) return ExclusiveGuard(table_, frame);
    const Latched latched = table_.exclude(frame, id);
    if (latched.held) return ExclusiveGuard(table_, frame);
    if (latched.read_failed) return failure(latched.read_error);
  }
}

Result<ExclusiveGuard> BufferPool::new_page(PageId id) noexcept {
  if (auto allowed = impl_->store.may_write(id); !allowed) return failure(allowed.error());
  for (bool again = false;; again = true) {
    const std::uint32_t frame = impl_->find(id, again);
    if (frame == kNoFrame) {
      const auto claimed = impl_->claim(id);
      if (!claimed) return failure(claimed.error());
      if (*claimed == kNoFrame) continue;
      std::memset(table_.memory_of(*claimed), 0, table_.page_bytes());
      table_.mark_dirty(*claimed);
      impl_->residency.publish(*claimed, Residency::Hold::changing);
      ExclusiveGuard guard(table_, *claimed);
      guard.changing_ = true;
      return guard;
    }
    if (!table_.exclude(frame, id).held) continue;  // a read that failed does not matter here
    ExclusiveGuard guard(table_, frame);
    const std::span<std::byte> page = guard.write();
    std::memset(page.data(), 0, page.size());
    return guard;
  }
}

Result<OptimisticGuard> BufferPool::fetch_optimistic_slow(PageId id) noexcept {
  const auto guard = fetch_slow(id);
  if (!guard) return failure(guard.error());
  // Stable under the latch. Not `version_of`, which would count the one use twice and make every page of a scan hot.
  return OptimisticGuard(table_, guard->frame_, table_.info(guard->frame_).version.load(std::memory_order_relaxed));
}

Result<void> BufferPool::read_slow(PageId id, std::size_t offset, std::span<std::byte> to) noexcept {
  constexpr unsigned kTries = 3;
  PAGEDB_CHECK(offset <= table_.page_bytes() && to.size() <= table_.page_bytes() - offset, "beyond the page");
  for (unsigned attempt = 0; attempt < kTries; ++attempt) {
    const auto guard = fetch_optimistic(id);
    if (!guard) return failure(guard.error());
    if (guard->copy(offset, to)) return {};
    table_.scheduler().relax(attempt);
  }
  impl_->conflicts.fetch_add(1, std::memory_order_relaxed);
  const auto guard = fetch(id);
  if (!guard) return failure(guard.error());
  if (!to.empty()) std::memcpy(to.data(), guard->page().data() + offset, to.size());
  return {};
}

std::size_t BufferPool::prefetch(std::span<const PageId> ids) noexcept { return impl_->prefetcher.ask(ids); }

// ---- pages go out

Result<void> BufferPool::flush(PageId id) noexcept { return impl_->write_back.flush(id); }

Result<void> BufferPool::flush_all() noexcept { return impl_->write_back.flush_all(); }

Result<void> BufferPool::sync() noexcept { return impl_->write_back.sync(); }

void BufferPool::drop(PageId id) noexcept {
  while (true) {
    const std::uint32_t frame = impl_->residency.find(id);
    if (frame == kNoFrame) return;
    if (!table_.exclude(frame, id).held) continue;
    table_.wait_while_writing(frame);
    impl_->residency.drop(frame);
    return;
  }
}

Lsn BufferPool::Impl::pass_by_writers() noexcept {
  Lsn highest;
  for (std::uint32_t frame = 0; frame < table.frames(); ++frame) {
    const std::uint64_t state = table.state(frame).load(std::memory_order_seq_cst);
    if ((state & (frame_state::kExclusive | frame_state::kDirty)) == 0) continue;
    const PageId id = table.page_of(frame);
    if (id.value == detail::kNoPage || !table.share_ahead(frame, id)) continue;
    highest = std::max(highest, page_lsn({table.memory_of(frame), table.page_bytes()}));
    table.unlatch_shared(frame);
  }
  return highest;
}

Result<Lsn> BufferPool::checkpoint(Lsn begin) noexcept {
  Impl& impl = *impl_;
  PAGEDB_CHECK(begin.value >= impl.ended_begin.load(std::memory_order_acquire),
               "a checkpoint begins before one that has ended");
  Impl::CheckpointTurn& turn = impl.checkpoint_gate.take();
  // Two that overlap may come in either order. The log's end at the later moment is as good for both.
  begin = impl.last_begin = std::max(begin, impl.last_begin);

  // Some tasks may have asked before this moment whether an image is due, and log their change only now, at or above
  // `begin`. So every change is due one until all of those are done; after that, every page that has an LSN they could
  // have given it.
  table_.set_image_horizon({~std::uint64_t{0}});
  const Lsn dirty = impl.pass_by_writers();
  const Lsn highest = std::max(dirty, impl.write_back.highest_lsn());
  const Lsn above{highest.value + (highest.value == ~std::uint64_t{0} ? 0 : 1)};
  table_.set_image_horizon(std::max(begin, above));

  Result<Lsn> result = begin;
  if (const auto flushed = impl.write_back.flush_all(); !flushed) {
    result = failure(flushed.error());
  } else if (const auto logged = impl.log_below(begin); !logged) {
    result = failure(logged.error());
  } else {
    const std::uint32_t epoch = impl.write_back.epoch_begins();
    if (const auto committed = impl.store.commit_redo_from(begin); !committed) {
      result = failure(committed.error());
    } else {
      impl.write_back.synced(epoch);
      impl.redo_from.store(begin.value, std::memory_order_release);
    }
  }
  impl.ended_begin.store(begin.value, std::memory_order_release);
  impl.checkpoint_gate.give(turn);
  return result;
}

// ---- looking in

PageState BufferPool::state_of(PageId id) const noexcept {
  const std::uint32_t frame = impl_->residency.find(id);
  if (frame == kNoFrame) return PageState::absent;
  const std::uint64_t state = table_.state(frame).load(std::memory_order_acquire);
  const bool unsynced = impl_->write_back.unsynced(frame);
  if (!table_.holds(frame, id)) return PageState::absent;
  if ((state & frame_state::kLoading) != 0) return PageState::loading;
  if ((state & frame_state::kDirty) != 0) return PageState::dirty;
  return unsynced ? PageState::unsynced : PageState::clean;
}

BufferPoolStats BufferPool::stats() const noexcept {
  const Impl& impl = *impl_;
  BufferPoolStats stats;
  stats.misses = impl.misses.load(std::memory_order_relaxed);
  stats.prefetched = impl.prefetcher.reads();
  stats.reads = impl.reads.load(std::memory_order_relaxed) + stats.prefetched + impl.prefetcher.failures();
  stats.read_failures = impl.read_failures.load(std::memory_order_relaxed) + impl.prefetcher.failures();
  stats.evictions = impl.residency.evictions();
  stats.writes = impl.write_back.counts().writes.load(std::memory_order_relaxed);
  stats.write_failures = impl.write_back.counts().failures.load(std::memory_order_relaxed);
  stats.eviction_writes = impl.eviction_writes.load(std::memory_order_relaxed);
  stats.barrier_waits = impl.write_back.counts().barriers.load(std::memory_order_relaxed);
  stats.conflicts = impl.conflicts.load(std::memory_order_relaxed);
  stats.dirty = table_.dirty();
  stats.resident = impl_->residency.resident();
  return stats;
}

std::size_t BufferPool::memory_bytes() const noexcept {
  return sizeof *this + sizeof *impl_ + table_.memory_bytes() + impl_->residency.memory_bytes() +
         impl_->write_back.memory_bytes() + impl_->prefetcher.memory_bytes();
}

Lsn BufferPool::redo_from() const noexcept { return {impl_->redo_from.load(std::memory_order_acquire)}; }

}  // namespace pagedb
