// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle's reader of the allocation map on maps made by hand that are wrong: each rule of engine/FORMAT.md is
// broken alone, in every kind of node, and must be noticed there and cost nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scenarios/reference_allocation.h"
#include "scenarios/testing/hand_made_map.h"

namespace pagedb::scenarios {
namespace {

/// Expects that exactly node (level, index) is found to be broken as `what` says, and that the rest is read all the
/// same.
void expect_contained(const HandMap& map, unsigned level, std::uint64_t index, std::string_view what) {
  SCOPED_TRACE(std::string(what) + ", level " + std::to_string(level) + " index " + std::to_string(index));
  const bool root = level == map.superblock_level;
  const std::uint64_t begin = index * map.covers(level), end = begin + map.covers(level);
  const ReferenceAllocation found = map.read();
  EXPECT_FALSE(found.sound());
  const auto damage = only_damage(found);
  EXPECT_EQ(damage.what, what);
  EXPECT_EQ(damage.page, map.home(level, index));
  EXPECT_EQ(damage.pages, (PageRange{begin, root ? end : std::min(end, map.high_water)}));
  EXPECT_EQ(damage.unreadable, what == "cannot be read");
  EXPECT_EQ(found.high_water, root ? 0 : map.high_water);
  EXPECT_EQ(found.nodes.empty(), root);
  std::uint64_t elsewhere = 0;
  for (const std::uint64_t page : map.allocated) {
    const bool below = page >= begin && page < end;
    EXPECT_EQ(found.is_known(page), !below || (!root && page >= map.high_water)) << page;
    EXPECT_EQ(found.is_allocated(page), !below) << page;
    elsewhere += below ? 0 : 1;
  }
  EXPECT_EQ(damage.used, root ? 0 : map.allocated.size() - elsewhere);
  std::uint64_t runs = 0;
  for (const PageRange& run : found.allocated) runs += run.end - run.begin;
  EXPECT_EQ(runs, elsewhere);
}

constexpr std::pair<unsigned, std::uint64_t> kNodes[] = {{2, 0}, {1, 0}, {1, 1}, {0, 0}, {0, 1}, {0, 3}, {0, 128}};

TEST(ReferenceAllocation, NoticesEachRuleThatHoldsForAnyNode) {
  const auto broken = [](std::string_view what, const HandMap::Change& change) {
    for (const auto& [level, index] : kNodes) {
      HandMap map = three_levels();
      map.changes[{level, index}] = change;
      expect_contained(map.make(2), level, index, what);
    }
  };
  const auto flip = [&broken](std::string_view what, std::size_t at, std::uint8_t mask = 1) {
    broken(what, [=](std::span<std::byte> page) { page[at] ^= std::byte{mask}; });
  };
  // Rule 2.
  flip("no sound page", 0);
  flip("no sound page", 4);
  flip("another page's id", 8);
  flip("another page's id", 15);
  flip("not tagged as this file's", 6, 2);
  flip("not tagged as this file's", 28);
  flip("no metadata flag", 6);
  broken("no sound page", [](std::span<std::byte> page) { std::ranges::fill(page, std::byte{}); });
  // Rule 3.
  flip("magic", 32);
  flip("magic", 39, 0x20);
  flip("level", 40);
  flip("level", 43);
  flip("index", 48);
  flip("index", 55);
  flip("generation", 56, 2);
  flip("generation", 63);
  // Rule 4.
  flip("an LSN", 16);
  for (const std::size_t at : {44u, 47u, 80u, 127u, 128u + 3072, 4095u}) flip("not zero where zeros belong", at);
  for (const auto& [level, index] : kNodes) {
    HandMap map = three_levels();
    map.changes[{level, index}] = [&](std::span<std::byte> page) {
      put(page, 72, level == 2 ? map.covers(2) + 1 : std::uint64_t{400});
    };
    expect_contained(map.make(2), level, index, level == 2 ? "high water too high" : "high water below the root");
  }
}

TEST(ReferenceAllocation, NoticesAWrongCount) {
  const auto one_more = [](std::span<std::byte> page) { page[64] ^= std::byte{8}; };
  for (const auto& [level, index] : kNodes) {
    HandMap map = three_levels();
    map.changes[{level, index}] = one_more;
    expect_contained(map.make(2), level, index,
                     level == 2 ? "used: not the sum of the entries" : "used: not as many as the node above says");
  }
  HandMap map = one_leaf();
  map.changes[{0, 0}] = one_more;
  expect_contained(map.make(0), 0, 0, "used: not as many bits are set");
  map.changes[{0, 0}] = [](std::span<std::byte> page) { page[128 + 20] ^= std::byte{1}; };
  expect_contained(map.make(0), 0, 0, "used: not as many bits are set");
  // Counts that agree with each other and not with the bits.
  map = three_levels();
  for (const unsigned level : {0u, 1u, 2u}) {
    map.changes[{level, 0}] = [level](std::span<std::byte> page) {
      put(page, 64, std::uint64_t{level == 2 ? 8u : level == 1 ? 6u : 2u});
      if (level > 0) put(page, 128 + 8, std::uint64_t{level == 2 ? 6u : 2u});
    };
  }
  EXPECT_EQ(only_damage(map.make(2).read()).what, "used: not as many bits are set");
  EXPECT_EQ(only_damage(map.read()).page, map.home(0, 0));
}

TEST(ReferenceAllocation, NoticesReservedPages) {
  std::vector<std::uint64_t> reserved = {0, 1, 255, 256};
  for (std::uint64_t page = 257; page <= 285; ++page) reserved.push_back(page);
  for (std::uint64_t page = 16384; page <= 16388; ++page) reserved.push_back(page);
  for (std::uint64_t page = 128 * 16384; page <= 128 * 16384 + 8; ++page) reserved.push_back(page);
  for (const std::uint64_t page : reserved) {
    HandMap map = three_levels();
    map.allocated.insert(page);
    expect_contained(map.make(2), 0, page / 16384, "a reserved page is allocated");
  }
  HandMap map = three_levels();
  map.allocated.insert({2, 254, 286, 16389, 128 * 16384 + 9});
  EXPECT_TRUE(map.make(2).read().sound()) << "their neighbours are not";
}

TEST(ReferenceAllocation, NoticesWhatIsPastHighWater) {
  HandMap map = three_levels();
  map.high_water -= 1;
  expect_contained(map.make(2), 0, 128, "a page past high water is allocated");
  map.high_water = 128 * 16384 + 1;
  expect_contained(map.make(2), 2, 0, "an entry with more used than pages");
  map.high_water = 128 * 16384;
  expect_contained(map.make(2), 2, 0, "an entry past high water");
  map.allocated.erase(map.allocated.lower_bound(map.high_water), map.allocated.end());
  EXPECT_TRUE(map.make(2).read().sound());
  for (const std::uint64_t high_water : {3 * 16384u, 2 * 16384u + 1}) {
    map.high_water = high_water;
    expect_contained(map.make(2), 1, 0, "an entry past high water");
  }
  for (const std::uint64_t high_water : {286u, 287u, 392u, 399u}) {
    map = one_leaf();
    map.high_water = high_water;
    expect_contained(map.make(0), 0, 0, "a page past high water is allocated");
    map.allocated.erase(map.allocated.lower_bound(high_water), map.allocated.end());
    EXPECT_TRUE(map.make(0).read().sound());
    map.allocated.insert(16383);
    expect_contained(map.make(0), 0, 0, "a page past high water is allocated");
  }
}

TEST(ReferenceAllocation, NoticesEntriesThatCannotBe) {
  const auto broken = [](unsigned level, std::string_view what, std::size_t at, std::uint64_t value) {
    HandMap map = three_levels();
    map.changes[{level, 0}] = [=](std::span<std::byte> page) { put(page, 128 + at, value); };
    expect_contained(map.make(2), level, 0, what);
  };
  for (const unsigned level : {1u, 2u}) {
    broken(level, "an entry without generation", 0, 0);
    broken(level, "an entry without generation", 24, 0);
    broken(level, "an entry with more used than pages", 8, (level == 1 ? 16384 : 128 * 16384) + 1);
    // The first region keeps 33 of its pages: 0, 1, the twin, the one beside it, and a zone of 29.
    broken(level, "an entry with more used than pages", 8,
           (level == 1 ? 16384 : 128 * 16384) - 33 - (level == 1 ? 0 : 127 * 5) + 1);
    broken(level, "an entry with more used than pages", 8, ~std::uint64_t{0});
    broken(level, "not zero where zeros belong", 16, std::uint64_t{1} << 32);
    broken(level, "used: not the sum of the entries", 8, 2);
    broken(level, "an entry for a child below which nothing is allocated", 8, 0);
  }
  // Of a child that there is not.
  broken(1, "an entry without generation", 2 * 24 + 8, 1);
  broken(1, "an entry without generation", 2 * 24 + 16, 1);
  for (const std::size_t at : {0u, 8u, 16u, 20u}) {
    broken(2, "an entry past high water", 2 * 24 + at, at == 20 ? std::uint64_t{1} : std::uint64_t{1} << 32);
    broken(2, "an entry past high water", 127 * 24 + (at == 20 ? 16 : at), 1);
  }
}

TEST(ReferenceAllocation, NoticesARootThatIsNone) {
  HandMap map = one_leaf();
  const ReferenceSuperblock right = map.make(0).superblock;
  ASSERT_EQ(right.root_page, 260u);
  const auto refused = [&](std::uint64_t page, std::uint64_t generation, std::uint32_t crc) {
    map.superblock.root_page = page;
    map.superblock.root_generation = generation;
    map.superblock.root_crc32c = crc;
    const ReferenceAllocation found = map.read();
    const auto damage = only_damage(found);
    return damage.what == "no home of a root of that generation" && damage.page == page && !found.is_known(100) &&
           damage.pages == PageRange{0, (std::uint64_t{1} << 51) - 1};
  };
  EXPECT_TRUE(refused(0, 7, 0)) << "a generation without a page";
  EXPECT_TRUE(refused(0, 0, 1)) << "a checksum without a page";
  EXPECT_TRUE(refused(260, 0, right.root_crc32c)) << "a page without a generation";
  EXPECT_TRUE(refused(258, 0, right.root_crc32c));
  EXPECT_TRUE(refused(260, 8, right.root_crc32c)) << "the other home";
  EXPECT_TRUE(refused(258, 7, right.root_crc32c));
  for (const std::uint64_t page : {1u, 2u, 255u, 256u, 257u, 259u, 261u, 285u, 286u, 288u, 16385u, 16387u}) {
    EXPECT_TRUE(refused(page, 7, right.root_crc32c)) << page;
    EXPECT_TRUE(refused(page, 8, right.root_crc32c)) << page;
  }
  EXPECT_TRUE(refused(~std::uint64_t{0}, 7, right.root_crc32c));
  EXPECT_TRUE(refused((std::uint64_t{1} << 63) + 260, 7, right.root_crc32c));
  map.superblock = right;
  map.superblock.root_page = map.home(1, 0, 7);
  EXPECT_EQ(only_damage(map.read()).what, "no sound page") << "a home of a root, of which there is none";
}

TEST(ReferenceAllocation, NoticesPagesThatAreNotThere) {
  for (const auto& [level, index] : kNodes) {
    HandMap map = three_levels().make(2);
    map.unreadable = {map.home(level, index)};
    expect_contained(map, level, index, "cannot be read");
    map.unreadable.clear();
    map.pages.erase(map.home(level, index));  // a write that was lost
    expect_contained(map, level, index, "no sound page");
  }
  HandMap map = three_levels().make(2);
  map.length = map.home(1, 1);  // behind leaf 128, which cannot be found without it
  expect_contained(map, 1, 1, "past the end of the file");
  ++map.length;
  EXPECT_TRUE(map.read().sound());
  map.allocated = {100, 16389};
  map.high_water = 16390;
  map.make(1).length = map.home(0, 1);
  expect_contained(map, 0, 1, "past the end of the file");
  map.length = map.home(1, 0);
  expect_contained(map, 1, 0, "past the end of the file");
}

TEST(ReferenceAllocation, NoticesEverySingleFlippedBit) {
  HandMap map = three_levels().make(2);
  AllocationReader reader;
  for (const auto& [level, index] : {kNodes[0], kNodes[1], kNodes[4]}) {
    std::vector<std::byte>& page = map.pages.at(map.home(level, index));
    for (std::size_t bit = 0; bit < page.size() * 8; ++bit) {
      page[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
      ASSERT_EQ(map.read(reader).damaged.size(), 1u) << "bit " << bit;
      page[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    }
  }
  EXPECT_TRUE(map.read(reader).sound());
}

TEST(ReferenceAllocation, NoticesOtherVersionsOfANode) {
  HandMap older = three_levels();
  older.generation -= 2;
  older.make(2);
  for (const auto& [level, index] : kNodes) {
    const HandMap sound = three_levels().make(2);
    const std::uint64_t home = sound.home(level, index);
    HandMap map = sound;
    map.pages[home] = older.pages.at(home);  // the next write there was lost
    expect_contained(map, level, index, "generation");
    map = sound;
    map.pages[home] = sound.pages.at(level == 2 ? sound.home(0, 0) : sound.home(2, 0));  // misdirected
    expect_contained(map, level, index, "another page's id");
    map = sound;
    put(std::span(map.pages[home]), 28, kHandTag + 1);  // of another file
    seal_by_hand(map.pages[home]);
    expect_contained(map, level, index, "not tagged as this file's");
    map = sound;
    map.pages[home][128 + 30] ^= std::byte{1};  // of a commit that was not acknowledged, with the same generation
    seal_by_hand(map.pages[home]);
    expect_contained(map, level, index, "another version: its checksum is not the one referred to");
  }
}

TEST(ReferenceAllocation, ReadsTheTreeToWhichTheSuperblockRefersAmongTwo) {
  HandMap older = three_levels(), newer = three_levels();
  newer.allocated.erase(100);
  newer.allocated.insert({101, 5 * 16384 + 100});
  newer.generation = older.generation + 1;
  newer.make(2).pages.merge(older.make(2).pages);
  EXPECT_TRUE(newer.read().sound());
  EXPECT_TRUE(newer.read().is_allocated(5 * 16384 + 100));
  EXPECT_FALSE(newer.read().is_allocated(100));
  newer.superblock = older.superblock;
  EXPECT_TRUE(newer.read().sound());
  EXPECT_TRUE(newer.read().is_allocated(100));
  EXPECT_FALSE(newer.read().is_allocated(101));
}

TEST(ReferenceAllocation, ListsEachOfSeveralDamages) {
  HandMap map = three_levels().make(2);
  map.pages.erase(map.home(0, 1));
  map.pages.erase(map.home(1, 1));
  map.unreadable = {map.home(0, 3)};
  const ReferenceAllocation found = map.read();
  ASSERT_EQ(found.damaged.size(), 3u);
  EXPECT_EQ(found.damaged[0].pages, (PageRange{16384, 2 * 16384}));
  EXPECT_EQ(found.damaged[1].pages, (PageRange{3 * 16384, 4 * 16384}));
  EXPECT_EQ(found.damaged[2].pages, (PageRange{128 * 16384, map.high_water}));
  EXPECT_EQ(found.damaged[0].used, 2u);
  EXPECT_TRUE(found.damaged[1].unreadable && !found.damaged[0].unreadable && !found.damaged[2].unreadable);
  EXPECT_EQ(found.allocated, (std::vector<PageRange>{{100, 101}}));
  EXPECT_EQ(found.used, map.allocated.size());
  EXPECT_EQ(found.nodes.size(), 3u);
  for (const std::uint64_t page : {16384u, 2 * 16384u - 1, 3 * 16384u, 128 * 16384u, 128 * 16384u + 14})
    EXPECT_FALSE(found.is_known(page)) << page;
  for (const std::uint64_t page : {0u, 16383u, 2 * 16384u, 3 * 16384u - 1, 4 * 16384u, 128 * 16384u + 15})
    EXPECT_TRUE(found.is_known(page)) << page;
}

TEST(AllocationReader, KeepsNothingOfTheMapBefore) {
  AllocationReader reader;
  HandMap large = three_levels(), other = one_leaf(), broken = three_levels().make(2), none;
  other.size = 16384;
  other.allocated = {2, 100, 102};
  large.make(2);
  other.make(0);
  broken.pages.erase(broken.home(1, 0));
  none.superblock.page_size = 8192;
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(large.read(reader).allocated.size(), 5u);
    EXPECT_EQ(broken.read(reader).damaged.size(), 1u);
    EXPECT_EQ(other.read(reader).allocated.size(), 3u);
    EXPECT_TRUE(other.read(reader).sound());
    EXPECT_EQ(other.read(reader).nodes.size(), 1u);
    EXPECT_TRUE(none.read(reader).allocated.empty() && none.read(reader).nodes.empty());
    EXPECT_EQ(none.read(reader).high_water, 0u);
    EXPECT_EQ(none.read(reader).used, 0u);
  }
}

}  // namespace
}  // namespace pagedb::scenarios
