// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The superblock: what a page file knows about itself, in two copies.
//
// Slot 0 is the page at byte 0, slot 1 (the twin) the page at byte 1 MiB, whatever the page size. A superblock is a
// page (engine/page.h) with the flags kMetadata and kFileTag; all its fields stand in the page's first 512 bytes and
// the rest is zero, so that a write that tears between sectors leaves the old superblock or the new one and never a
// mixture. engine/FORMAT.md is normative.
//
// Complexity: one pass over a page. Nothing here does I/O or allocates; any thread may call it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/error.h"
#include "engine/page.h"
#include "engine/types.h"

namespace pagedb {

/// The payload of a superblock page as it stands on disk, little-endian. Magic, format version and page size keep their
/// places in every version.
struct SuperblockPayload {
  std::uint64_t magic = 0;                       ///< kSuperblockMagic
  std::uint32_t format_version = 0;              ///< kSuperblockVersion
  std::uint32_t page_size = 0;                   ///< bytes in a page of this file
  FileId file_id{};                              ///< identity of the file
  std::uint64_t generation = 0;                  ///< grows with each commit; the higher of two sound slots counts
  std::uint32_t torn_protection = 0;             ///< 0: none
  std::uint32_t zero = 0;                        ///< always 0
  std::uint64_t double_write_first_page = 0;     ///< first page of the double-write extent; 0 while there is none
  std::uint64_t double_write_pages = 0;          ///< pages in the double-write extent
  std::uint64_t redo_from = 0;                   ///< LSN from which recovery reads the log
  std::uint64_t allocation_root_page = 0;        ///< root of the allocation metadata; 0 while there is none
  std::uint64_t allocation_root_generation = 0;  ///< generation that the root must have
  std::uint32_t allocation_root_crc32c = 0;      ///< checksum that the root must have
  std::uint32_t zero_end = 0;                    ///< always 0
};
static_assert(sizeof(SuperblockPayload) == 96 && alignof(SuperblockPayload) == 8);
static_assert(offsetof(SuperblockPayload, magic) == 0 && offsetof(SuperblockPayload, format_version) == 8);
static_assert(offsetof(SuperblockPayload, page_size) == 12 && offsetof(SuperblockPayload, file_id) == 16);
static_assert(offsetof(SuperblockPayload, generation) == 32 && offsetof(SuperblockPayload, torn_protection) == 40);
static_assert(offsetof(SuperblockPayload, zero) == 44 && offsetof(SuperblockPayload, double_write_first_page) == 48);
static_assert(offsetof(SuperblockPayload, double_write_pages) == 56 && offsetof(SuperblockPayload, redo_from) == 64);
static_assert(offsetof(SuperblockPayload, allocation_root_page) == 72 &&
              offsetof(SuperblockPayload, allocation_root_generation) == 80);
static_assert(offsetof(SuperblockPayload, allocation_root_crc32c) == 88 && offsetof(SuperblockPayload, zero_end) == 92);
static_assert(kPageHeaderBytes + sizeof(SuperblockPayload) <= 512,
              "a superblock's fields fit one sector, so that no write of it can tear");

inline constexpr std::uint64_t kSuperblockMagic = 0x4B4C425245505553;  ///< the bytes "SUPERBLK"
inline constexpr std::uint32_t kSuperblockVersion = 1;                 ///< the file format of 2.x
inline constexpr std::uint64_t kTwinOffset = std::uint64_t{1} << 20;   ///< where slot 1 begins, in bytes

/// Where the root of a file's allocation map stands, and what it must be. All zero: the file has no map.
struct AllocationRoot {
  PageId page{};                 ///< the page
  std::uint64_t generation = 0;  ///< the generation that it must have
  std::uint32_t crc32c = 0;      ///< the checksum that its page header must have
  /// Equal when they name the same root.
  friend bool operator==(const AllocationRoot&, const AllocationRoot&) = default;
};

/// What a superblock says, with its page size validated.
struct Superblock {
  PageSize page_size{};          ///< bytes in a page
  FileId file_id{};              ///< identity of the file
  std::uint64_t generation = 0;  ///< grows with each attempt of a commit, and says where it began: begins_with
  Lsn redo_from{};               ///< LSN from which recovery reads the log; 0: from its beginning
  AllocationRoot allocation{};   ///< root of the allocation map, as it stands: unverified
};

inline constexpr std::uint64_t kGenerationBeingMade =
    0;  ///< not known to be durable in any slot: a writable open commits it again
inline constexpr std::uint64_t kGenerationMade = 1;  ///< generation 0 is durable in both slots; what `create` leaves

/// Which of the two copies.
enum class SuperblockSlot : std::uint8_t {
  first,  ///< at byte 0
  twin,   ///< at byte kTwinOffset
};

/// The other slot.
[[nodiscard]] constexpr SuperblockSlot other(SuperblockSlot slot) noexcept {
  return slot == SuperblockSlot::first ? SuperblockSlot::twin : SuperblockSlot::first;
}

/// The slot that a commit of `generation` writes first. Generation 0 is an exception: it begins with the first slot.
///
/// Who finds a generation in both slots knows from this which one was made durable before the other was written, and
/// leaves that one alone until the other is known to be durable too. A writable opening makes it so.
[[nodiscard]] constexpr SuperblockSlot begins_with(std::uint64_t generation) noexcept {
  return generation % 2 != 0 ? SuperblockSlot::first : SuperblockSlot::twin;
}

/// First byte of `slot` in the file.
[[nodiscard]] constexpr std::uint64_t slot_offset(SuperblockSlot slot) noexcept {
  return slot == SuperblockSlot::first ? 0 : kTwinOffset;
}

/// Number of the page that is `slot` in a file of pages of `size`.
[[nodiscard]] constexpr PageId slot_page(SuperblockSlot slot, PageSize size) noexcept {
  return PageId{slot_offset(slot) >> size.shift()};
}

/// The tag that pages of file `id` carry: its first four bytes, little-endian.
[[nodiscard]] std::uint32_t file_tag(const FileId& id) noexcept;

/// Writes the whole superblock page for `slot` into `page`, sealed. `page` has `superblock.page_size` bytes.
void encode_superblock(const Superblock& superblock, SuperblockSlot slot, std::span<std::byte> page) noexcept;

/// Whether bytes look like a superblock, sound or not: they have its magic, or the head of a metadata page with a
/// file's tag. `bytes` are the first of a slot, 4096 at least.
[[nodiscard]] bool claims_superblock(std::span<const std::byte> bytes) noexcept;

/// The page size that a superblock names, or nothing when `bytes` are no superblock or name no valid size. Unverified:
/// it says how many bytes decode_superblock needs. `bytes` are the first of a slot, 4096 at least.
[[nodiscard]] std::optional<PageSize> superblock_page_size(std::span<const std::byte> bytes) noexcept;

/// Verifies and decodes the superblock in `page`, a whole page read from `slot`. Errors: those of `verify`;
/// superblock_damaged when the page is sound but is no superblock or one that contradicts itself; unknown_format when
/// it is a sound one of a version, or with a field set, that this library does not know.
[[nodiscard]] Result<Superblock> decode_superblock(std::span<const std::byte> page, SuperblockSlot slot) noexcept;

}  // namespace pagedb
