// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// FaultPlan: over all rolls of the dice each fault comes up as often as the plan says, only for requests that it can
// hit, and never on zero.
#include "faults/plan.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace pagedb::faults {
namespace {

using Op = RequestKind::Op;

struct Row {
  FaultKind kind;
  std::uint32_t FaultPlan::* chance;
};
constexpr Row kRows[] = {
    {FaultKind::read_error, &FaultPlan::read_error},
    {FaultKind::write_error, &FaultPlan::write_error},
    {FaultKind::no_space, &FaultPlan::no_space},
    {FaultKind::flush_failure, &FaultPlan::flush_failure},
    {FaultKind::short_transfer, &FaultPlan::short_transfer},
    {FaultKind::transient_error, &FaultPlan::transient_error},
    {FaultKind::misdirected_write, &FaultPlan::misdirected_write},
    {FaultKind::dropped_write, &FaultPlan::dropped_write},
    {FaultKind::bit_rot, &FaultPlan::bit_rot},
    {FaultKind::latent_sector_error, &FaultPlan::latent_sector_error},
};

std::vector<RequestKind> all_requests() {
  std::vector<RequestKind> requests;
  for (const Op op : {Op::read, Op::write, Op::sync, Op::resize}) {
    for (const bool extends : {false, true}) {
      for (const bool divisible : {false, true})
        requests.push_back({.op = op, .extends = extends, .divisible = divisible});
    }
  }
  return requests;
}

/// What the taxonomy says about which requests a fault can hit.
bool can_hit(FaultKind kind, const RequestKind& request) {
  const bool transfer = request.op == Op::read || request.op == Op::write;
  switch (kind) {
    case FaultKind::read_error:
      return request.op == Op::read;
    case FaultKind::write_error:
    case FaultKind::misdirected_write:
    case FaultKind::dropped_write:
      return request.op == Op::write;
    case FaultKind::no_space:
      return request.op == Op::resize || (request.op == Op::write && request.extends);
    case FaultKind::flush_failure:
      return request.op == Op::sync;
    case FaultKind::short_transfer:
      return transfer && request.divisible;
    case FaultKind::transient_error:
      return transfer || request.op == Op::sync;
    default:
      return true;
  }
}

std::map<FaultKind, std::uint32_t> over_all_rolls(const FaultPlan& plan, const RequestKind& request) {
  std::map<FaultKind, std::uint32_t> counts;
  for (std::uint32_t roll = 0; roll < FaultPlan::kDice; ++roll) ++counts[decide(plan, request, roll)];
  return counts;
}

TEST(FaultPlan, NothingGoesWrongByDefault) {
  EXPECT_TRUE(FaultPlan{}.honest());
  EXPECT_FALSE(FaultPlan{}.hits_reads());
  for (const RequestKind& request : all_requests()) {
    EXPECT_EQ(over_all_rolls({}, request), (std::map<FaultKind, std::uint32_t>{{FaultKind::count_, 65'536}}));
  }
}

TEST(FaultPlan, EachChanceAloneIsExactAndHitsOnlyWhatItCan) {
  for (const Row& row : kRows) {
    for (const std::uint32_t chance : {1u, 300u, 65'535u}) {
      FaultPlan plan;
      plan.*row.chance = chance;
      EXPECT_FALSE(plan.honest()) << name(row.kind);
      for (const RequestKind& request : all_requests()) {
        auto counts = over_all_rolls(plan, request);
        EXPECT_EQ(counts[row.kind], can_hit(row.kind, request) ? chance : 0u) << name(row.kind);
        EXPECT_EQ(counts[row.kind] + counts[FaultKind::count_], FaultPlan::kDice);
      }
    }
  }
}

TEST(FaultPlan, ChancesAdd) {
  FaultPlan plan;
  std::uint32_t chance = 100;
  for (const Row& row : kRows) plan.*row.chance = chance += 17;
  for (const RequestKind& request : all_requests()) {
    auto counts = over_all_rolls(plan, request);
    std::uint32_t sum = 0;
    for (const Row& row : kRows) {
      const std::uint32_t expected = can_hit(row.kind, request) ? plan.*row.chance : 0;
      EXPECT_EQ(counts[row.kind], expected) << name(row.kind);
      sum += expected;
    }
    EXPECT_EQ(counts[FaultKind::count_], FaultPlan::kDice - sum);
  }
}

TEST(FaultPlan, ZeroIsNeverAFaultHoweverLargeTheChances) {
  for (const std::uint32_t chance : {65'535u, 65'536u, 1'000'000u, 0xffffffffu}) {
    FaultPlan all;
    for (const Row& row : kRows) {
      FaultPlan one;
      one.*row.chance = all.*row.chance = chance;
      for (const RequestKind& request : all_requests()) {
        EXPECT_EQ(decide(one, request, 0), FaultKind::count_) << name(row.kind) << " " << chance;
        EXPECT_EQ(decide(all, request, 0), FaultKind::count_) << name(row.kind) << " " << chance;
      }
    }
  }
}

TEST(FaultPlan, MoreThanCertainStillIsAPlan) {
  FaultPlan plan;
  plan.read_error = 40'000;
  plan.transient_error = 40'000;
  auto counts = over_all_rolls(plan, {.op = Op::read});
  EXPECT_EQ(counts[FaultKind::read_error], 40'000u);
  EXPECT_EQ(counts[FaultKind::transient_error], 25'535u) << "all that is left but the zero";
  EXPECT_EQ(counts[FaultKind::count_], 1u);
}

TEST(FaultPlan, HitsReadsIsTrueExactlyWhenADiceForAReadCouldMatter) {
  for (const Row& row : kRows) {
    FaultPlan plan;
    plan.*row.chance = 1;
    EXPECT_EQ(plan.hits_reads(), can_hit(row.kind, {.op = Op::read, .divisible = true})) << name(row.kind);
  }
}

}  // namespace
}  // namespace pagedb::faults
