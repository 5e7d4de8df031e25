// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageFile: numbered, checksummed pages in one file.
//
// Shape: page n stands at byte n x page_size. A file made by `create` carries a superblock in page 0 and its twin in
// the page at byte 1 MiB; those two page numbers are reserved (`is_reserved`), every other one is the caller's. A
// headerless 1.x file, opened with `legacy`, reserves none.
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
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb {

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
  bool superblock_healed = false;   ///< one superblock did not verify and was rewritten from its twin (read_write only)
  bool superblock_damaged = false;  ///< one superblock does not verify and was left alone (read_only)
};

/// One page of a batch. For a write, `page` is sealed in place.
struct PageIo {
  PageId id{};                  ///< which page
  std::span<std::byte> page{};  ///< page_size() bytes
  Result<void> result{};        ///< how it ended, set by the batch call
};

/// Numbered, checksummed pages in one file. See the head of this file for shape, integrity, durability and
/// thread-safety.
class PageFile {
 public:
  /// Creates a page file. Ok only once the superblocks, the length and the directory entry are durable. A crash before
  /// that leaves nothing, an interrupted create (see OpenReport), or the whole file. `id` should come from a random
  /// source, and tells the files of a system apart.
  [[nodiscard]] static Result<std::unique_ptr<PageFile>> create(Scheduler& scheduler, IoBackend& backend,
                                                                const std::string& path, PageSize page_size,
                                                                const FileId& id);

  /// Opens a page file. A writable open syncs before it relies on anything it read, and heals a superblock that does
  /// not verify from its twin. A file that is not ours, or has pages of another size, is refused and stays as it was. A
  /// superblock that cannot be read (EIO) makes open fail.
  [[nodiscard]] static Result<std::unique_ptr<PageFile>> open(Scheduler& scheduler, IoBackend& backend,
                                                              const std::string& path, const OpenOptions& options = {});

  ~PageFile();
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;

  /// Reads page `id` into `page` (page_size() bytes) and verifies it. On an error the contents of `page` mean nothing.
  [[nodiscard]] Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept;

  /// Seals `page` in place as page `id` (its LSN and payload stay) and writes it. Extends the file where needed; pages
  /// skipped by that read as `never_written`.
  [[nodiscard]] Result<void> write(PageId id, std::span<std::byte> page) noexcept;

  /// Reads and verifies many pages at the device's depth. Each entry gets its own result. Ok when all are; else the
  /// first error in span order.
  [[nodiscard]] Result<void> read_batch(std::span<PageIo> batch) noexcept;

  /// Seals and writes many pages at the device's depth, in no promised order. Ids must differ. Each entry gets its own
  /// result; Ok when all are, else the first error in span order.
  [[nodiscard]] Result<void> write_batch(std::span<PageIo> batch) noexcept;

  /// Makes every write that returned before this call durable. An error poisons the file.
  [[nodiscard]] Result<void> sync() noexcept;

  /// Whole pages in the file, reserved ones included. Reading at or past it is `beyond_end`.
  [[nodiscard]] std::uint64_t page_count() const noexcept;

  /// Size of a page.
  [[nodiscard]] PageSize page_size() const noexcept;
  /// Identity of the file; zero for a legacy file.
  [[nodiscard]] FileId file_id() const noexcept;
  /// Commits of the superblock so far; 0 for a legacy file.
  [[nodiscard]] std::uint64_t generation() const noexcept;
  /// Whether the library keeps page `id` for itself.
  [[nodiscard]] bool is_reserved(PageId id) const noexcept;
  /// Whether an earlier sync failed.
  [[nodiscard]] bool poisoned() const noexcept;
  /// What opening found.
  [[nodiscard]] const OpenReport& open_report() const noexcept;
  /// What the device asks of memory, offsets and depth.
  [[nodiscard]] IoLimits limits() const noexcept;

 private:
  struct State;
  explicit PageFile(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace pagedb
