// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageError and Result: how every function of the engine says what went wrong.
//
// A PageError is a code plus the facts that a person needs to act: page id, stored and computed CRC, errno, byte
// counts. It is a plain value, 64 bytes at most, made without allocation. No exception crosses the engine's API.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "engine/types.h"

namespace pagedb {

/// What went wrong. Each situation a caller may want to tell apart has a code of its own.
enum class ErrorCode : std::uint8_t {
  // The device or the operating system said no.
  io_error,            ///< a read, write, sync or resize failed; `sys_errno` says how
  no_space,            ///< the device or quota is full (ENOSPC, EDQUOT)
  short_transfer,      ///< the device kept moving fewer bytes than asked; `actual` of `expected` bytes were moved
  misaligned,          ///< memory, offset or length breaks the device's alignment; `expected` is the alignment
  out_of_memory,       ///< memory for buffers could not be had
  unsupported,         ///< the kernel or file system refuses this way of doing I/O; `sys_errno` says how
  not_found,           ///< no such file
  already_exists,      ///< create: the file is there already
  not_a_regular_file,  ///< the path names a directory or a device
  permission_denied,   ///< the operating system forbids the access asked for
  locked,              ///< another opener holds the file for writing
  read_only,           ///< the file was opened for reading only
  poisoned,            ///< an earlier sync failed: nothing more is promised until the file is reopened

  // The page does not verify. Listed in the order in which a page is checked.
  bad_length,     ///< fewer bytes than a page; `actual` of `expected`
  never_written,  ///< all bytes of the page are zero: it was never written, or the write was lost
  bad_magic,      ///< does not start with the page magic
  bad_version,    ///< a page format version that this library does not read; `actual`
  bad_checksum,   ///< CRC32C differs: `stored_crc`, `computed_crc`
  wrong_page_id,  ///< the page says that it is page `actual`: a misdirected write or read
  wrong_file,     ///< the page carries another file's identity: `actual` instead of `expected`

  // The request does not fit the file.
  beyond_end,        ///< the page lies past the end of the file; `actual` is the file's page count
  page_id_overflow,  ///< the page's offset is not representable
  reserved_page,     ///< the page belongs to the file's own metadata
  not_allocated,     ///< free: the page is free already, or was never allocated

  // The pool cannot do it now.
  pool_exhausted,  ///< every frame of the buffer pool is held; `actual` frames. Release a guard, or make the pool
                   ///< larger

  no_free_page,  ///< no page before page `actual` is free, or no run of `expected` pages where that is set

  // The file is not what the caller takes it for. Nothing was changed.
  not_a_page_file,     ///< neither superblock is ours
  headerless_file,     ///< a 1.x file without superblock, of page size `actual` (0: damage hides it): open it with
                       ///< `legacy`
  not_headerless,      ///< `legacy` was asked for, but the file has a superblock, and pages of `actual` bytes
  wrong_page_size,     ///< the file's pages have `actual` bytes (as its bytes suggest), not `expected`
  superblock_damaged,  ///< it was ours, but neither superblock verifies, or the two contradict each other
  unknown_format,      ///< a valid superblock of a format version that this library does not know; `actual`
  no_allocation,       ///< the file has no allocation state of the kind that was asked for
  allocation_damaged,  ///< the metadata that says which pages are in use contradicts itself or does not verify
};

/// The code's name as it stands in the enumeration, for example "bad_checksum".
[[nodiscard]] std::string_view name(ErrorCode code) noexcept;

/// An error with its facts. Facts that do not apply are zero.
struct PageError {
  ErrorCode code{};                ///< what went wrong
  int sys_errno = 0;               ///< errno value, for device errors
  PageId page{};                   ///< the page concerned, where has_page is set
  bool has_page = false;           ///< whether `page` applies
  std::uint32_t stored_crc = 0;    ///< bad_checksum: what the page says
  std::uint32_t computed_crc = 0;  ///< bad_checksum: what its bytes give
  std::uint64_t expected = 0;      ///< what was asked for or should be; see the code
  std::uint64_t actual = 0;        ///< what was found; see the code

  /// The same error, about page `id`.
  [[nodiscard]] constexpr PageError about(PageId id) const noexcept {
    PageError copy = *this;
    copy.page = id;
    copy.has_page = true;
    return copy;
  }

  /// One line for people: what is wrong, with the facts, and what can be done where that is known.
  [[nodiscard]] std::string message() const;
};

static_assert(sizeof(PageError) <= 64);

/// Either a T or the PageError that says why there is none. Every function that returns one is [[nodiscard]].
template <class T>
using Result = tl::expected<T, PageError>;

/// Wraps an error for returning from a function whose result is a Result<T>.
[[nodiscard]] constexpr tl::unexpected<PageError> failure(const PageError& error) {
  return tl::unexpected<PageError>(error);
}

}  // namespace pagedb
