// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageFile: numbered, checksummed pages in one file.
//
// Shape: page n stands at byte n x page_size. A file made by `create` carries a superblock in page 0 and its twin in
// the page at byte 1 MiB; those two page numbers are reserved (`is_reserved`), every other one is the caller's. A
// headerless 1.x file, opened with `legacy`, reserves none. A file with an allocator (engine/page_allocator.h) reserves
// the pages of its allocation map as well.
//
// Integrity: a page that is written is sealed (magic, version, id, file tag, CRC32C); a page that is read is verified,
// and a page that does not verify is an error with the facts, never wrong bytes.
//
// Durability: `write` is durable after a later `sync` has returned Ok (fdatasync semantics: the file's length is
// covered too). A write that failed, or that no sync covered, may be found whole, absent or torn after a crash; torn is
// detected. After a failed sync the file is *poisoned*, for every user of it: read, write and sync answer `poisoned`
// until it is closed and opened again. Closing syncs nothing.
//
// Thread-safety: every member may be called by several threads at once. Writes of one page, or a read and a write of
// one page, must be ordered by the caller (a buffer pool's latch does it): unordered ones may tear.
//
// Memory passed to read and write must be aligned as `limits().memory_align` says; AlignedBuffer always is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/page.h"
#include "engine/page_store.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb {

namespace detail {
class AllocationStore;
class PageFileMap;
}  // namespace detail

/// How to open a page file.
struct OpenOptions {
  Access access = Access::read_write;  ///< read_write takes the file's writer lock
  /// The page size that the caller expects; another one is `wrong_page_size`.
  std::optional<PageSize> page_size{};
  /// With read_write and `page_size`: the identity with which open finishes an interrupted create. A file that was
  /// created keeps its own.
  std::optional<FileId> file_id{};
  /// Open a headerless 1.x file; `page_size` is then required. Refused when the file has a superblock.
  bool legacy = false;
};

/// What opening found besides a sound file. Never an error in itself.
struct OpenReport {
  bool interrupted_create = false;       ///< the file was empty or all zero: a create that never finished
  std::uint64_t partial_tail_bytes = 0;  ///< bytes after the last whole page: an extension that never finished; ignored
  bool superblock_healed = false;        ///< one superblock was older or did not verify, and both hold the other now
                                         ///< (read_write only)
  bool superblock_damaged = false;       ///< one superblock does not verify and was left alone (read_only)
};

/// Numbered, checksummed pages in one file. See the head of this file for shape, integrity, durability and
/// thread-safety.
class PageFile final : public PageStore {
 public:
  /// Creates a page file. Ok only once the superblocks, the length and the directory entry are durable. A crash before
  /// that leaves nothing, an interrupted create (see OpenReport), or the whole file. `id` should come from a random
  /// source, and tells the files of a system apart.
  [[nodiscard]] static Result<std::unique_ptr<PageFile>> create(Scheduler& scheduler, IoBackend& backend,
                                                                const std::string& path, PageSize page_size,
                                                                const FileId& id);

  /// Opens a page file. A writable open syncs before it relies on anything it read, and makes both superblocks hold
  /// what it found, durably: that is a write and a sync, or two of each where one of them has to be mended. A file that
  /// is not ours, or has pages of another size, is refused and stays as it was. A superblock that cannot be read (EIO)
  /// makes open fail.
  [[nodiscard]] static Result<std::unique_ptr<PageFile>> open(Scheduler& scheduler, IoBackend& backend,
                                                              const std::string& path, const OpenOptions& options = {});

  ~PageFile() override;
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;

  /// Reads page `id` into `page` (page_size() bytes) and verifies it. On an error the contents of `page` mean nothing.
  [[nodiscard]] Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override;

  /// Seals `page` in place as page `id` (its LSN and payload stay) and writes it. Extends the file where needed; pages
  /// skipped by that read as `never_written`.
  [[nodiscard]] Result<void> write(PageId id, std::span<std::byte> page) noexcept;

  /// Reads and verifies many pages at the device's depth. Each entry gets its own result, and is given to `done` when
  /// it has it. Ok when all are; else the first error in span order.
  [[nodiscard]] Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept override;
  /// The same, for a caller who wants to know no sooner than at the end.
  [[nodiscard]] Result<void> read_batch(std::span<PageIo> batch) noexcept {
    return read_batch(batch, [](PageIo&) {});
  }

  /// Seals and writes many pages at the device's depth, in no promised order. Ids must differ. Each entry gets its own
  /// result, and is given to `done` when it has it. Ok when all are; else the first error in span order.
  [[nodiscard]] Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override;
  /// The same, for a caller who wants to know no sooner than at the end.
  [[nodiscard]] Result<void> write_batch(std::span<PageIo> batch) noexcept {
    return write_batch(batch, [](PageIo&) {});
  }

  /// Makes every write that returned before this call durable. An error poisons the file.
  [[nodiscard]] Result<void> sync() noexcept override;

  /// Makes every write that returned before this call durable, then stores `redo_from` in the superblock: barrier, one
  /// slot, barrier, the other slot, barrier. Calls take turns; those that wait share the next commit, which stores the
  /// highest value that any of them asked for. The value never goes back: one below `redo_from()` leaves that one.
  ///
  /// Ok: stored in both slots, and durable; the log below `redo_from` is not needed any more. An error: the next opener
  /// may find either value, and the log must be kept. A failed sync (of anybody) poisons the file; after any other
  /// error, such as io_error or no_space for a slot, the call may be repeated. Errors: poisoned; read_only; unsupported
  /// for a headerless file, which has no superblock; out_of_memory before anything was written; superblock_damaged when
  /// no higher generation exists, which only forged bytes bring about; those of a transfer and a sync.
  [[nodiscard]] Result<void> commit_redo_from(Lsn redo_from) noexcept override;

  /// Why page `id` must not be written: poisoned, read_only, page_id_overflow or reserved_page; Ok when it may.
  [[nodiscard]] Result<void> may_write(PageId id) const noexcept override;

  /// The LSN from which recovery reads the log: as open found it, or the last commit that returned Ok stored it; 0 when
  /// nobody ever did. Every page write that was acknowledged before it was stored is durable, so recovery may begin
  /// there. The log must not be cut on its account: that takes a `commit_redo_from` of this opener that returned Ok.
  [[nodiscard]] Lsn redo_from() const noexcept;

  /// Whole pages in the file, reserved ones included. Reading at or past it is `beyond_end`.
  [[nodiscard]] std::uint64_t page_count() const noexcept;

  /// Size of a page.
  [[nodiscard]] PageSize page_size() const noexcept override;
  /// Identity of the file; zero for a legacy file.
  [[nodiscard]] FileId file_id() const noexcept;
  /// Generation of the superblock as open found it or the last commit that returned Ok stored it; 0 for a legacy file.
  [[nodiscard]] std::uint64_t generation() const noexcept;
  /// Whether the library keeps page `id` for itself.
  [[nodiscard]] bool is_reserved(PageId id) const noexcept;
  /// Whether an earlier sync failed.
  [[nodiscard]] bool poisoned() const noexcept override;
  /// What opening found.
  [[nodiscard]] const OpenReport& open_report() const noexcept;
  /// What the device asks of memory, offsets and depth.
  [[nodiscard]] IoLimits limits() const noexcept override;

 private:
  friend class PageAllocator;
  friend class detail::PageFileMap;
  struct State;
  [[nodiscard]] detail::AllocationStore& allocation_store() noexcept;
  explicit PageFile(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace pagedb
