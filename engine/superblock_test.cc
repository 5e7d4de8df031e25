// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The superblock page: exact bytes, and what the decoder makes of hostile ones.
#include "engine/superblock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "engine/internal/crc32c_paths.h"

namespace pagedb {
namespace {

constexpr FileId kId{std::byte{0x11}, std::byte{0x22}, std::byte{0x33}, std::byte{0x44}, std::byte{5},  std::byte{6},
                     std::byte{7},    std::byte{8},    std::byte{9},    std::byte{10},   std::byte{11}, std::byte{12},
                     std::byte{13},   std::byte{14},   std::byte{15},   std::byte{16}};

std::vector<std::byte> encoded(std::uint64_t page_bytes, SuperblockSlot slot, std::uint64_t generation = 3,
                               Lsn redo_from = {}) {
  std::vector<std::byte> page(page_bytes, std::byte{0xEE});
  encode_superblock(
      {.page_size = *PageSize::of(page_bytes), .file_id = kId, .generation = generation, .redo_from = redo_from}, slot,
      page);
  return page;
}

// Makes the checksum hold again, so that the checks behind it are reached.
void mend(std::span<std::byte> page) {
  const std::uint32_t crc = page_crc(page);
  std::memcpy(page.data() + offsetof(PageHeader, crc32c), &crc, sizeof crc);
}

template <class T>
void poke(std::span<std::byte> page, std::size_t offset, T value) {
  std::memcpy(page.data() + offset, &value, sizeof value);
}

TEST(SuperblockTest, slots_stand_at_zero_and_one_mebibyte_for_every_page_size) {
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes; bytes *= 2) {
    const PageSize size = *PageSize::of(bytes);
    EXPECT_EQ(slot_page(SuperblockSlot::first, size), PageId{0});
    EXPECT_EQ(slot_page(SuperblockSlot::twin, size).value * bytes, 1048576u);
  }
}

TEST(SuperblockTest, what_was_encoded_is_decoded) {
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes; bytes *= 2) {
    for (const SuperblockSlot slot : {SuperblockSlot::first, SuperblockSlot::twin}) {
      const auto page = encoded(bytes, slot, 3, Lsn{~std::uint64_t{0}});
      EXPECT_TRUE(claims_superblock(page));
      EXPECT_EQ(superblock_page_size(page), PageSize::of(bytes));
      const auto superblock = decode_superblock(page, slot);
      ASSERT_TRUE(superblock) << superblock.error().message();
      EXPECT_EQ(superblock->page_size.bytes(), bytes);
      EXPECT_EQ(superblock->file_id, kId);
      EXPECT_EQ(superblock->generation, 3u);
      EXPECT_EQ(superblock->redo_from, Lsn{~std::uint64_t{0}});
    }
  }
}

// engine/FORMAT.md, byte for byte.
TEST(SuperblockTest, bytes_on_disk) {
  const auto page = encoded(8192, SuperblockSlot::twin, 0x0102030405060708, Lsn{0x1112131415161718});
  std::vector<std::byte> expected(8192);
  const auto put = [&](std::size_t at, std::string_view bytes) {
    std::memcpy(expected.data() + at, bytes.data(), bytes.size());
  };
  using namespace std::string_view_literals;
  put(0, "PGDB\x01\x00\x03\x00"sv);               // magic, version 1, flags metadata and file tag
  put(8, "\x80\x00\x00\x00\x00\x00\x00\x00"sv);   // page id: 1 MiB / 8 KiB
  put(28, "\x11\x22\x33\x44"sv);                  // file tag
  put(32, "SUPERBLK\x01\x00\x00\x00\x00\x20"sv);  // magic, format version 1, page size 0x2000
  put(48, "\x11\x22\x33\x44\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"sv);
  put(64, "\x08\x07\x06\x05\x04\x03\x02\x01"sv);  // generation
  put(96, "\x18\x17\x16\x15\x14\x13\x12\x11"sv);  // redo from
  const std::uint32_t crc = detail::crc32c_portable(detail::crc32c_portable(0, std::span(expected).first(24)),
                                                    std::span(expected).subspan(28));
  poke<std::uint32_t>(expected, 24, crc);
  EXPECT_EQ(page, expected);
}

