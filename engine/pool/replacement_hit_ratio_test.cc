// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// How much the replacement policy finds in memory, beside LRU, clock, 2Q and LRU-2: Zipf(0.9) traffic over 20,000 pages
// with full scans in between, for pools of 1, 5, 10 and 25 % of the pages. Prints the table.
//
// Measured on these traces: ours is 0.4 to 1.9 points above the better of LRU-2 and 2Q, 4 to 12 above LRU and 4.9 to 13
// above clock. The bounds asserted leave room for a tuning that shifts a point.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <span>
#include <vector>

#include "engine/pool/replacement_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

constexpr std::uint32_t kPages = 20'000;
constexpr int kRounds = 5;  // the first warms up

/// Page numbers, some much more often than others.
class Zipf {
 public:
  Zipf() {
    std::uint64_t sum = 0;
    for (std::uint64_t rank = 1; rank <= kPages; ++rank) {
      sum += static_cast<std::uint64_t>(std::ldexp(1.0, 32) / std::pow(static_cast<double>(rank), 0.9));
      up_to_.push_back(sum);
    }
  }
  std::uint64_t draw() {
    state_ += 0x9E3779B97F4A7C15u;  // splitmix64
    std::uint64_t bits = (state_ ^ (state_ >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    const std::uint64_t point = (bits ^ (bits >> 31)) % up_to_.back();
    const auto rank = std::upper_bound(up_to_.begin(), up_to_.end(), point) - up_to_.begin();
    return static_cast<std::uint64_t>(rank) * 7919 % kPages;  // popular pages lie anywhere
  }

 private:
  std::vector<std::uint64_t> up_to_;
  std::uint64_t state_ = 42;
};

enum class Scans { none, in_one_go, beside_the_traffic };

std::vector<std::uint64_t> trace(Scans scans) {
  Zipf zipf;
  std::vector<std::uint64_t> pages;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 40'000; ++i) pages.push_back(zipf.draw());
    for (std::uint64_t page = 0; scans != Scans::none && page < kPages; ++page) {
      pages.push_back(page);
      for (int i = 0; scans == Scans::beside_the_traffic && i < 2; ++i) pages.push_back(zipf.draw());
    }
  }
  return pages;
}

/// Hits of the requests after the first round, in percent.
double hit_ratio(CachePolicy& policy, std::span<const std::uint64_t> pages) {
  const std::size_t warm = pages.size() / kRounds;
  for (const std::uint64_t page : pages.first(warm)) policy.request(page);
  std::uint64_t hits = 0;
  for (const std::uint64_t page : pages.subspan(warm)) hits += policy.request(page) ? 1 : 0;
  return 100.0 * static_cast<double>(hits) / static_cast<double>(pages.size() - warm);
}

class HitRatio : public testing::TestWithParam<Scans> {};

TEST_P(HitRatio, AtLeastThatOfLru2And2QAndClearlyAboveClockAndLru) {
  const std::vector<std::uint64_t> pages = trace(GetParam());
  std::printf("hits of all requests, %%: Zipf(0.9) over %u pages, %s\n", kPages,
              GetParam() == Scans::none        ? "no scans"
              : GetParam() == Scans::in_one_go ? "full scans in one go"
                                               : "full scans beside the traffic");
  std::printf("%6s %7s %7s %7s %7s %7s\n", "pool", "ours", "LRU-2", "2Q", "LRU", "clock");
  for (const std::uint32_t percent : {1u, 5u, 10u, 25u}) {
    const std::uint32_t frames = kPages * percent / 100;
    ReplacementWorld ours_world(frames);
    const double ours = hit_ratio(ours_world, pages);
    const auto of = [&](CachePolicy&& policy) { return hit_ratio(policy, pages); };
    const double lru2 = of(Lru2(frames)), two_q = of(TwoQ(frames)), lru = of(Lru(frames)), clock = of(Clock(frames));
    std::printf("%5u%% %7.2f %7.2f %7.2f %7.2f %7.2f\n", percent, ours, lru2, two_q, lru, clock);
    EXPECT_GE(ours, lru2) << percent;
    EXPECT_GE(ours, two_q) << percent;
    EXPECT_GE(ours, lru + 3) << percent;
    EXPECT_GE(ours, clock + 4) << percent;
  }
}

INSTANTIATE_TEST_SUITE_P(Traffic, HitRatio, testing::Values(Scans::none, Scans::in_one_go, Scans::beside_the_traffic));

// The yardsticks are what they say they are: each is checked on a sequence worked out by hand.
TEST(ReferencePolicies, Lru) {
  Lru cache(2);
  EXPECT_FALSE(cache.request(1));
  EXPECT_FALSE(cache.request(2));
  EXPECT_TRUE(cache.request(1));
  EXPECT_FALSE(cache.request(3));  // instead of 2
  EXPECT_TRUE(cache.request(1));
  EXPECT_FALSE(cache.request(2));
}

TEST(ReferencePolicies, Clock) {
  Clock cache(2);
  cache.request(1);
  cache.request(2);
  EXPECT_FALSE(cache.request(3));  // both marks cleared, 1 goes
  EXPECT_TRUE(cache.request(2));   // marked again
  EXPECT_FALSE(cache.request(4));  // 2's mark is cleared, then 3's; 2 goes
  EXPECT_FALSE(cache.request(2));
}

TEST(ReferencePolicies, TwoQ) {
  TwoQ cache(4);  // 1 in A1in, 2 remembered
  for (std::uint64_t page = 1; page <= 4; ++page) cache.request(page);
  EXPECT_TRUE(cache.request(1));   // a hit in A1in moves nothing
  EXPECT_FALSE(cache.request(5));  // 1 goes, and is remembered
  EXPECT_FALSE(cache.request(1));  // to Am; 2 goes
  for (std::uint64_t page = 6; page < 100; ++page) cache.request(page);
  EXPECT_TRUE(cache.request(1));
  EXPECT_FALSE(cache.request(90));
}

TEST(ReferencePolicies, Lru2) {
  Lru2 cache(2);
  cache.request(1);
  cache.request(1);
  cache.request(2);
  EXPECT_FALSE(cache.request(3));  // 2 goes: used once
  EXPECT_TRUE(cache.request(1));
  EXPECT_FALSE(cache.request(2));  // 3 goes; 2 has its history
  EXPECT_TRUE(cache.request(1));
  EXPECT_TRUE(cache.request(2));
}

}  // namespace
}  // namespace pagedb
