// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle's reader of the allocation map: where things stand, and what it reads from maps made by hand.
#include "scenarios/reference_allocation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "scenarios/testing/hand_made_map.h"

namespace pagedb::scenarios {
namespace {

using Home = ReferenceGeometry::Home;
using Node = ReferenceAllocation::Node;

TEST(ReferenceGeometry, IsTheTableOfTheFormat) {
  struct Row {
    std::uint32_t size;
    std::uint64_t region, children;
    unsigned highest;
  };
  for (const Row& row : {Row{4096, 16384, 128, 6}, Row{16384, 65536, 512, 4}, Row{1u << 20, 4194304, 32768, 2}}) {
    const ReferenceGeometry is(row.size);
    EXPECT_EQ(is.region_pages(), row.region);
    EXPECT_EQ(is.children(), row.children);
    EXPECT_EQ(is.highest_level(), row.highest);
    EXPECT_EQ(is.covers(0), row.region);
    EXPECT_EQ(is.covers(2), row.region * row.children * row.children);
  }
  for (std::uint32_t size = 4096; size <= 1u << 20; size *= 2) {
    const ReferenceGeometry is(size);
    EXPECT_EQ((is.page_limit() + 1) * size, std::uint64_t{1} << 63);
    EXPECT_EQ(is.twin() * size, std::uint64_t{1} << 20);
    EXPECT_FALSE(is.home_at(is.page_limit() + 1));
    EXPECT_FALSE(is.home_at(~std::uint64_t{0}));
    EXPECT_GE(is.covers(is.highest_level()), is.page_limit());
    EXPECT_LT(is.covers(is.highest_level() - 1), is.page_limit());
  }
}

TEST(ReferenceGeometry, PutsHomesWhereTheFormatSays) {
  const ReferenceGeometry small(4096), large(1u << 20);
  EXPECT_EQ(small.zone(0), (PageRange{257, 286}));  // 256 is the twin; homes for levels 0 to 6
  EXPECT_EQ(small.home(0, 0, 0), 258u);
  EXPECT_EQ(small.home(0, 0, 1), 260u);
  EXPECT_EQ(small.home(1, 0, 0), 262u);
  EXPECT_EQ(small.home(6, 0, 1), 284u);
  EXPECT_EQ(small.zone(1), (PageRange{16384, 16389}));
  EXPECT_EQ(small.home(0, 1, 0), 16385u);
  EXPECT_EQ(small.home(0, 1, 1), 16387u);
  EXPECT_EQ(small.zone(128), (PageRange{128 * 16384, 128 * 16384 + 9}));
  EXPECT_EQ(small.home(1, 1, 1), 128u * 16384 + 7);
  EXPECT_EQ(small.zone(128 * 128).end - small.zone(128 * 128).begin, 13u);
  EXPECT_EQ(large.zone(0), (PageRange{2, 15}));  // 1 is the twin; homes for levels 0 to 2
  EXPECT_EQ(large.home(2, 0, 1), 13u);
}

TEST(ReferenceGeometry, HomesStandApartFromEachOtherAndFromTheSuperblocks) {
  for (std::uint32_t size = 4096; size <= 1u << 20; size *= 2) {
    const ReferenceGeometry is(size);
    const std::uint64_t regions = std::max<std::uint64_t>(128 * 128 + 2, is.children() * 2 + 2);
    std::vector<std::uint64_t> taken = {0, is.twin()};
    for (unsigned level = 0; level <= is.highest_level(); ++level) {
      for (std::uint64_t i = 0; i * is.covers(level) < regions * is.region_pages(); ++i) {
        for (unsigned k = 0; k < 2; ++k) {
          const std::uint64_t home = is.home(level, i, k);
          ASSERT_EQ(is.home_at(home), (Home{level, i, k})) << size;
          ASSERT_EQ(home / is.region_pages(), i * (is.covers(level) / is.region_pages())) << "its first region";
          ASSERT_TRUE(is.reserved(home - 1) && is.reserved(home) && is.reserved(home + 1)) << home << " of " << size;
          ASSERT_FALSE(is.home_at(home - 1) || is.home_at(home + 1)) << home << " of " << size;
          taken.push_back(home);
        }
      }
    }
    std::ranges::sort(taken);
    for (std::size_t i = size == 1u << 20 ? 2 : 1; i < taken.size(); ++i)  // pages 0 and 1 are superblocks at 1 MiB
      ASSERT_GE(taken[i] - taken[i - 1], 2u) << taken[i] << " of " << size;
  }
}

TEST(ReferenceGeometry, ReservesNothingElse) {
  for (std::uint32_t size = 4096; size <= 1u << 20; size *= 2) {
    const ReferenceGeometry is(size);
    const std::uint64_t twin = (1u << 20) / size;
    std::set<std::uint64_t> reserved = {0, 1, twin - 1, twin};
    const auto zone = [&](std::uint64_t begin, unsigned m) {
      for (std::uint64_t page = begin; page <= begin + 4 * (m + 1); ++page) reserved.insert(page);
    };
    zone(twin + 1, is.highest_level());
    for (const std::uint64_t region : {1u, 2u, 3u, size / 32 - 1}) zone(region * 4 * size, 0);
    zone(std::uint64_t{size} / 32 * 4 * size, 1);
    zone(std::uint64_t{size} / 32 * 5 * 4 * size, 1);
    zone(std::uint64_t{size} / 32 * (size / 32) * 4 * size, 2);
    for (const std::uint64_t at : std::set(reserved)) {
      for (std::uint64_t page = at < 300 ? 0 : at - 300; page < at + 300; ++page)
        ASSERT_EQ(is.reserved(page), reserved.contains(page)) << page << " of " << size;
    }
    for (std::uint64_t page = twin + 100; page < std::min<std::uint64_t>(4 * size, 100000); ++page)
      ASSERT_FALSE(is.reserved(page) || is.home_at(page)) << page << " of " << size;
  }
}

TEST(ReferenceGeometry, CountsWhatUsersCanHave) {
  for (std::uint32_t size = 4096; size <= 1u << 20; size *= 2) {
    const ReferenceGeometry is(size);
    const std::uint64_t region = is.region_pages();
    for (const PageRange range : {PageRange{0, 0},
                                  {0, 1},
                                  {0, 2},
                                  {1, 300},
                                  {200, 260},
                                  {250, 700},
                                  {region - 3, region + 3},
                                  {region + 2, region + 40},
                                  {2 * region, 2 * region + 1}}) {
      std::uint64_t count = 0;
      for (std::uint64_t page = range.begin; page < range.end; ++page) count += !is.reserved(page);
      EXPECT_EQ(is.usable(range), count) << range.begin << ".." << range.end << " of " << size;
    }
    EXPECT_EQ(is.usable({0, 3 * region}) - is.usable({0, region}), is.usable({region, 3 * region}));
  }
}

TEST(ReferenceAllocation, IsEmptyWithoutARoot) {
  HandMap map;
  map.superblock.page_size = 4096;
  const ReferenceAllocation found = map.read();
  EXPECT_TRUE(found.sound());
  EXPECT_TRUE(found.allocated.empty() && found.nodes.empty());
  EXPECT_EQ(found.high_water, 0u);
  EXPECT_FALSE(found.is_allocated(2));
  EXPECT_TRUE(found.is_known(2));
}

TEST(ReferenceAllocation, ReadsOneLeaf) {
  for (std::uint32_t size : {4096u, 8192u}) {
    for (const std::uint64_t generation : {1u, 2u}) {
      HandMap map = one_leaf();
      map.size = size;
      map.generation = generation;
      const ReferenceAllocation found = map.make(0).read();
      ASSERT_TRUE(found.sound()) << found.damaged.front().what;
      EXPECT_EQ(found.high_water, 400u);
      EXPECT_EQ(found.used, 9u);
      EXPECT_EQ(found.allocated, (std::vector<PageRange>{{2, 5}, {63, 66}, {254, 255}, {286, 287}, {399, 400}}));
      EXPECT_EQ(found.nodes, (std::vector<Node>{{map.home(0, 0), 0, 0, generation}}));
      for (std::uint64_t page = 0; page < 500; ++page) {
        ASSERT_EQ(found.is_allocated(page), map.allocated.contains(page)) << page;
        ASSERT_TRUE(found.is_known(page));
      }
    }
  }
}

TEST(ReferenceAllocation, ReadsEveryPatternOfBits) {
  std::uint32_t state = 1;
  const auto draw = [&](std::uint32_t below) { return (state = state * 1664525u + 1013904223u) / 65536 % below; };
  AllocationReader reader;
  for (int round = 0; round < 300; ++round) {
    HandMap map;
    map.high_water = 286 + draw(700);
    if (round % 4 == 0) map.high_water = 16384 - (round % 8 == 0 ? 0 : draw(200));  // about the end of the region
    for (std::uint64_t page = 286 + draw(100); page < map.high_water; page += draw(round % 3 == 0 ? 9 : 150)) {
      for (std::uint32_t left = 1 + draw(130); left > 0 && page < map.high_water; --left) map.allocated.insert(page++);
    }
    const ReferenceAllocation& found = map.make(0).read(reader);
    ASSERT_TRUE(found.sound()) << found.damaged.front().what;
    std::set<std::uint64_t> pages;
    std::uint64_t last = 0;
    for (const PageRange& run : found.allocated) {
      ASSERT_GT(run.begin, last);
      ASSERT_GT(run.end, run.begin);
      for (std::uint64_t page = run.begin; page < run.end; ++page) pages.insert(page);
      last = run.end;
    }
    ASSERT_EQ(pages, map.allocated);
    ASSERT_EQ(found.used, map.allocated.size());
  }
}

TEST(ReferenceAllocation, ReadsTwoLevels) {
  HandMap map;
  for (std::uint64_t page = 286; page < 16384; ++page) map.allocated.insert(page);
  for (const std::uint64_t page : {16389u, 16390u, 3 * 16384u - 1, 3 * 16384u + 5}) map.allocated.insert(page);
  map.high_water = 3 * 16384 + 6;
  const ReferenceAllocation found = map.make(1).read();
  ASSERT_TRUE(found.sound()) << found.damaged.front().what;
  EXPECT_EQ(found.allocated, (std::vector<PageRange>{{286, 16384}, {16389, 16391}, {49151, 49152}, {49157, 49158}}));
  EXPECT_EQ(found.used, map.allocated.size());
  EXPECT_EQ(found.high_water, map.high_water);
  ASSERT_EQ(found.nodes.size(), 5u);
  EXPECT_EQ(found.nodes[0], (Node{264, 1, 0, 7}));  // home 1, as 7 is odd
  EXPECT_EQ(found.nodes[1], (Node{258, 0, 0, 10}));
  EXPECT_EQ(found.nodes[4], (Node{3 * 16384 + 3, 0, 3, 13}));
}

TEST(ReferenceAllocation, ReadsThreeLevelsOfAnyPageSize) {
  for (const std::uint32_t size : {4096u, 16384u, 1u << 20}) {
    HandMap map;
    map.size = size;
    const std::uint64_t second = map.covers(1);  // the first page of the second node of level 1
    map.allocated = {100, second + 9, second + 10, 2 * map.covers(0) - 1, second * 2 - 1};
    map.high_water = second * 2;
    const ReferenceAllocation found = map.make(2).read();
    ASSERT_TRUE(found.sound()) << size << ' ' << found.damaged.front().what;
    EXPECT_EQ(found.used, 5u);
    ASSERT_EQ(found.allocated.size(), 4u);
    EXPECT_EQ(found.allocated[2], (PageRange{second + 9, second + 11}));
    std::vector<std::pair<unsigned, std::uint64_t>> nodes;
    for (const Node& node : found.nodes) {
      nodes.emplace_back(node.level, node.index);
      EXPECT_EQ(node.page, map.home(node.level, node.index));
    }
    const std::uint64_t leaves = size / 32;
    EXPECT_EQ(nodes, (std::vector<std::pair<unsigned, std::uint64_t>>{
                         {2, 0}, {1, 0}, {0, 0}, {0, 1}, {1, 1}, {0, leaves}, {0, 2 * leaves - 1}}));
  }
}

TEST(ReferenceAllocation, ReadsTheHighestLevelAndTheLastPageThatThereIs) {
  for (const std::uint32_t size : {4096u, 16384u, 1u << 20}) {
    HandMap map;
    map.size = size;
    map.high_water = (std::uint64_t{1} << 63) / size - 1;
    map.allocated = {100, map.high_water - 1};
    const unsigned highest = ReferenceGeometry(size).highest_level();
    const ReferenceAllocation found = map.make(highest).read();
    ASSERT_TRUE(found.sound()) << size << ' ' << found.damaged.front().what;
    EXPECT_EQ(found.allocated, (std::vector<PageRange>{{100, 101}, {map.high_water - 1, map.high_water}}));
    EXPECT_EQ(found.nodes.size(), 2 * highest + 1);
    ++map.high_water;
    EXPECT_EQ(only_damage(map.make(highest).read()).what, "high water too high");
  }
}

TEST(ReferenceAllocation, ToleratesLevelsAndNodesThatNobodyNeeds) {
  HandMap map = one_leaf();
  EXPECT_TRUE(map.make(4).read().sound()) << "the root never goes down again";
  map.allocated.clear();
  EXPECT_TRUE(map.make(0).read().sound());
  map.high_water = 0;
  EXPECT_TRUE(map.make(0).read().sound());
  // Flags that this version does not know.
  map = one_leaf();
  map.changes[{0, 0}] = [](std::span<std::byte> page) { put(page, 6, std::uint16_t{0xfff3}); };
  EXPECT_TRUE(map.make(0).read().sound());
}

}  // namespace
}  // namespace pagedb::scenarios
