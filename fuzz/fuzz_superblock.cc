// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Hostile bytes into the superblock decoder: what it accepts must mean the same after encoding it again.
//
// Input: a control byte (bits 0-1: length 4 KiB << n; bit 2: the twin; bit 3: seal the page as the superblock that its
// bytes claim, so that the checks behind the checksum are reached), then the page's bytes, zeros after them.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/superblock.h"
#include "fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pagedb::fuzz::require;
  std::span input(data, size);
  const std::uint8_t control = pagedb::fuzz::take_byte(input);
  const std::size_t page_bytes = std::size_t{4096} << (control & 3);
  const auto slot = (control & 4) != 0 ? pagedb::SuperblockSlot::twin : pagedb::SuperblockSlot::first;

  std::vector<std::byte> page(page_bytes);
  const std::size_t given = std::min(input.size(), page_bytes);
  if (given > 0) std::memcpy(page.data(), input.data(), given);
  if ((control & 8) != 0) {
    pagedb::FileId id{};
    std::memcpy(id.data(), page.data() + pagedb::kPageHeaderBytes + offsetof(pagedb::SuperblockPayload, file_id),
                sizeof id);
    const auto page_id = pagedb::slot_page(slot, *pagedb::PageSize::of(page_bytes));
    pagedb::seal(page, {.id = page_id, .file_tag = pagedb::file_tag(id), .has_file_tag = true},
                 pagedb::page_flags::kMetadata);
  }

  const bool claims = pagedb::claims_superblock(page);
  const auto named = pagedb::superblock_page_size(page);
  const auto decoded = pagedb::decode_superblock(page, slot);
  if (!decoded) {
    require(!decoded.error().message().empty(), "an error without a message");
    return 0;
  }
  require(claims, "a sound superblock does not look like one");
  require(named == decoded->page_size, "two readings of the page size differ");
  require(decoded->page_size.bytes() == page_bytes, "a superblock of another page size was accepted");
  std::vector<std::byte> again(page_bytes);
  pagedb::encode_superblock(*decoded, slot, again);
  const auto second = pagedb::decode_superblock(again, slot);
  require(second.has_value(), "an encoded superblock does not decode");
  require(second->page_size == decoded->page_size && second->file_id == decoded->file_id &&
              second->generation == decoded->generation && second->redo_from == decoded->redo_from,
          "a superblock changes its meaning when it is encoded again");
  return 0;
}
