// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle's own reader of the format: its checksum against one computed bit by bit, its decoders against pages made
// by hand and against facts that another implementation wrote down.
#include "scenarios/reference_page.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "scenarios/testing/hand_made.h"

namespace pagedb::scenarios {
namespace {

std::vector<std::byte> noise(std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = 12345;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

/// Page `id` as the golden files have it: LSN 1000 + id, payload byte i is (31 id + i) & 0xff.
std::vector<std::byte> golden_page(std::uint64_t id, std::size_t size) {
  std::vector<std::byte> page(size);
  for (std::size_t i = 0; i + 32 < size; ++i) page[32 + i] = static_cast<std::byte>((31 * id + i) & 0xff);
  head_by_hand(page, id, 1000 + id, 0, 0);
  return page;
}

TEST(ReferenceCrc, HasTheCheckValueOfRfc3720) {
  EXPECT_EQ(reference_crc32c(0, std::as_bytes(std::span("123456789", 9))), 0xE3069283u);
  EXPECT_EQ(reference_crc32c(0, std::vector<std::byte>(32)), 0x8A9136AAu);
  EXPECT_EQ(reference_crc32c(0, std::vector<std::byte>(32, std::byte{0xff})), 0x62A8AB43u);
  EXPECT_EQ(reference_crc32c(0, {}), 0u);
}

TEST(ReferenceCrc, AgreesWithOneBitAtATimeForEveryLengthAndAlignment) {
  const std::vector<std::byte> bytes = noise(5000);
  const std::span<const std::byte> all(bytes);
  for (std::size_t length = 0; length < 300; ++length) {
    for (std::size_t at = 0; at < 9; ++at) {
      const auto piece = all.subspan(at, length);
      ASSERT_EQ(reference_crc32c(0, piece), crc32c_by_bits(0, piece)) << length << " bytes from " << at;
    }
  }
  for (const std::size_t length : {511u, 512u, 1023u, 4095u, 4096u, 4097u, 5000u})
    ASSERT_EQ(reference_crc32c(0, all.first(length)), crc32c_by_bits(0, all.first(length))) << length;
}

TEST(ReferenceCrc, ContinuesWhereItStopped) {
  const std::vector<std::byte> bytes = noise(257);
  const std::span<const std::byte> all(bytes);
  for (std::size_t cut = 0; cut <= all.size(); ++cut)
    ASSERT_EQ(reference_crc32c(reference_crc32c(0, all.first(cut)), all.subspan(cut)), crc32c_by_bits(0, all)) << cut;
}

TEST(ReferencePage, KnowsThePagesOfAnotherImplementation) {
  struct Fact {
    std::uint64_t id;
    std::size_t size;
    std::uint32_t crc;
  };
  for (const Fact& fact :
       {Fact{0, 4096, 0xcc352423u}, Fact{1, 4096, 0xac80e701u}, Fact{2, 4096, 0x735b99e9u}, Fact{7, 4096, 0x5a8c818eu},
        Fact{0, 16384, 0x4dbe5a57u}, Fact{1, 16384, 0xc913f7b8u}, Fact{2, 16384, 0xdda21739u}}) {
    std::vector<std::byte> page = golden_page(fact.id, fact.size);
    put(std::span(page), 24, fact.crc);  // as it was written down, not as it is computed here
    const auto found = decode_page(page);
    ASSERT_TRUE(found) << fact.id << " of " << fact.size;
    EXPECT_EQ(found->page_id, fact.id);
    EXPECT_EQ(found->lsn, 1000 + fact.id);
    EXPECT_EQ(found->flags, 0);
    EXPECT_EQ(found->reserved, 0u);
  }
}

TEST(ReferencePage, TellsEveryFieldOfTheHeader) {
  std::vector<std::byte> page = noise(8192);
  head_by_hand(page, 0x0123456789abcdef, 0xfedcba9876543210, 0xfff2, 0x89abcdef);
  const auto found = decode_page(page);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->page_id, 0x0123456789abcdefu);
  EXPECT_EQ(found->lsn, 0xfedcba9876543210u);
  EXPECT_EQ(found->flags, 0xfff2);
  EXPECT_EQ(found->reserved, 0x89abcdefu);
}

TEST(ReferencePage, RefusesEverySingleFlippedBit) {
  std::vector<std::byte> page = golden_page(3, 4096);
  ASSERT_TRUE(decode_page(page));
  for (std::size_t bit = 0; bit < page.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    page[bit / 8] ^= mask;
    ASSERT_FALSE(decode_page(page)) << "bit " << bit;
    page[bit / 8] ^= mask;
  }
  EXPECT_TRUE(decode_page(page));
}

TEST(ReferencePage, RefusesOtherMagicAndVersionWhateverTheChecksumSays) {
  std::vector<std::byte> page = golden_page(3, 4096);
  for (std::size_t at = 0; at < 6; ++at) {
    page[at] ^= std::byte{2};
    seal_by_hand(page);
    EXPECT_FALSE(decode_page(page)) << "byte " << at;
    page[at] ^= std::byte{2};
  }
  seal_by_hand(page);
  EXPECT_TRUE(decode_page(page));
}

TEST(ReferencePage, RefusesWhatIsShorterThanAPage) {
  const std::vector<std::byte> page = golden_page(3, 8192);
  for (const std::size_t size : {0u, 1u, 31u, 32u, 512u, 4095u}) {
    std::vector<std::byte> piece(page.begin(), page.begin() + static_cast<std::ptrdiff_t>(size));
    if (size >= 32) seal_by_hand(piece);
    EXPECT_FALSE(decode_page(piece)) << size;
  }
  EXPECT_FALSE(decode_page(std::span(page).first(4096)));
  EXPECT_FALSE(decode_page(std::vector<std::byte>(4096)));
}

TEST(ReferenceSuperblock, IsReadAtBothPlacesForEveryPageSize) {
  for (std::uint32_t size = 4096; size <= 1u << 20; size *= 2) {
    for (const std::uint64_t offset : {std::uint64_t{0}, kTwinOffset}) {
      const auto page = superblock_by_hand(offset, 41, size);
      const auto found = decode_superblock_page(page, offset);
      ASSERT_TRUE(found) << size << " at " << offset;
      EXPECT_EQ(found->page_size, size);
      EXPECT_EQ(found->generation, 41u);
    }
  }
}

TEST(ReferenceSuperblock, TellsFromWhereRecoveryReads) {
  auto page = superblock_by_hand(kTwinOffset, 2);
  EXPECT_EQ(decode_superblock_page(page, kTwinOffset)->redo_from, 0u);
  put(page, 96, std::uint64_t{0x1112131415161718});
  EXPECT_FALSE(decode_superblock_page(page, kTwinOffset)) << "the checksum covers it";
  seal_by_hand(page);
  EXPECT_EQ(decode_superblock_page(page, kTwinOffset)->redo_from, 0x1112131415161718u);
  EXPECT_EQ(decode_superblock_page(page, kTwinOffset)->generation, 2u);
}

TEST(ReferenceSuperblock, TellsTheTagOfItsFileAndTheRootOfTheAllocationMap) {
  auto page = superblock_by_hand(0, 3);
  const auto before = decode_superblock_page(page, 0);
  EXPECT_EQ(before->file_tag, kHandTag);
  EXPECT_EQ(before->root_page, 0u);
  EXPECT_EQ(before->root_generation, 0u);
  EXPECT_EQ(before->root_crc32c, 0u);
  put(page, 104, std::uint64_t{0x2122232425262728});
  put(page, 112, std::uint64_t{0x3132333435363738});
  put(page, 120, std::uint32_t{0x41424344});
  EXPECT_FALSE(decode_superblock_page(page, 0)) << "the checksum covers it";
  seal_by_hand(page);
  const auto after = decode_superblock_page(page, 0);
  ASSERT_TRUE(after) << "whether that can be a root does not matter to the superblock";
  EXPECT_EQ(after->root_page, 0x2122232425262728u);
  EXPECT_EQ(after->root_generation, 0x3132333435363738u);
  EXPECT_EQ(after->root_crc32c, 0x41424344u);
  EXPECT_EQ(after->generation, 3u);
  EXPECT_EQ(after->redo_from, 0u);
  EXPECT_EQ(after->file_tag, kHandTag);
}

TEST(ReferenceSuperblock, IsRefusedWhereItDoesNotBelong) {
  const auto first = superblock_by_hand(0, 1), twin = superblock_by_hand(kTwinOffset, 1);
  EXPECT_FALSE(decode_superblock_page(first, kTwinOffset));
  EXPECT_FALSE(decode_superblock_page(twin, 0));
  EXPECT_FALSE(decode_superblock_page(twin, kTwinOffset + 4096));
}

TEST(ReferenceSuperblock, IsRefusedWhenOneFieldIsWrong) {
  const auto refused = [](std::size_t at, std::byte mask) {
    auto page = superblock_by_hand(0, 1);
    page[at] ^= mask;
    const bool torn_refused = !decode_superblock_page(page, 0);
    seal_by_hand(page);
    return torn_refused && !decode_superblock_page(page, 0);
  };
  EXPECT_TRUE(refused(6, std::byte{1})) << "no metadata flag";
  EXPECT_TRUE(refused(6, std::byte{2})) << "no file tag";
  EXPECT_TRUE(refused(28, std::byte{1})) << "another file's tag";
  EXPECT_TRUE(refused(48, std::byte{1})) << "another file's id";
  EXPECT_TRUE(refused(8, std::byte{1})) << "another page's id";
  for (std::size_t at = 32; at < 48; ++at) EXPECT_TRUE(refused(at, std::byte{4})) << "byte " << at;
}

TEST(ReferenceSuperblock, IsRefusedForEverySingleFlippedBit) {
  auto page = superblock_by_hand(kTwinOffset, 1);
  for (std::size_t bit = 0; bit < page.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    page[bit / 8] ^= mask;
    ASSERT_FALSE(decode_superblock_page(page, kTwinOffset)) << "bit " << bit;
    page[bit / 8] ^= mask;
  }
  EXPECT_TRUE(decode_superblock_page(page, kTwinOffset));
}

TEST(ReferenceSuperblock, IsNoOrdinaryPageAndNoShortOne) {
  EXPECT_FALSE(decode_superblock_page(golden_page(0, 4096), 0));
  auto page = superblock_by_hand(0, 1, 8192);
  page.resize(4096);
  seal_by_hand(page);
  EXPECT_FALSE(decode_superblock_page(page, 0)) << "it says that pages have 8192 bytes";
}

}  // namespace
}  // namespace pagedb::scenarios
