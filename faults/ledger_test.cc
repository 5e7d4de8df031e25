// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Ledger: faults in order of injection, the gravest judgement stands, and nothing is counted twice.
#include "faults/ledger.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace pagedb::faults {
namespace {

constexpr Fate kByGravity[] = {Fate::void_, Fate::masked, Fate::repaired, Fate::excused, Fate::detected, Fate::silent};

TEST(Ledger, KeepsFaultsInOrderOfInjection) {
  Ledger ledger;
  EXPECT_TRUE(ledger.empty());
  EXPECT_EQ(ledger.open({.kind = FaultKind::bit_rot, .file = 1, .offset = 512, .size = 512}), 0u);
  EXPECT_EQ(ledger.open({.kind = FaultKind::read_error, .sys_errno = 5, .fiber = 3}), 1u);
  ASSERT_EQ(ledger.faults().size(), 2u);
  EXPECT_EQ(ledger.faults()[0].kind, FaultKind::bit_rot);
  EXPECT_EQ(ledger.faults()[0].offset, 512u);
  EXPECT_EQ(ledger.faults()[1].sys_errno, 5);
  EXPECT_EQ(ledger.faults()[1].fiber, 3);
  EXPECT_FALSE(ledger.faults()[0].closed);
  ledger.clear();
  EXPECT_TRUE(ledger.empty());
  EXPECT_EQ(ledger.open({}), 0u);
}

TEST(Ledger, TheGravestJudgementStandsInWhateverOrderTheyCome) {
  for (const Fate first : kByGravity) {
    for (const Fate second : kByGravity) {
      Ledger ledger;
      const std::uint32_t index = ledger.open({.kind = FaultKind::torn_write});
      ledger.judge(index, first);
      EXPECT_TRUE(ledger.faults()[0].closed);
      EXPECT_EQ(ledger.faults()[0].fate, first) << "the first judgement always stands: " << name(first);
      ledger.judge(index, second);
      const auto rank = [](Fate fate) { return std::find(std::begin(kByGravity), std::end(kByGravity), fate); };
      EXPECT_EQ(ledger.faults()[0].fate, rank(first) < rank(second) ? second : first)
          << name(first) << " " << name(second);
    }
  }
}

TEST(Ledger, CountsWhatNobodyHasJudged) {
  Ledger ledger;
  for (int i = 0; i < 3; ++i) ledger.open({.kind = FaultKind::crash});
  EXPECT_EQ(ledger.unjudged(), 3u);
  ledger.judge(1, Fate::void_);
  ledger.judge(1, Fate::silent);
  EXPECT_EQ(ledger.unjudged(), 2u);
  EXPECT_FALSE(ledger.faults()[0].closed);
  EXPECT_FALSE(ledger.faults()[2].closed);
}

TEST(Ledger, AddsToCountsByKindAndFate) {
  Ledger ledger;
  ledger.judge(ledger.open({.kind = FaultKind::bit_rot}), Fate::detected);
  ledger.judge(ledger.open({.kind = FaultKind::bit_rot}), Fate::masked);
  ledger.judge(ledger.open({.kind = FaultKind::no_space}), Fate::detected);
  ledger.open({.kind = FaultKind::crash});  // not judged: a kind, and no fate
  FaultCounts kinds{};
  FateCounts fates{};
  kinds[static_cast<std::size_t>(FaultKind::bit_rot)] = 10;
  ledger.add_to(kinds, fates);
  EXPECT_EQ(kinds[static_cast<std::size_t>(FaultKind::bit_rot)], 12u);
  EXPECT_EQ(kinds[static_cast<std::size_t>(FaultKind::no_space)], 1u);
  EXPECT_EQ(kinds[static_cast<std::size_t>(FaultKind::crash)], 1u);
  EXPECT_EQ(kinds[static_cast<std::size_t>(FaultKind::torn_write)], 0u);
  EXPECT_EQ(fates[static_cast<std::size_t>(Fate::detected)], 2u);
  EXPECT_EQ(fates[static_cast<std::size_t>(Fate::masked)], 1u);
  EXPECT_EQ(fates[static_cast<std::size_t>(Fate::void_)], 0u);
}

TEST(Fault, EveryKindAndFateHasItsOwnName) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kFaultKindCount; ++i) names.insert(name(static_cast<FaultKind>(i)));
  for (std::size_t i = 0; i < kFateCount; ++i) names.insert(name(static_cast<Fate>(i)));
  EXPECT_EQ(names.size(), kFaultKindCount + kFateCount);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(name(FaultKind::torn_write), "torn_write");
  EXPECT_EQ(name(FaultKind::recovery_crash), "recovery_crash");
  EXPECT_EQ(name(FaultKind::misdirected_write), "misdirected_write");
  EXPECT_EQ(name(Fate::void_), "void");
  EXPECT_EQ(name(Fate::silent), "silent");
  EXPECT_EQ(name(FaultKind::count_), "unknown");
}

}  // namespace
}  // namespace pagedb::faults