TEST(SuperblockTest, everything_stands_in_the_first_sector) {
  const auto page = encoded(16384, SuperblockSlot::first);
  EXPECT_TRUE(std::all_of(page.begin() + 512, page.end(), [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST(SuperblockTest, the_allocation_root_is_kept_whatever_it_says) {
  using namespace std::string_view_literals;
  const AllocationRoot roots[] = {
      {},
      {.page = PageId{0x0102030405060708}, .generation = 0x1112131415161718, .crc32c = 0x21222324},
      {.page = PageId{~std::uint64_t{0}}, .generation = ~std::uint64_t{0}, .crc32c = ~std::uint32_t{0}},
      {.generation = 1},
      {.crc32c = 1},
  };
  for (const AllocationRoot& root : roots) {
    for (const SuperblockSlot slot : {SuperblockSlot::first, SuperblockSlot::twin}) {
      std::vector<std::byte> page(4096);
      encode_superblock({.page_size = PageSize{}, .file_id = kId, .generation = 3, .allocation = root}, slot, page);
      const auto superblock = decode_superblock(page, slot);
      ASSERT_TRUE(superblock) << superblock.error().message();
      EXPECT_EQ(superblock->allocation, root) << "it is the allocator that verifies it";
      if (root != roots[1]) continue;
      const std::string_view bytes(reinterpret_cast<const char*>(page.data()) + 104, 24);
      EXPECT_EQ(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11\x24\x23\x22\x21\0\0\0\0"sv);
    }
  }
}

// What any tear between 512-byte sectors leaves of one superblock written over another: one of the two.
TEST(SuperblockTest, a_torn_write_leaves_old_or_new) {
  const auto before = encoded(4096, SuperblockSlot::first, 3);
  const auto after = encoded(4096, SuperblockSlot::first, 4);
  for (unsigned survivors = 0; survivors < 256; ++survivors) {
    auto torn = before;
    for (std::size_t sector = 0; sector < 8; ++sector) {
      if ((survivors >> sector & 1) != 0)
        std::copy_n(after.begin() + static_cast<std::ptrdiff_t>(sector * 512), 512,
                    torn.begin() + static_cast<std::ptrdiff_t>(sector * 512));
    }
    const auto superblock = decode_superblock(torn, SuperblockSlot::first);
    ASSERT_TRUE(superblock);
    EXPECT_EQ(superblock->generation, (survivors & 1) != 0 ? 4u : 3u);
  }
}

TEST(SuperblockTest, the_other_slot_is_a_misdirected_write) {
  const auto page = encoded(4096, SuperblockSlot::first);
  EXPECT_EQ(decode_superblock(page, SuperblockSlot::twin).error().code, ErrorCode::wrong_page_id);
}

TEST(SuperblockTest, hostile_page_sizes_name_no_size) {
  for (const std::uint32_t bytes : {0u, 1u, 512u, 4095u, 4097u, 12288u, 2u << 20, 0x80000000u, 0xFFFFFFFFu}) {
    auto page = encoded(4096, SuperblockSlot::first);
    poke<std::uint32_t>(page, 44, bytes);
    mend(page);
    EXPECT_FALSE(superblock_page_size(page)) << bytes;
    EXPECT_EQ(decode_superblock(page, SuperblockSlot::first).error().code, ErrorCode::superblock_damaged);
  }
}

TEST(SuperblockTest, a_page_size_that_is_not_the_pages_own_is_damage) {
  auto page = encoded(8192, SuperblockSlot::first);
  poke<std::uint32_t>(page, 44, 4096);
  mend(page);
  EXPECT_EQ(decode_superblock(page, SuperblockSlot::first).error().code, ErrorCode::superblock_damaged);
}

TEST(SuperblockTest, unknown_versions_and_fields_are_refused) {
  auto page = encoded(4096, SuperblockSlot::first);
  poke<std::uint32_t>(page, 40, 2);
  mend(page);
  const auto newer = decode_superblock(page, SuperblockSlot::first);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, ErrorCode::unknown_format);
  EXPECT_EQ(newer.error().actual, 2u);

  for (std::size_t at = 72; at < 128; ++at) {
    if (at >= 96 && at < 124) continue;  // redo_from, and the allocation root
    page = encoded(4096, SuperblockSlot::first);
    page[at] = std::byte{1};
    mend(page);
    EXPECT_EQ(decode_superblock(page, SuperblockSlot::first).error().code, ErrorCode::unknown_format) << at;
  }
}

TEST(SuperblockTest, an_unknown_version_whose_checksum_fails_is_damage) {
  auto page = encoded(4096, SuperblockSlot::first);
  poke<std::uint32_t>(page, 40, 2);
  EXPECT_EQ(decode_superblock(page, SuperblockSlot::first).error().code, ErrorCode::bad_checksum);
}

TEST(SuperblockTest, a_users_page_is_no_superblock) {
  std::vector<std::byte> page(4096);
  const std::uint64_t magic = kSuperblockMagic;
  // Its payload claims to be one, but pages of users do not carry the metadata flag.
  std::memcpy(payload(std::span<std::byte>(page)).data(), &magic, sizeof magic);
  poke<std::uint32_t>(page, 40, 1);
  poke<std::uint32_t>(page, 44, 4096);
  seal(page, {.id = PageId{0}, .file_tag = 0, .has_file_tag = true});
  EXPECT_EQ(decode_superblock(page, SuperblockSlot::first).error().code, ErrorCode::superblock_damaged);
}

TEST(SuperblockTest, the_tag_must_be_that_of_the_identity) {
  auto page = encoded(4096, SuperblockSlot::first);
  page[28] ^= std::byte{1};
  mend(page);
  EXPECT_EQ(decode_superblock(page, SuperblockSlot::first).error().code, ErrorCode::wrong_file);
}

TEST(SuperblockTest, every_flipped_bit_is_found) {
  auto page = encoded(4096, SuperblockSlot::twin);
  for (std::size_t bit = 0; bit < page.size() * 8; ++bit) {
    page[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    ASSERT_FALSE(decode_superblock(page, SuperblockSlot::twin)) << "bit " << bit;
    page[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
}

TEST(SuperblockDeathTest, programmer_errors_abort) {
  std::vector<std::byte> page(4096);
  EXPECT_DEATH(encode_superblock({.page_size = *PageSize::of(8192)}, SuperblockSlot::first, page), "its own size");
  EXPECT_DEATH(static_cast<void>(claims_superblock(std::span(page).first(100))), "first 4 KiB");
}

}  // namespace
}  // namespace pagedb
