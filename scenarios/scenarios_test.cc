// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The scenarios that ship, as they are: clean on every device, the same whenever they are run again, with every fault
// accounted for and none of the kinds that they are about missing.
#include <gtest/gtest.h>

#include <initializer_list>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "faults/profile.h"
#include "scenarios/scenario.h"

namespace pagedb::scenarios {
namespace {

using faults::Fate;
using faults::FaultKind;

/// Runs `scenario` on a device with the given decisions.
RunResult run(const Scenario& scenario, std::uint64_t seed, std::string_view profile, sim::Choices& choices,
              sim::Trace& trace, std::optional<std::uint64_t> only_branch = {}) {
  const auto device = faults::find_profile(profile);
  EXPECT_TRUE(device) << profile;
  RunRequest request;
  request.seed = seed;
  request.profile = &*device;
  request.choices = &choices;
  request.trace = &trace;
  request.only_branch = only_branch;
  return scenario.run(request);
}

RunResult run(const Scenario& scenario, std::uint64_t seed, std::string_view profile) {
  sim::PrngChoices choices(seed);
  sim::Trace trace;
  return run(scenario, seed, profile, choices, trace);
}

/// Expects a run without violation in which all that happened is accounted for.
void expect_clean(const RunResult& result) {
  for (const Violation& violation : result.violations)
    ADD_FAILURE() << violation.message << "\n  " << violation.replay_command();
  const Counters& counters = result.counters;
  const auto total = [](const auto& counts) { return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}); };
  const auto count = [&](FaultKind kind) { return counters.faults[static_cast<std::size_t>(kind)]; };
  EXPECT_EQ(counters.seeds, 1u);
  EXPECT_EQ(counters.crashes, counters.recoveries_verified + counters.recoveries_repeated);
  // Each fault has one fate; a crash state is a fault of its own once it is recovered from.
  EXPECT_EQ(total(counters.faults), total(counters.fates));
  EXPECT_EQ(count(FaultKind::crash) + count(FaultKind::recovery_crash), counters.recoveries_verified);
  EXPECT_EQ(counters.fates[static_cast<std::size_t>(Fate::silent)], 0u);
}

/// What `seeds` seeds of a scenario count together.
Counters add_up(const Scenario& scenario, std::uint64_t seeds, std::string_view profile) {
  Counters sum;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const RunResult result = run(scenario, seed, profile);
    expect_clean(result);
    sum += result.counters;
  }
  return sum;
}

const Scenario& named(std::string_view name) {
  const Scenario* found = find_scenario(name);
  EXPECT_NE(found, nullptr) << name;
  return *found;
}

TEST(Scenarios, AreFoundByTheirNamesAndNothingElse) {
  std::set<std::string_view> names;
  for (const Scenario* scenario : all_scenarios()) {
    EXPECT_TRUE(names.insert(scenario->name()).second) << scenario->name() << " is there twice";
    EXPECT_EQ(find_scenario(scenario->name()), scenario);
    EXPECT_FALSE(scenario->summary().empty());
    EXPECT_EQ(scenario->summary().find('\n'), std::string_view::npos);
    EXPECT_TRUE(faults::find_profile(scenario->default_profile())) << scenario->default_profile();
  }
  const std::set<std::string_view> expected = {
      "page_file_crash",  "page_file_bitrot", "page_file_misaligned", "page_file_io_errors",
      "redo_full_images", "redo_crash",       "redo_lost_write",      "pool_crash",
      "pool_wal",         "pool_io_errors",   "pool_small",           "alloc_crash",
      "alloc_pool_crash", "alloc_hostile",    "alloc_shrink",         "alloc_io_errors"};
  EXPECT_EQ(names, expected);
  for (const std::string_view unknown : {"", "page_file", "page_file_crash ", "PAGE_FILE_CRASH", "all"})
    EXPECT_EQ(find_scenario(unknown), nullptr) << unknown;
}

/// What every scenario must do.
class EveryScenario : public ::testing::TestWithParam<const Scenario*> {
 protected:
  const Scenario& scenario_ = *GetParam();
};

INSTANTIATE_TEST_SUITE_P(, EveryScenario, ::testing::ValuesIn(all_scenarios().begin(), all_scenarios().end()),
                         [](const auto& which) { return std::string(which.param->name()); });

