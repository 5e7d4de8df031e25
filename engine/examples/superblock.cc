// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: what a tool does that looks at the superblocks of a file by itself.
#include "engine/superblock.h"

#include <cstdio>
#include <vector>

int main() {
  using pagedb::SuperblockSlot;
  const pagedb::Superblock superblock{
      .page_size = *pagedb::PageSize::of(8192),
      .file_id = {std::byte{0xAB}, std::byte{0xCD}},
      .generation = 5,
      .allocation = pagedb::AllocationRoot{.page = {130}, .generation = 2, .crc32c = 0x1234}};  // where the map begins

  // Both slots, in the order in which a commit of this generation writes them.
  const SuperblockSlot first = pagedb::begins_with(superblock.generation);
  for (const SuperblockSlot slot : {first, other(first)}) {
    std::vector<std::byte> page(superblock.page_size.bytes());
    pagedb::encode_superblock(superblock, slot, page);
    std::printf("page %llu at byte %llu\n",
                static_cast<unsigned long long>(pagedb::slot_page(slot, superblock.page_size).value),
                static_cast<unsigned long long>(pagedb::slot_offset(slot)));

    // A reader knows the page size only from the superblock itself; it is a guess until the page verifies.
    if (!pagedb::claims_superblock(page) || pagedb::superblock_page_size(page) != superblock.page_size) return 1;
    const auto decoded = pagedb::decode_superblock(page, slot);
    if (!decoded || decoded->generation != 5 || pagedb::file_tag(decoded->file_id) != 0xCDAB) return 1;
    if (decoded->allocation != superblock.allocation) return 1;

    page[70] ^= std::byte{1};
    const auto damaged = pagedb::decode_superblock(page, slot);
    if (damaged) return 1;
    std::printf("%s\n", damaged.error().message().c_str());
  }
  return 0;
}
