// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A forged map verifies page by page, and is never sound.
#include "scenarios/forge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "scenarios/alloc_scenarios.h"
#include "scenarios/testing/hand_made_map.h"
#include "scenarios/wrong_engine_test.h"

namespace pagedb::scenarios {
namespace {

constexpr std::uint64_t kTwin = 256;

/// Puts a superblock that refers to the map into slot page `slot`, whatever its root's checksum.
void put_superblock(HandMap& map, std::uint64_t slot, std::uint32_t root_crc32c) {
  std::vector<std::byte> page = superblock_by_hand(slot * map.size, 5);
  put(std::span(page), 104, map.superblock.root_page);
  put(std::span(page), 112, map.superblock.root_generation);
  put(std::span(page), 120, root_crc32c);
  seal_by_hand(page);
  map.pages[slot] = std::move(page);
}

HandMap with_superblocks(HandMap map, unsigned level) {
  map.make(level);
  put_superblock(map, 0, map.superblock.root_crc32c);
  put_superblock(map, kTwin, map.superblock.root_crc32c);
  return map;
}

std::optional<Forgery> forge_once(const HandMap& map, std::uint64_t seed) {
  const ReadPage read = [&map](std::uint64_t id, std::span<std::byte> to) {
    const auto found = map.pages.find(id);
    if (found == map.pages.end()) return PageRead::past_end;
    std::ranges::copy(found->second, to.begin());
    return PageRead::ok;
  };
  sim::PrngChoices choices(seed);
  sim::Span span;
  return forge(map.superblock, map.read(), read, choices, span);
}

/// Forges the map once a seed. What is broken then, by the first rule of each.
std::set<std::string> broken_rules(const HandMap& original) {
  std::set<std::string> rules;
  EXPECT_TRUE(original.read().sound());
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    HandMap map = original;
    const auto forgery = forge_once(map, seed);
    if (!forgery) continue;
    EXPECT_FALSE(forgery->fields.empty());
    for (const Forgery::Page& page : forgery->pages) {
      EXPECT_TRUE(decode_page(page.bytes));
      EXPECT_NE(map.pages.at(page.id), page.bytes);
      map.pages[page.id] = page.bytes;
    }
    const auto first = decode_superblock_page(map.pages.at(0), 0);
    const auto twin = decode_superblock_page(map.pages.at(kTwin), kTwinOffset);
    if (!first || !twin) {
      ADD_FAILURE() << "a superblock does not verify";
      continue;
    }
    EXPECT_EQ(first->generation, 5u);
    EXPECT_EQ(twin->generation, 5u);
    EXPECT_EQ(first->root_crc32c, twin->root_crc32c);
    EXPECT_NE(first->root_crc32c, original.superblock.root_crc32c);
    map.superblock = *first;
    rules.emplace(only_damage(map.read()).what);
  }
  return rules;
}

TEST(Forge, NeverLeavesASoundMap) {
  EXPECT_THAT(broken_rules(with_superblocks(one_leaf(), 0)),
              testing::UnorderedElementsAre("used: not as many bits are set", "a page past high water is allocated",
                                            "a reserved page is allocated", "high water too high"));
  EXPECT_THAT(broken_rules(with_superblocks(three_levels(), 2)),
              testing::UnorderedElementsAre(
                  "used: not as many bits are set", "used: not the sum of the entries",
                  "used: not as many as the node above says", "a page past high water is allocated",
                  "a reserved page is allocated", "an entry past high water", "high water too high",
                  "an entry for a child below which nothing is allocated", "generation", "no sound page"));
}

TEST(Forge, AnyRoot) {
  HandMap empty;
  empty.high_water = 0;
  EXPECT_THAT(broken_rules(with_superblocks(empty, 0)), testing::Contains("used: not as many bits are set"));
  EXPECT_THAT(broken_rules(with_superblocks(empty, 6)), testing::Contains("used: not the sum of the entries"));
  HandMap full;
  for (std::uint64_t page = 300; page < 16384; ++page) full.allocated.insert(page);
  full.high_water = 16384;
  EXPECT_THAT(broken_rules(with_superblocks(full, 0)), testing::Contains("a page past high water is allocated"));
  EXPECT_THAT(broken_rules(with_superblocks(full, 6)), testing::Contains("high water too high"));
}

TEST(Forge, LeavesASlotThatNamesAnotherRoot) {
  HandMap map = with_superblocks(one_leaf(), 0);
  put_superblock(map, kTwin, map.superblock.root_crc32c + 1);
  const auto forgery = forge_once(map, 1);
  ASSERT_TRUE(forgery);
  ASSERT_EQ(forgery->pages.size(), 2u);
  EXPECT_EQ(forgery->pages[0].id, map.superblock.root_page);
  EXPECT_EQ(forgery->pages[1].id, 0u);
}

TEST(Forge, NothingWhereASlotDoesNotVerify) {
  HandMap map = with_superblocks(one_leaf(), 0);
  map.pages[kTwin][2000] ^= std::byte{1};
  EXPECT_FALSE(forge_once(map, 1));
}

TEST(Forge, IsDetectedInAllocHostileAndDoneNowhereElse) {
  const auto forged = [](const Scenario& scenario) {
    std::uint64_t count = 0;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const RunResult result =
          testing_support::run_seed(seed, [&](const RunRequest& request) { return scenario.run(request); });
      EXPECT_TRUE(result.violations.empty()) << result.violations.front().message;
      count += result.counters.faults[static_cast<std::size_t>(faults::FaultKind::forged)];
    }
    return count;
  };
  EXPECT_GT(forged(alloc_hostile()), 20u);
  EXPECT_EQ(forged(alloc_shrink()), 0u);
}

TEST(Forge, NothingWhereThereIsNoMap) {
  HandMap map;
  map.superblock = {.page_size = 4096};
  EXPECT_FALSE(forge_once(map, 0));
}

}  // namespace
}  // namespace pagedb::scenarios