TEST_P(EveryScenario, IsCleanOnItsOwnProfile) {
  const Counters counters = add_up(scenario_, 6, scenario_.default_profile());
  EXPECT_EQ(counters.seeds, 6u);
  EXPECT_GT(counters.recoveries_verified, 100u);
  EXPECT_GT(counters.sim_ios, counters.recoveries_verified);
}

TEST_P(EveryScenario, IsCleanOnEveryBuiltInProfile) {
  for (const std::string_view profile : faults::profile_names()) {
    SCOPED_TRACE(profile);
    EXPECT_GT(add_up(scenario_, 2, profile).recoveries_verified, 0u);
  }
}

TEST_P(EveryScenario, IsTheSameForTheSameSeedOnly) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 10; seed < 13; ++seed) {
    sim::PrngChoices first(seed), second(seed);
    sim::Trace bare(false), kept(true);
    const RunResult once = run(scenario_, seed, scenario_.default_profile(), first, bare);
    const RunResult again = run(scenario_, seed, scenario_.default_profile(), second, kept);
    EXPECT_EQ(once.trace_hash, again.trace_hash) << "keeping the events must change nothing";
    EXPECT_EQ(once.trace_hash, bare.hash());
    EXPECT_EQ(kept.count(), kept.events().size());
    EXPECT_EQ(bare.count(), kept.count());
    EXPECT_TRUE(bare.events().empty());
    EXPECT_EQ(once.counters.faults, again.counters.faults);
    EXPECT_EQ(once.counters.fates, again.counters.fates);
    EXPECT_EQ(once.counters.crashes, again.counters.crashes);
    EXPECT_TRUE(hashes.insert(once.trace_hash).second) << "seed " << seed << " is like another one";
  }
}

TEST_P(EveryScenario, KnowsItsDevice) {
  std::set<std::uint64_t> hashes;
  for (const std::string_view profile : {"nvme-512", "sata-512e-misaligned", "nvme-4k", "nvme-plp"})
    hashes.insert(run(scenario_, 4, profile).trace_hash);
  EXPECT_EQ(hashes.size(), 4u);
}

TEST_P(EveryScenario, IsReplayedStrictlyFromItsLog) {
  sim::PrngChoices source(21);
  sim::RecordingChoices recording(source);
  sim::Trace trace, replayed;
  const RunResult first = run(scenario_, 21, scenario_.default_profile(), recording, trace);
  ASSERT_GT(recording.log().size(), 100u);
  sim::ReplayChoices replay(recording.log());
  const RunResult second = run(scenario_, 21, scenario_.default_profile(), replay, replayed);
  replay.finish();
  EXPECT_EQ(replay.mismatch(), "");
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_EQ(trace.count(), replayed.count());
}

TEST_P(EveryScenario, ABranchIsReplayedStrictlyByItselfAndLeavesTheTrunkAlone) {
  const std::string_view profile = scenario_.default_profile();
  const auto record = [&](std::optional<std::uint64_t> only) {
    sim::PrngChoices source(22);
    sim::RecordingChoices recording(source);
    sim::Trace trace;
    const RunResult result = run(scenario_, 22, profile, recording, trace, only);
    expect_clean(result);
    return std::pair(result, recording.log());
  };
  const auto [whole, all_choices] = record({});
  const auto [trunk, trunk_choices] = record(~std::uint64_t{0});
  ASSERT_EQ(trunk.counters.crashes, 0u);
  ASSERT_GT(whole.counters.crashes, 50u);
  ASSERT_FALSE(trunk_choices.empty());
  // Whether all branches are taken or one or none, the trunk decides the same, in the same order.
  const auto holds_trunk = [&, &choices_of_trunk = trunk_choices](const std::vector<sim::RecordedChoice>& log) {
    std::size_t next = 0;
    for (const sim::RecordedChoice& choice : log) {
      if (next == choices_of_trunk.size()) break;
      const sim::RecordedChoice& expected = choices_of_trunk[next];
      next += choice.key == expected.key && choice.n == expected.n && choice.value == expected.value;
    }
    return next == choices_of_trunk.size();
  };
  EXPECT_TRUE(holds_trunk(all_choices));
  for (const std::uint64_t branch : {std::uint64_t{5}, std::uint64_t{50}}) {
    SCOPED_TRACE(branch);
    const auto [one, choices] = record(branch);
    EXPECT_GE(one.counters.crashes, 1u);
    EXPECT_LE(one.counters.crashes, 2u) << "the branch, and a crash of its recovery";
    EXPECT_TRUE(holds_trunk(choices));
    sim::ReplayChoices replay(choices);
    sim::Trace replayed;
    const RunResult again = run(scenario_, 22, profile, replay, replayed, branch);
    replay.finish();
    EXPECT_EQ(replay.mismatch(), "");
    EXPECT_EQ(one.trace_hash, again.trace_hash);
  }
}

