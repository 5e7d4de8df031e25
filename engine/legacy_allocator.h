// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the allocator of 1.x left in a headerless file: which pages are free, and how many were ever given out. Read
// only; this library never writes that layout (engine/FORMAT.md, Allocation in 1.x).
//
//   page 0: "PGSB", high water, free count, free head ──► free page ──► free page ──► none
//
// To import such a file, read its allocation, then copy each page that `is_in_use`, up to the lower of `high_water()`
// and the file's `page_count()`, to a file made by PageFile::create. Some numbers are reserved there, so that whatever
// refers to pages by number has to be translated.
//
// Thread-safety: LegacyAllocation is a value; reading one from several threads is safe. `read_legacy_allocation` may
// run beside other readers of the file. A page written meanwhile may give an error, or an answer that mixes before and
// after.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/error.h"
#include "engine/page_file.h"
#include "engine/types.h"

namespace pagedb {

namespace detail {
class LegacyChain;
}  // namespace detail

/// Which pages of a 1.x file are free. Made by read_legacy_allocation. Nothing here allocates. A moved-from one may
/// only be assigned to or destroyed.
class LegacyAllocation {
 public:
  /// One past the highest page ever given out; at least 1, as page 0 is the allocator's. It may lie far past the end of
  /// the file, for forged bytes as well as for pages given out and never written: bound a loop by `page_count()`.
  [[nodiscard]] std::uint64_t high_water() const noexcept { return high_water_; }

  /// Pages that are free. All of them lie in the file and verify.
  [[nodiscard]] std::uint64_t free_count() const noexcept { return free_count_; }

  /// Whether page `id` was given out and is free again. Any id may be asked for. O(1).
  [[nodiscard]] bool is_free(PageId id) const noexcept {
    return id.value < covered_ && (words_[id.value / kBits] >> (id.value % kBits) & 1) != 0;
  }

  /// Whether page `id` is its user's: given out and not free. Not said: that it was ever written. Page 0 never is.
  /// O(1).
  [[nodiscard]] bool is_in_use(PageId id) const noexcept {
    return id.value != 0 && id.value < high_water_ && !is_free(id);
  }

  /// The first free page from page `from` on; nothing when there is none. O(pages in between / 64).
  [[nodiscard]] std::optional<PageId> next_free(PageId from) const noexcept;

 private:
  friend class detail::LegacyChain;
  static constexpr std::uint64_t kBits = 64;
  struct Free {
    void operator()(std::uint64_t* words) const noexcept;
  };

  LegacyAllocation() noexcept = default;
  /// Makes room for the pages below `pages`, none of them free. False: there is no memory.
  [[nodiscard]] bool cover(std::uint64_t pages) noexcept;
  void set_free(PageId id) noexcept;

  std::uint64_t high_water_ = 1;
  std::uint64_t free_count_ = 0;
  std::uint64_t covered_ = 0;  // no page from here on is free
  std::unique_ptr<std::uint64_t[], Free> words_;
};

/// Reads the allocation of `file`, a 1.x file opened with `legacy`. All of it is checked, and nothing is written: Ok
/// says that page 0 and every free page verify, and that the chain visits as many pages as page 0 says, each once.
///
/// Errors:
///   - no_allocation: page 0 is sound, and not a 1.x allocator's; or the file has a superblock
///   - unknown_format: the state is of a version that this library does not know; `actual`
///   - allocation_damaged: a page says what cannot be, and the error is about that page. Of page 0: a high water of 0
///     or past the last page that a file can have, or more free pages than there are pages. Of page 0 or a free page: a
///     next page that is page 0, not below the high water, or in the chain already; an end of the chain before as many
///     pages as page 0 says, or none after them
///   - beyond_end, about a free page that the file does not have
///   - those of PageFile::read, about page 0 or the free page that cannot be read or does not verify. (The checksum
///     covers the unused bytes of a free page too.)
///   - out_of_memory
///
/// Cost: one read for page 0 and one for each free page, one after the other; no more than `page_count()` whatever the
/// bytes say. A page, and a bit for each page of the file, of memory.
[[nodiscard]] Result<LegacyAllocation> read_legacy_allocation(PageFile& file) noexcept;

}  // namespace pagedb
