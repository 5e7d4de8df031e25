// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// BufferPool: a fixed number of page frames over a PageStore.
//
//   fetch ──► SharedGuard      page in memory, latched shared        hit: one fetch_add, no lock, no system call
//   fetch_exclusive ──► ExclusiveGuard   latched exclusively, write() makes it dirty
//   read / fetch_optimistic    copy out, validated by version         hit: writes nothing that tasks share
//
// A page is *clean* (as the store has it), *dirty* (changed since), or *unsynced* (written, and no sync has returned Ok
// since). `flush` issues writes, `sync` is the durability barrier, `checkpoint` is both and the log's cut-off.
//
// Waiting: a miss waits for one read, shared by all who want that page; while it runs, nothing is locked that a hit
// needs. A latch that is taken makes the task wait. An eviction takes a clean page that nobody holds; only when every
// page that nobody holds is dirty does it wait for a write. When every frame is held: `pool_exhausted`.
//
// Write-ahead rule: with a LogBarrier, a page is written only after `ensure_durable(its LSN)` has returned Ok.
//
// Durability: a page is durable as of the last change that was made before `flush` of it (or `flush_all`) began and was
// followed by a `sync`, all Ok; or that a `checkpoint` covers. A page may also be written, whole, at any other time
// while nobody holds it exclusively. A write that fails leaves the page dirty in memory, to be written again. A sync
// that fails poisons the store, for every user of it: from then on pages in memory can be read, and everything else
// (misses, exclusive guards, writes, sync) answers `poisoned`. Unsynced pages that were evicted before that are then
// only in the log. With a buffered store not even the log helps once a second process reads what the failed cache
// shows.
//
// Ending: `close` writes what is dirty and syncs; `abandon` gives it up, in so many words. Destroying a pool that has
// dirty pages and did neither aborts, and so does destroying one whose guards are alive.
//
// Thread-safety: everything but construction and destruction may be called by any number of tasks at once. A task may
// hold guards while it calls; it must then not ask to wait for its own pages (engine/page_guard.h): `flush`,
// `flush_all`, `checkpoint`, `drop` and `close` wait for pages that are held exclusively, and abort when it is the
// caller itself who holds one.
//
// Memory: at most 64 bytes a frame besides its page, and staging for writes (`memory_bytes`). Nothing is allocated by a
// request; a flush of many pages allocates a list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/error.h"
#include "engine/log.h"
#include "engine/page_guard.h"
#include "engine/page_store.h"
#include "engine/pool/frame_table.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb {

/// How to make a BufferPool.
struct BufferPoolOptions {
  std::uint32_t frames = 0;   ///< pages in memory: 2 to 2^30. Each task that works needs a few at once
  LogBarrier* log = nullptr;  ///< the write-ahead rule; none: pages are written whenever convenient. Outlives the pool
  /// How long a fetch waits for a frame when every one is held, before it answers `pool_exhausted`.
  Time exhausted_wait{0};
  /// Whether a task of the pool's own keeps pages clean that would soon be evicted.
  bool background_writer = true;
  /// Whether `prefetch` reads (in tasks of the pool's own). Without it `prefetch` does nothing.
  bool background_reader = true;
  /// Pages that one batch of writes holds, 1 to 4096, and no more than 1 MiB of them (or 8); two batches are staged in
  /// turn. Twice the device's queue depth keeps it busy.
  std::uint32_t write_batch_pages = 256;
};

/// Where a page is with respect to its store.
enum class PageState : std::uint8_t {
  absent,    ///< not in memory
  loading,   ///< being read
  clean,     ///< in memory as the store has it
  unsynced,  ///< written, and no sync has returned Ok since
  dirty,     ///< changed since it was read or written
};

/// Counts since the pool was made. Hits are not counted: counting one would cost more than the hit.
struct BufferPoolStats {
  std::uint64_t misses = 0;           ///< fetches that found the page neither in memory nor being read
  std::uint64_t reads = 0;            ///< pages read, prefetched ones included
  std::uint64_t read_failures = 0;    ///< reads that ended in an error
  std::uint64_t prefetched = 0;       ///< pages read by `prefetch`
  std::uint64_t evictions = 0;        ///< pages that left for another one
  std::uint64_t writes = 0;           ///< pages written
  std::uint64_t write_failures = 0;   ///< writes that ended in an error; the page stayed dirty
  std::uint64_t eviction_writes = 0;  ///< writes that a fetch had to wait for, as no clean page was left to evict
  std::uint64_t barrier_waits = 0;    ///< batches for which the log barrier was asked
  std::uint64_t conflicts = 0;        ///< optimistic reads (`read`) that fell back to a latch
  std::uint32_t dirty = 0;            ///< dirty pages now
  std::uint32_t resident = 0;         ///< pages in memory now
};