TEST_P(EveryScenario, EndsCleanlyWhateverAFuzzerSays) {
  sim::ByteChoices nothing({});
  sim::Trace quiet;
  expect_clean(run(scenario_, 0, scenario_.default_profile(), nothing, quiet));
  std::uint64_t state = 0x5eed;
  std::uint64_t crashes = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(round) * 4);
    for (std::uint8_t& byte : bytes) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<std::uint8_t>(state >> 56);
    }
    SCOPED_TRACE(round);
    sim::ByteChoices choices(bytes);
    sim::Trace trace;
    const RunResult result = run(scenario_, 0, scenario_.default_profile(), choices, trace);
    expect_clean(result);
    crashes += result.counters.crashes;
    if (HasFailure()) return;
  }
  EXPECT_GT(crashes, 1000u);
}

// ---- What each of them is about

void expect_kinds(const Counters& counters, std::initializer_list<FaultKind> present) {
  for (const FaultKind kind : present)
    EXPECT_GT(counters.faults[static_cast<std::size_t>(kind)], 0u) << faults::name(kind) << " never came up";
}

void expect_no_kinds(const Counters& counters, std::initializer_list<FaultKind> absent) {
  for (const FaultKind kind : absent)
    EXPECT_EQ(counters.faults[static_cast<std::size_t>(kind)], 0u) << faults::name(kind) << " has no place here";
}

void expect_fates(const Counters& counters, std::initializer_list<Fate> present) {
  for (const Fate fate : present)
    EXPECT_GT(counters.fates[static_cast<std::size_t>(fate)], 0u) << "no fault was ever " << faults::name(fate);
}

constexpr std::initializer_list<FaultKind> kCrashKinds = {
    FaultKind::torn_write,    FaultKind::lost_write, FaultKind::reordered_write, FaultKind::stale_length,
    FaultKind::missing_entry, FaultKind::crash,      FaultKind::recovery_crash};
constexpr std::initializer_list<FaultKind> kMediaKinds = {FaultKind::misdirected_write, FaultKind::bit_rot,
                                                          FaultKind::latent_sector_error};
constexpr std::initializer_list<FaultKind> kCallKinds = {FaultKind::read_error,     FaultKind::write_error,
                                                         FaultKind::no_space,       FaultKind::flush_failure,
                                                         FaultKind::short_transfer, FaultKind::transient_error};

TEST(Weather, CrashIsPowerLossAndNothingElse) {
  const Counters counters = add_up(named("page_file_crash"), 10, "nvme-512");
  expect_kinds(counters, kCrashKinds);
  expect_no_kinds(counters, kMediaKinds);
  expect_no_kinds(counters, kCallKinds);
  expect_no_kinds(counters, {FaultKind::neighbour_damage});
  expect_fates(counters, {Fate::void_, Fate::detected});
}

TEST(Weather, BitrotSpoilsTheMedium) {
  const Counters counters = add_up(named("page_file_bitrot"), 30, "nvme-512");
  expect_kinds(counters, kCrashKinds);
  expect_kinds(counters, kMediaKinds);
  expect_no_kinds(counters, kCallKinds);
  expect_fates(counters, {Fate::void_, Fate::masked, Fate::repaired, Fate::detected, Fate::excused});
}

