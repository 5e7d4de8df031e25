// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator: which pages of a PageFile are in use.
//
// Two bits a page in memory, one on disk, in a tree of bitmaps (engine/FORMAT.md, Allocation map). What a sync writes
// follows what changed, opening reads one page whatever the size of the file, and everything else is read when it is
// first needed, once.
//
// Durability. A sync takes the state of one moment and commits it with the superblock: after a crash the file has the
// state of the last sync that returned Ok, or of one that was under way, and never a mixture. What happened since is
// forgotten, unless a log brings it back. An operation that overlaps a sync is covered by it or not. Several operations
// that must be covered together, or not at all, go into one `Change`. Destroying an allocator syncs nothing.
//
// Order. A page must not be durable in a structure before its allocation is, nor may an allocation be forgotten that a
// durable structure relies on. `BufferPool::checkpoint` is the one place that gets this right, and all that is needed:
// it writes the dirty pages, then the allocation map, makes both durable, and commits them with `redo_from` in one
// superblock. Without a log, call it with `Lsn{}`. `sync` is the same for those who have written their pages
// themselves.
//
// Freed pages. A freed page is not given out again before a sync has made its being free durable. Otherwise its new
// owner could overwrite it, the machine crash, and the last durable state, in which the old owner still has it, come
// back with another one's bytes. Whoever has a log that restores such pages may opt for `reuse_before_sync`. Call
// `BufferPool::drop` before `free`: a page that nobody needs is then not written either.
//
// With a log. Records of what was allocated and freed are redone in LSN order, after opening and before anything is
// allocated: open with `redo`, call `redo_allocate` and `redo_free` for the records from `redo_from` on (each sets a
// state, so that doing it twice does no harm), then `redo_done`. While running, wrap the operation *and* the appending
// of its record in a `Change` and tell it the record's LSN: a sync then contains both or neither, and makes the log
// durable up to there first.
//
// Reserved pages (those of the map, the superblocks, and the pages beside them) are never given out.
//
// Damage. Metadata that does not verify is `allocation_damaged`, about the page where it should stand, and only what
// depends on it is refused: with a damaged leaf, the pages of one region. Others go on. Nothing is changed on disk on
// its account.
//
// Thread-safety: everything but open and destruction may be called by any number of tasks at once. `allocate` and
// `free` take no lock and do no I/O, unless 512 pages are used up, or a part of the map is needed for the first time.
//
// Memory: two bits for each page of the regions that were touched, some 200 bytes a region of 16,384 pages (at 4 KiB),
// and 7 KiB. While a sync runs, one bit more for each page of the regions that changed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/error.h"
#include "engine/log.h"
#include "engine/page_file.h"
#include "engine/types.h"

namespace pagedb {

namespace detail {
class AllocationStore;
struct StoreAllocator;
}  // namespace detail

/// How to open a PageAllocator.
struct PageAllocatorOptions {
  /// No page from here on is given out; as many as the file format can express when there is none. Pages from there on
  /// that were given out before stay allocated until they are freed.
  std::optional<PageId> end{};
  /// Whether a freed page may be given out before the sync that makes its being free durable. Only with a log that
  /// restores what the page held; see the head of this file.
  bool reuse_before_sync = false;
  /// Whether records of a log will be redone first: until `redo_done`, nothing may be allocated, freed or synced.
  bool redo = false;
  /// Is asked to be durable up to the last LSN that a `Change` was told of, before a sync commits. Outlives the
  /// allocator.
  LogBarrier* log = nullptr;
};

/// Which pages of a PageFile are in use. See the head of this file.
class PageAllocator final : public RedoAllocation {
 public:
  /// The allocator of `file`, which must outlive it and has one at a time. A file without an allocation map gets one
  /// with the first sync; in it nothing is allocated, whatever pages it has. Errors: allocation_damaged when the root
  /// does not verify; those of reading it; no_allocation for a headerless file; out_of_memory.
  [[nodiscard]] static Result<std::unique_ptr<PageAllocator>> open(PageFile& file,
                                                                   const PageAllocatorOptions& options = {}) noexcept;
  ~PageAllocator();
  PageAllocator(const PageAllocator&) = delete;
  PageAllocator& operator=(const PageAllocator&) = delete;

  /// A page that nobody has. A task takes up a group of 512 pages, and then another: one in which some were freed where
  /// there is one, else the one past all others; `high_water` may so grow by 511 more than needed. What stands in the
  /// page is undefined (BufferPool::new_page does not read it). Errors: no_free_page when there is none before `end`;
  /// poisoned; read_only; allocation_damaged and io_error only when what is left cannot be read; out_of_memory.
  [[nodiscard]] Result<PageId> allocate() noexcept;