/// A fixed number of page frames over a PageStore. See the head of this file.
class BufferPool {
 public:
  /// A pool of empty frames over `store`. `scheduler`, `store` and `options.log` must outlive it. Errors:
  /// out_of_memory, also when a task for the background cannot be started.
  [[nodiscard]] static Result<std::unique_ptr<BufferPool>> create(Scheduler& scheduler, PageStore& store,
                                                                  const BufferPoolOptions& options) noexcept;

  /// Aborts when a guard is alive, or when dirty pages were neither closed nor abandoned.
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// Page `id`, latched shared; read from the store when it is not in memory. Errors: the store's, and pool_exhausted.
  /// A failed read leaves the pool as it was.
  [[nodiscard]] Result<SharedGuard> fetch(PageId id) noexcept {
    const std::uint32_t frame = table_.find(id);
    if (frame != detail::kNoFrame) [[likely]] {
      const std::byte* const page = table_.memory_of(frame);
      if (table_.try_share(frame, id)) [[likely]]
        return SharedGuard(table_, frame, page);
    }
    // Not returned as it is: the address of what a hit returns would be known elsewhere, and it could not stay in
    // registers.
    auto guard = fetch_slow(id);
    return guard;
  }
  /// The same, and looks first where `hint` says the page was last; then notes where it is. A hint may be stale, or of
  /// another page: it costs a comparison.
  [[nodiscard]] Result<SharedGuard> fetch(PageId id, FrameHint& hint) noexcept {
    const std::uint32_t frame = hint.frame;
    if (table_.holds(frame, id)) [[likely]] {
      const std::byte* const page = table_.memory_of(frame);
      if (table_.try_share(frame, id)) [[likely]]
        return SharedGuard(table_, frame, page);
    }
    auto guard = fetch(id);
    if (guard) hint.frame = guard->frame_;
    return guard;
  }

  /// Page `id`, latched exclusively. Errors: as fetch, and those of PageStore::may_write.
  [[nodiscard]] Result<ExclusiveGuard> fetch_exclusive(PageId id) noexcept;

  /// Page `id` as a page of zeros, latched exclusively and dirty, whatever the store or the pool held there. Nothing is
  /// read. Errors: pool_exhausted, and those of PageStore::may_write.
  [[nodiscard]] Result<ExclusiveGuard> new_page(PageId id) noexcept;

  /// The version of page `id`, which is read from the store when it is not in memory. Waits while somebody holds the
  /// page exclusively. Errors: as fetch.
  [[nodiscard]] Result<OptimisticGuard> fetch_optimistic(PageId id) noexcept {
    const std::uint32_t frame = table_.find(id);
    if (frame != detail::kNoFrame) [[likely]] {
      const std::uint64_t version = table_.version_of(frame, id);
      if (version != detail::kChanging) [[likely]]
        return OptimisticGuard(table_, frame, version);
    }
    auto guard = fetch_optimistic_slow(id);
    return guard;
  }
  /// The same with a hint, as `fetch`.
  [[nodiscard]] Result<OptimisticGuard> fetch_optimistic(PageId id, FrameHint& hint) noexcept {
    const std::uint32_t frame = hint.frame;
    if (frame < table_.frames()) [[likely]] {
      const std::uint64_t version = table_.version_of(frame, id);
      if (version != detail::kChanging) [[likely]]
        return OptimisticGuard(table_, frame, version);
    }
    auto guard = fetch_optimistic(id);
    if (guard) hint.frame = guard->frame_;
    return guard;
  }

  /// Copies `to.size()` bytes of page `id` from byte `offset` on, as they were at one moment. Optimistic at first,
  /// under a shared latch when that keeps failing. Errors: as fetch.
  [[nodiscard]] Result<void> read(PageId id, std::size_t offset, std::span<std::byte> to) noexcept {
    return read_with(fetch_optimistic(id), id, offset, to);
  }
  /// The same with a hint, as `fetch`.
  [[nodiscard]] Result<void> read(PageId id, std::size_t offset, std::span<std::byte> to, FrameHint& hint) noexcept {
    return read_with(fetch_optimistic(id, hint), id, offset, to);
  }