TEST(Weather, MisalignedDamagesNeighbours) {
  const Counters counters = add_up(named("page_file_misaligned"), 10, "sata-512e-misaligned");
  expect_kinds(counters, kCrashKinds);
  expect_kinds(counters, {FaultKind::neighbour_damage});
  expect_no_kinds(counters, kMediaKinds);
  expect_no_kinds(counters, kCallKinds);
  expect_fates(counters, {Fate::void_, Fate::masked, Fate::detected});
}

TEST(Weather, IoErrorsFailCallsInEveryWay) {
  const Counters counters = add_up(named("page_file_io_errors"), 60, "nvme-512");
  expect_kinds(counters, kCrashKinds);
  expect_kinds(counters, kCallKinds);
  expect_no_kinds(counters, kMediaKinds);
  expect_fates(counters, {Fate::void_, Fate::masked, Fate::detected});
}

TEST(Weather, RedoBringsPagesBack) {
  const Counters counters = add_up(named("redo_full_images"), 10, "nvme-512");
  expect_kinds(counters, kCrashKinds);
  expect_kinds(counters, kMediaKinds);
  expect_no_kinds(counters, kCallKinds);
  expect_fates(counters, {Fate::void_, Fate::masked, Fate::repaired});
}

TEST(Weather, PoolCrashIsPowerLossAndNothingElse) {
  for (const std::string_view name : {"pool_crash", "pool_small"}) {
    SCOPED_TRACE(name);
    const Counters counters = add_up(named(name), 10, "nvme-512");
    expect_kinds(counters, kCrashKinds);
    expect_no_kinds(counters, kMediaKinds);
    expect_no_kinds(counters, kCallKinds);
    expect_fates(counters, {Fate::void_, Fate::detected});
  }
}

TEST(Weather, PoolWalBringsEveryPageBack) {
  const Counters counters = add_up(named("pool_wal"), 20, "nvme-512");
  expect_kinds(counters, kCrashKinds);
  expect_no_kinds(counters, kMediaKinds);
  expect_no_kinds(counters, kCallKinds);
  expect_fates(counters, {Fate::void_, Fate::repaired});
  for (const Fate fate : {Fate::detected, Fate::excused, Fate::silent})
    EXPECT_EQ(counters.fates[static_cast<std::size_t>(fate)], 0u) << "the log holds all that a crash can take";
}

TEST(Weather, PoolIoErrorsFailCallsInEveryWay) {
  const Counters counters = add_up(named("pool_io_errors"), 60, "nvme-512");
  expect_kinds(counters, kCrashKinds);
  expect_kinds(counters, kCallKinds);
  expect_no_kinds(counters, kMediaKinds);
  expect_fates(counters, {Fate::void_, Fate::masked, Fate::detected});
}

// A recovery extended the file over a hole, and what a cut read-modify-write had left past its end showed in it.
TEST(Weather, RedoMeetsNoDamageThatLayPastTheEndOfTheFile) {
  for (const std::uint64_t seed : {13u, 16u, 52u, 59u}) {
    SCOPED_TRACE(seed);
    expect_clean(run(named("redo_full_images"), seed, "sata-512e-misaligned"));
  }
}

/// Torn writes of page_file_crash on a device.
std::uint64_t torn_writes(std::string_view profile) {
  return add_up(named("page_file_crash"), 6, profile).faults[static_cast<std::size_t>(FaultKind::torn_write)];
}

TEST(Weather, PagesTearWhereTheDeviceWritesLessThanAPageAtOnce) {
  EXPECT_GT(torn_writes("nvme-512"), 0u);
  EXPECT_EQ(torn_writes("nvme-4k"), 0u) << "one physical sector a page";
  EXPECT_EQ(torn_writes("nvme-awu16k"), 0u) << "an atomic write a page";
  EXPECT_EQ(torn_writes("sata-512e"), 0u) << "aligned pages are physical sectors";
  EXPECT_GT(torn_writes("sata-512e-misaligned"), 0u) << "each page straddles two of them";
}

TEST(Weather, PowerLossProtectionLosesNothingThatWasAcknowledged) {
  const Counters counters = add_up(named("page_file_crash"), 6, "nvme-plp");
  expect_no_kinds(counters, {FaultKind::lost_write});
  expect_kinds(counters, {FaultKind::torn_write, FaultKind::crash});
}

}  // namespace
}  // namespace pagedb::scenarios
