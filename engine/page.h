// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The page: header layout, seal before writing, verify after reading.
//
// A page is a 32-byte little-endian header and a payload (engine/FORMAT.md is normative):
//
//   +0 magic u32 "PGDB" | +4 version u16 = 1 | +6 flags u16 | +8 page_id u64 | +16 lsn u64 | +24 crc32c u32 | +28
//   reserved u32
//
// The CRC32C covers the page's bytes except the four of the CRC itself. Nothing here allocates or does I/O; everything
// may be called from any thread on distinct pages.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/error.h"
#include "engine/types.h"

namespace pagedb {

/// The header as it stands on disk, little-endian.
struct PageHeader {
  std::uint32_t magic = 0;     ///< kPageMagic
  std::uint16_t version = 0;   ///< kPageVersion
  std::uint16_t flags = 0;     ///< PageFlags bits; unknown ones are ignored by readers
  std::uint64_t page_id = 0;   ///< the page's own number
  std::uint64_t lsn = 0;       ///< log position of the last change
  std::uint32_t crc32c = 0;    ///< CRC32C of the page without these four bytes
  std::uint32_t reserved = 0;  ///< low half of the file's identity where flags say so, else 0
};
static_assert(sizeof(PageHeader) == 32 && alignof(PageHeader) == 8);
static_assert(offsetof(PageHeader, magic) == 0 && offsetof(PageHeader, version) == 4 &&
              offsetof(PageHeader, flags) == 6);
static_assert(offsetof(PageHeader, page_id) == 8 && offsetof(PageHeader, lsn) == 16);
static_assert(offsetof(PageHeader, crc32c) == 24 && offsetof(PageHeader, reserved) == 28);
static_assert(std::endian::native == std::endian::little, "the on-disk format is little-endian and read in place");

inline constexpr std::uint32_t kPageMagic = 0x42444750;              ///< the bytes "PGDB"
inline constexpr std::uint16_t kPageVersion = 1;                     ///< the page format of 1.x
inline constexpr std::size_t kPageHeaderBytes = sizeof(PageHeader);  ///< where the payload begins

/// Bits of PageHeader::flags.
namespace page_flags {
inline constexpr std::uint16_t kMetadata = 1u << 0;  ///< the page belongs to the library, not to its user
inline constexpr std::uint16_t kFileTag = 1u << 1;   ///< `reserved` carries the low half of the file's identity
}  // namespace page_flags

/// What a page is sealed with or verified against, beyond its own bytes.
struct PageIdentity {
  PageId id{};                 ///< where the page stands
  std::uint32_t file_tag = 0;  ///< low half of the file's identity
  bool has_file_tag = false;   ///< false for headerless files: no flag is set and `reserved` is 0
};

/// The header of `page`, copied out. `page` has at least 32 bytes.
[[nodiscard]] PageHeader read_header(std::span<const std::byte> page) noexcept;

/// The LSN in `page`'s header.
[[nodiscard]] Lsn page_lsn(std::span<const std::byte> page) noexcept;

/// Sets the LSN in `page`'s header. The page must be sealed afterwards.
void set_page_lsn(std::span<std::byte> page, Lsn lsn) noexcept;

/// The bytes after the header, which belong to the caller.
[[nodiscard]] inline std::span<std::byte> payload(std::span<std::byte> page) noexcept {
  return page.subspan(kPageHeaderBytes);
}
/// The bytes after the header, to read.
[[nodiscard]] inline std::span<const std::byte> payload(std::span<const std::byte> page) noexcept {
  return page.subspan(kPageHeaderBytes);
}

/// CRC32C of `page` without the four CRC bytes.
[[nodiscard]] std::uint32_t page_crc(std::span<const std::byte> page) noexcept;

/// Completes the header (magic, version, flags, page id, tag, CRC) so that the page can be written. Keeps LSN and
/// payload. `extra_flags` are set besides those that `identity` asks for; all others are cleared.
void seal(std::span<std::byte> page, const PageIdentity& identity, std::uint16_t extra_flags = 0) noexcept;

/// Verifies a page that came from a disk, in this order: length, magic (never_written when every byte is zero),
/// version, checksum, page id, file tag. The first check that fails is the error, about `identity.id`.
[[nodiscard]] Result<PageHeader> verify(std::span<const std::byte> page, PageSize size,
                                        const PageIdentity& identity) noexcept;

}  // namespace pagedb