  /// The same, as near to `hint` as its region allows. Anywhere when that is full or cannot be read, or when `hint`
  /// lies past every group of 512 pages that was ever taken up.
  [[nodiscard]] Result<PageId> allocate_near(PageId hint) noexcept;

  /// `count` (at least 1) pages with consecutive numbers, of which the first is returned. No run crosses into another
  /// region, nor passes by reserved pages. Covered by a sync as a whole or not at all. Looks into some regions with
  /// room before it takes pages past all others. Errors: as allocate; no_free_page, with `expected` = count, also when
  /// no region is that large (`run_max`).
  [[nodiscard]] Result<PageId> allocate_run(std::uint64_t count) noexcept;
  /// The longest run that there can be.
  [[nodiscard]] std::uint64_t run_max() const noexcept;

  /// Gives page `id` back. Errors, with nothing changed: not_allocated (freed before, or never allocated);
  /// reserved_page; page_id_overflow; poisoned; read_only; allocation_damaged or io_error when what the map says of it
  /// cannot be read; out_of_memory.
  [[nodiscard]] Result<void> free(PageId id) noexcept;

  /// Whether page `id` is allocated; false for a reserved page, and for one that no file can have. Errors: those of
  /// reading the map.
  [[nodiscard]] Result<bool> is_allocated(PageId id) noexcept;

  /// The first allocated page from `from` on; none when there is no more. Errors: those of reading the map, of which
  /// all that has pages from there on is read.
  [[nodiscard]] Result<std::optional<PageId>> next_allocated(PageId from) noexcept;

  /// One past the highest page that was ever allocated, since the file was made or `shrink_to_fit` lowered it.
  [[nodiscard]] PageId high_water() noexcept;
  /// Pages before high_water() that are neither allocated nor reserved, those included that wait for a sync.
  [[nodiscard]] std::uint64_t free_count() noexcept;

  /// Makes everything that returned before this call durable, together with every page write that did. Tasks that wait
  /// for each other share one commit. An error: the next opener finds the state before or this one. A failed sync (of
  /// anybody) poisons the file; after any other error it may be called again. Errors: those of
  /// PageFile::commit_redo_from, of LogBarrier::ensure_durable, and out_of_memory.
  [[nodiscard]] Result<void> sync() noexcept;

  /// Syncs, and gives trailing free space back: high_water goes down to one past the last allocated page, and the file
  /// is cut there (not below the map's own first pages). Pages that are freed wait for nothing: they are part of what
  /// is given back. Safe against crashes at any point: the file is cut once nothing durable refers to what goes. When
  /// others extend the file at the same moment it is not cut, and this is Ok. While it runs, trailing free pages are
  /// not given out, and after an error not before a sync succeeds, which may then cut the file, too. Errors: as sync;
  /// those of cutting the file, or of reading the map, and then the sync may have been done.
  [[nodiscard]] Result<void> shrink_to_fit() noexcept;

  /// Operations that a sync covers together or not at all: those between construction and destruction. While one is
  /// open, syncs wait, and so must the task that has it not: it must not sync, checkpoint, or open another one (that
  /// waits for itself). Costs two atomic operations.
  class Change {
   public:
    /// Waits while a sync takes its snapshot, which is short.
    explicit Change(PageAllocator& allocator) noexcept;
    ~Change();
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    /// A record of this change stands in the log at `lsn`. A sync that covers the change makes the log durable up to
    /// there first (PageAllocatorOptions::log).
    void logged(Lsn lsn) noexcept;

   private:
    PageAllocator& allocator_;
  };

  /// Redo: page `id` is allocated. Errors: reserved_page, page_id_overflow, those of reading the map, out_of_memory.
  [[nodiscard]] Result<void> redo_allocate(PageId id) noexcept override;
  /// Redo: page `id` is free. Errors: the same.
  [[nodiscard]] Result<void> redo_free(PageId id) noexcept override;
  /// All records are redone.
  void redo_done() noexcept;

  /// Bytes in memory.
  [[nodiscard]] std::size_t memory_bytes() noexcept;

 private:
  friend struct detail::StoreAllocator;  // for the model checker: opens one over any store
  struct Impl;
  [[nodiscard]] static Result<std::unique_ptr<PageAllocator>> open(detail::AllocationStore& store,
                                                                   const PageAllocatorOptions& options) noexcept;
  explicit PageAllocator(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pagedb