  /// Writes page `id` if it is in memory and dirty, as it was at some moment after the call began. Ok: written (`sync`
  /// makes it durable), or there was nothing to write. Errors: the store's and the log barrier's; the page stays dirty.
  [[nodiscard]] Result<void> flush(PageId id) noexcept;

  /// The same for every page that is dirty when the call begins, in page order, at the device's depth. Goes on after an
  /// error; returns the first in page order.
  [[nodiscard]] Result<void> flush_all() noexcept;

  /// Makes every page write that returned before this call durable: PageStore::sync.
  [[nodiscard]] Result<void> sync() noexcept;

  /// The checkpoint protocol, in one place. `begin` is the log's next unassigned LSN at some moment before the call.
  ///
  /// 1. From now on every first change of a page needs a full image in the log (`ExclusiveGuard::full_image_due`).
  /// 2. Every page that is dirty now is written, the log made durable below `begin`, and the store synced.
  /// 3. The store commits `redo_from = begin` (PageStore::commit_redo_from).
  ///
  /// Ok: returns `begin`; the log below what is returned may be cut. An error: the log must be kept; a later checkpoint
  /// tries again.
  ///
  /// It is right only if log records are appended and applied under the page's exclusive guard, with `set_lsn`, before
  /// the guard is released. The caller must hold no exclusive guard, and `begin` must not be below that of a checkpoint
  /// that had returned when this one was called: both abort. One checkpoint runs at a time; another one waits, and if
  /// the one that it waited for began later, counts, and returns, from there.
  [[nodiscard]] Result<Lsn> checkpoint(Lsn begin) noexcept;

  /// Asks for pages to be read soon, in the background, at the device's depth. A wish: ids that are in memory, that
  /// find no room, or that fail to read are passed over in silence (a later fetch then says why). Returns how many of
  /// `ids`, from the first on, were taken note of. Never waits for I/O.
  std::size_t prefetch(std::span<const PageId> ids) noexcept;

  /// Forgets page `id`, dirty or not: it was freed, and its bytes must not reach the store any more. When this returns
  /// no write of the page is under way. Waits for those who hold it, and for a write of it that is under way.
  void drop(PageId id) noexcept;

  /// flush_all, then sync; then no dirty page is left, and the pool may be destroyed. No other task may use the pool
  /// any more. Errors: theirs; the pool stays as it is.
  [[nodiscard]] Result<void> close() noexcept;

  /// Gives up every page that is dirty: the pool may be destroyed, and writes nothing more. Returns how many there
  /// were. No other task may use the pool any more.
  std::uint32_t abandon() noexcept;

  /// Where page `id` is just now.
  [[nodiscard]] PageState state_of(PageId id) const noexcept;
  /// Counts. Each is exact; together they are no snapshot.
  [[nodiscard]] BufferPoolStats stats() const noexcept;
  /// Page frames.
  [[nodiscard]] std::uint32_t frames() const noexcept { return table_.frames(); }
  /// Size of a page.
  [[nodiscard]] PageSize page_size() const noexcept { return table_.page_size(); }
  /// Bytes that the pool takes in memory besides its pages.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;
  /// The `begin` of the last checkpoint that succeeded; 0 before there is one.
  [[nodiscard]] Lsn redo_from() const noexcept;

 private:
  struct Impl;
  BufferPool() noexcept;

  [[nodiscard]] Result<SharedGuard> fetch_slow(PageId id) noexcept;
  [[nodiscard]] Result<OptimisticGuard> fetch_optimistic_slow(PageId id) noexcept;
  [[nodiscard]] Result<void> read_with(const Result<OptimisticGuard>& guard, PageId id, std::size_t offset,
                                       std::span<std::byte> to) noexcept {
    if (!guard) [[unlikely]]
      return failure(guard.error());
    if (guard->copy(offset, to)) [[likely]]
      return {};
    return read_slow(id, offset, to);
  }
  [[nodiscard]] Result<void> read_slow(PageId id, std::size_t offset, std::span<std::byte> to) noexcept;

  detail::FrameTable table_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pagedb
