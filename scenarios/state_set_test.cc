// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/state_set.h"

#include <gtest/gtest.h>

namespace pagedb::scenarios {
namespace {

TEST(StateSet, TellsNewFromOld) {
  StateSet set;
  EXPECT_TRUE(set.insert({1, 2}));
  EXPECT_FALSE(set.insert({1, 2}));
  EXPECT_TRUE(set.insert({2, 1}));
  EXPECT_FALSE(set.insert({1, 2}));
}

TEST(StateSet, ComparesAllHundredTwentyEightBits) {
  StateSet set;
  for (std::uint64_t high = 0; high < 64; ++high) EXPECT_TRUE(set.insert({7, std::uint64_t{1} << high})) << high;
  for (std::uint64_t low = 10; low < 64; ++low) EXPECT_TRUE(set.insert({std::uint64_t{1} << low, 7})) << low;
  for (std::uint64_t high = 0; high < 64; ++high) EXPECT_FALSE(set.insert({7, std::uint64_t{1} << high})) << high;
}

TEST(StateSet, HoldsTheStateOfAllZeros) {
  StateSet set;
  EXPECT_TRUE(set.insert({}));
  EXPECT_FALSE(set.insert({}));
  EXPECT_TRUE(set.insert({0, 1}));
  EXPECT_TRUE(set.insert({1, 0}));
}

TEST(StateSet, ForgetsNothingWhileItGrows) {
  constexpr std::uint64_t kCount = 20'000;
  StateSet set;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(set.insert(sim::hash_term(i, 0, 0))) << i;
    ASSERT_FALSE(set.insert(sim::hash_term(i, 0, 0))) << i;
  }
  for (std::uint64_t i = 0; i < kCount; ++i) ASSERT_FALSE(set.insert(sim::hash_term(i, 0, 0))) << i;
}

TEST(StateSet, CopesWithStatesThatAllWantTheSamePlace) {
  StateSet set;
  for (std::uint64_t i = 0; i < 2'000; ++i) ASSERT_TRUE(set.insert({i << 32 | 0x3ff, 1})) << i;
  for (std::uint64_t i = 0; i < 2'000; ++i) ASSERT_FALSE(set.insert({i << 32 | 0x3ff, 1})) << i;
}

}  // namespace
}  // namespace pagedb::scenarios
