// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Encoding and decoding of superblock pages.
#include "engine/superblock.h"

#include <algorithm>
#include <cstring>

#include "engine/check.h"

namespace pagedb {
namespace {

SuperblockPayload read_payload(std::span<const std::byte> page) noexcept {
  SuperblockPayload fields;
  std::memcpy(&fields, payload(page).data(), sizeof fields);
  return fields;
}

SuperblockPayload payload_of(const Superblock& superblock) noexcept {
  return {.magic = kSuperblockMagic,
          .format_version = kSuperblockVersion,
          .page_size = superblock.page_size.bytes(),
          .file_id = superblock.file_id,
          .generation = superblock.generation,
          .redo_from = superblock.redo_from.value,
          .allocation_root_page = superblock.allocation.page.value,
          .allocation_root_generation = superblock.allocation.generation,
          .allocation_root_crc32c = superblock.allocation.crc32c};
}

PageIdentity identity_of(SuperblockSlot slot, PageSize size, const FileId& id) noexcept {
  return {.id = slot_page(slot, size), .file_tag = file_tag(id), .has_file_tag = true};
}

}  // namespace

std::uint32_t file_tag(const FileId& id) noexcept {
  std::uint32_t tag;
  std::memcpy(&tag, id.data(), sizeof tag);
  return tag;
}

void encode_superblock(const Superblock& superblock, SuperblockSlot slot, std::span<std::byte> page) noexcept {
  PAGEDB_CHECK(page.size() == superblock.page_size.bytes(), "a superblock fills a page of its own size");
  const SuperblockPayload fields = payload_of(superblock);
  std::fill(page.begin(), page.end(), std::byte{0});
  std::memcpy(payload(page).data(), &fields, sizeof fields);
  seal(page, identity_of(slot, superblock.page_size, superblock.file_id), page_flags::kMetadata);
}

bool claims_superblock(std::span<const std::byte> bytes) noexcept {
  PAGEDB_CHECK(bytes.size() >= PageSize::kMinBytes, "a slot is looked at by its first 4 KiB");
  constexpr std::uint16_t kFlags = page_flags::kMetadata | page_flags::kFileTag;
  const PageHeader header = read_header(bytes);
  return read_payload(bytes).magic == kSuperblockMagic ||
         (header.magic == kPageMagic && (header.flags & kFlags) == kFlags);
}

std::optional<PageSize> superblock_page_size(std::span<const std::byte> bytes) noexcept {
  PAGEDB_CHECK(bytes.size() >= PageSize::kMinBytes, "a slot is looked at by its first 4 KiB");
  const SuperblockPayload fields = read_payload(bytes);
  return fields.magic == kSuperblockMagic ? PageSize::of(fields.page_size) : std::nullopt;
}

Result<Superblock> decode_superblock(std::span<const std::byte> page, SuperblockSlot slot) noexcept {
  const SuperblockPayload fields = read_payload(page);
  const std::optional<PageSize> size = PageSize::of(page.size());
  PAGEDB_CHECK(size.has_value(), "a slot is decoded from a whole page");
  const auto header = verify(page, *size, identity_of(slot, *size, fields.file_id));
  if (!header) return failure(header.error());

  const PageError damaged = PageError{.code = ErrorCode::superblock_damaged}.about(slot_page(slot, *size));
  if (fields.magic != kSuperblockMagic || (header->flags & page_flags::kMetadata) == 0 ||
      fields.page_size != size->bytes()) {
    return failure(damaged);
  }
  // A field that we leave zero and that is set belongs to a feature that we do not know, such as a double-write area
  // that holds a page's only good copy.
  const Superblock superblock{.page_size = *size,
                              .file_id = fields.file_id,
                              .generation = fields.generation,
                              .redo_from = {fields.redo_from},
                              .allocation = {.page = {fields.allocation_root_page},
                                             .generation = fields.allocation_root_generation,
                                             .crc32c = fields.allocation_root_crc32c}};
  const SuperblockPayload known = payload_of(superblock);
  if (std::memcmp(&known, &fields, sizeof known) != 0) {
    return failure(
        PageError{.code = ErrorCode::unknown_format, .expected = kSuperblockVersion, .actual = fields.format_version});
  }
  return superblock;
}

}  // namespace pagedb
