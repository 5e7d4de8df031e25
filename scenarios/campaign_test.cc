// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Campaigns of toy scenarios that end well, break a promise, die in every way we know of, or do not do the same thing
// twice.
#include "scenarios/campaign.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>

#include "scenarios/isolated.h"
#include "scenarios/worker.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Draws, traces and counts a little; `act` does what the test is about.
class Toy final : public Scenario {
 public:
  using Act = std::function<void(const RunRequest&, RunResult&)>;
  explicit Toy(Act act = nullptr, std::string name = "toy") : act_(std::move(act)), name_(std::move(name)) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::string_view summary() const override { return "a toy"; }
  [[nodiscard]] std::string_view default_profile() const override { return "nvme-512"; }
  [[nodiscard]] RunResult run(const RunRequest& request) const override {
    RunResult result;
    sim::Span span;
    for (std::uint64_t i = 0; i < 4; ++i) {
      sim::Event event;
      event.kind = i == 2 ? sim::EventKind::crash : sim::EventKind::verdict;
      event.depth = i == 2 ? 1 : 0;
      event.a = i == 2 ? 7 : request.choices->draw(span, sim::Site::op_value, 1000);
      request.trace->add(event);
    }
    result.counters.crashes = 2;
    result.counters.recoveries_verified = 1;
    result.counters.sim_ios = 10;
    result.counters.faults[static_cast<std::size_t>(faults::FaultKind::bit_rot)] = request.seed % 3;
    result.counters.fates[static_cast<std::size_t>(faults::Fate::detected)] = request.seed % 3;
    if (act_) act_(request, result);
    return result;
  }
  [[nodiscard]] RunResult run_real(const RealRequest&) const override { return {}; }

 private:
  Act act_;
  std::string name_;
};

Toy::Act at_seed(std::uint64_t seed, std::function<void()> act) {
  return [seed, act = std::move(act)](const RunRequest& request, RunResult&) {
    if (request.seed == seed) act();
  };
}

CampaignOptions options_for(const Scenario& scenario, std::uint64_t seeds) {
  CampaignOptions options;
  options.scenarios = {&scenario};
  options.end_seed = seeds;
  return options;
}

void spin_for_ever() {
  volatile bool stop = false;
  while (!stop) {
  }
}

// What every campaign with one dead seed must be like: nothing lost but that seed.
void expect_only_seed_lost(const CampaignResult& result, std::uint64_t seeds, std::uint64_t dead,
                           const std::string& says) {
  ASSERT_THAT(result.violations, SizeIs(1));
  EXPECT_EQ(result.violations[0].scenario, "toy");
  EXPECT_EQ(result.violations[0].seed, dead);
  EXPECT_EQ(result.violations[0].invariant, Invariant::no_abort);
  EXPECT_THAT(result.violations[0].message, HasSubstr(says));
  EXPECT_THAT(result.violations[0].message, Not(HasSubstr("\n")));
  EXPECT_EQ(result.violations[0].replay_command(), "pagesim replay toy:" + std::to_string(dead));
  EXPECT_EQ(result.totals.seeds, seeds);
  EXPECT_EQ(result.totals.recoveries_verified, seeds - 1);
  EXPECT_THAT(result.infrastructure_errors, IsEmpty());
  EXPECT_THAT(result.nondeterminism, IsEmpty());
}

TEST(Campaign, AddsUpEverySeedOnce) {
  const Toy toy;
  const CampaignResult result = run_campaign(options_for(toy, 150));
  EXPECT_EQ(result.totals.seeds, 150u);
  EXPECT_EQ(result.totals.crashes, 300u);
  EXPECT_EQ(result.totals.sim_ios, 1500u);
  EXPECT_EQ(result.totals.faults[static_cast<std::size_t>(faults::FaultKind::bit_rot)], 150u);
  EXPECT_EQ(result.totals.fates[static_cast<std::size_t>(faults::Fate::detected)], 150u);
  ASSERT_THAT(result.blocks, SizeIs(3));
  EXPECT_EQ(result.blocks[2].first, 128u);
  EXPECT_EQ(result.blocks[2].end, 150u);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_THAT(result.nondeterminism, IsEmpty());
  EXPECT_THAT(result.infrastructure_errors, IsEmpty());
  EXPECT_GT(result.wall_s, 0);
  EXPECT_GT(result.core_s, 0);
}

TEST(Campaign, ResultDoesNotDependOnJobs) {
  const Toy one(nullptr, "one");
  const Toy two(
      [](const RunRequest& request, RunResult& result) {
        if (request.seed % 10 == 3) result.violations.push_back({});
      },
      "two");
  CampaignOptions options = options_for(one, 300);
  options.scenarios.push_back(&two);
  const CampaignResult alone = run_campaign(options);
  options.jobs = 3;
  const CampaignResult together = run_campaign(options);
  EXPECT_EQ(alone.trace_hash, together.trace_hash);
  EXPECT_EQ(alone.totals.seeds, 600u);
  EXPECT_EQ(together.totals.seeds, 600u);
  ASSERT_EQ(alone.violations.size(), 30u);
  ASSERT_EQ(together.violations.size(), 30u);
  for (std::size_t i = 0; i < 30; ++i) EXPECT_EQ(alone.violations[i].seed, together.violations[i].seed);
  options.end_seed = 299;
  EXPECT_NE(run_campaign(options).trace_hash, alone.trace_hash);
}

TEST(Campaign, TraceHashKnowsProfile) {
  const Toy toy;
  CampaignOptions options = options_for(toy, 64);
  const std::uint64_t usual = run_campaign(options).trace_hash;
  options.profile = faults::find_profile("nvme-4k");
  EXPECT_NE(run_campaign(options).trace_hash, usual);
}

TEST(Campaign, ShardsCoverEveryBlockOnce) {
  const Toy toy;
  CampaignOptions options = options_for(toy, 64 * 7 + 5);
  options.first_seed = 10;
  const CampaignResult whole = run_campaign(options);
  options.shard_count = 3;
  std::size_t blocks = 0;
  std::uint64_t seeds = 0;
  for (options.shard_index = 0; options.shard_index < 3; ++options.shard_index) {
    const CampaignResult part = run_campaign(options);
    blocks += part.blocks.size();
    seeds += part.totals.seeds;
    for (const BlockHash& block : part.blocks) {
      EXPECT_EQ(block.first / kSeedBlock % 3, options.shard_index);
      EXPECT_TRUE(std::ranges::any_of(whole.blocks, [&](const BlockHash& other) {
        return other.first == block.first && other.end == block.end && other.hash == block.hash;
      }));
    }
  }
  EXPECT_EQ(blocks, whole.blocks.size());
  EXPECT_EQ(seeds, whole.totals.seeds);
}

TEST(Campaign, DurationCountsWholeBlocks) {
  const Toy toy;
  CampaignOptions options = options_for(toy, 0);
  options.duration = std::chrono::milliseconds(50);
  const CampaignResult result = run_campaign(options);
  EXPECT_GE(result.totals.seeds, kSeedBlock);
  EXPECT_EQ(result.totals.seeds % kSeedBlock, 0u);
  EXPECT_EQ(result.totals.seeds, result.blocks.size() * kSeedBlock);
}

TEST(Campaign, AbortBecomesAViolation) {
  const Toy toy(at_seed(70, [] {
    std::fputs("the reason\n", stderr);
    std::abort();
  }));
  const CampaignResult result = run_campaign(options_for(toy, 130));
  expect_only_seed_lost(result, 130, 70, "signal 6");
  EXPECT_THAT(result.violations[0].message, HasSubstr("the reason"));
}

TEST(Campaign, ExitBecomesAViolation) {
  const Toy toy(at_seed(0, [] { ::_exit(0); }));
  expect_only_seed_lost(run_campaign(options_for(toy, 64)), 64, 0, "exit code 0");
}

TEST(Campaign, ExceptionBecomesAViolation) {
  const Toy toy(at_seed(63, [] { throw std::runtime_error("thrown by a toy"); }));
  expect_only_seed_lost(run_campaign(options_for(toy, 64)), 64, 63, "thrown by a toy");
}

TEST(Campaign, DeathOfAFloodOfOutputIsBounded) {
  const Toy toy(at_seed(5, [] {
    for (int i = 0; i < 100'000; ++i) std::fputs("noise noise noise\n", stderr);
    std::fputs("last line\n", stderr);
    std::abort();
  }));
  const CampaignResult result = run_campaign(options_for(toy, 64));
  expect_only_seed_lost(result, 64, 5, "last line");
  EXPECT_LT(result.violations[0].message.size(), 2000u);
}

TEST(Campaign, RunawayBecomesAViolation) {
  const Toy toy(at_seed(9, spin_for_ever));
  CampaignOptions options = options_for(toy, 64);
  options.limits.seed_cpu_s = 1;
  expect_only_seed_lost(run_campaign(options), 64, 9, "CPU time limit");
}

TEST(Campaign, HangBecomesAViolation) {
  const Toy toy(at_seed(9, [] {
    for (;;) ::pause();
  }));
  CampaignOptions options = options_for(toy, 64);
  options.limits.seed_wall_s = 1;
  expect_only_seed_lost(run_campaign(options), 64, 9, "wall clock limit");
}

TEST(Campaign, EndlessMemoryBecomesAViolation) {
  const Toy toy(at_seed(11, [] {
    std::vector<std::unique_ptr<char[]>> kept;
    for (std::size_t i = 0; i < 1024; ++i) {
      if (built_with_sanitizer()) throw std::bad_alloc();  // their address space has no limit to run into
      kept.push_back(std::make_unique<char[]>(1 << 20));
    }
  }));
  CampaignOptions options = options_for(toy, 64);
  options.limits.memory_bytes = std::uint64_t{512} << 20;
  expect_only_seed_lost(run_campaign(options), 64, 11, "bad_alloc");
}

// A file that remembers, across processes, how often it was asked.
class Counter {
 public:
  Counter() : file_(std::tmpfile()) {}
  ~Counter() { std::fclose(file_); }
  // 0 the first time, then 1, ...
  int next() const {
    ::lseek(::fileno(file_), 0, SEEK_END);
    const auto asked = ::lseek(::fileno(file_), 0, SEEK_CUR);
    EXPECT_EQ(::write(::fileno(file_), "x", 1), 1);
    return static_cast<int>(asked);
  }

 private:
  std::FILE* file_;
};

TEST(Campaign, KilledFromOutsideOnceIsRunAgain) {
  const Counter counter;
  const Toy toy(at_seed(20, [&] {
    if (counter.next() == 0) ::raise(SIGKILL);
  }));
  const CampaignResult result = run_campaign(options_for(toy, 128));
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.totals.recoveries_verified, 128u);
  EXPECT_EQ(counter.next(), 2);
}

TEST(Campaign, KilledTwiceIsAViolation) {
  const Counter counter;
  const Toy toy(at_seed(20, [&] {
    counter.next();
    ::raise(SIGKILL);
  }));
  expect_only_seed_lost(run_campaign(options_for(toy, 128)), 128, 20, "signal 9");
  EXPECT_EQ(counter.next(), 2);
}

TEST(Campaign, DifferentTraceInASampledSeedIsNondeterminism) {
  const Counter counter;
  const Toy toy([&](const RunRequest& request, RunResult&) {
    if (request.seed % 64 == 63) request.trace->mix(static_cast<std::uint64_t>(counter.next()));
  });
  CampaignOptions options = options_for(toy, 64);
  options.program = "./build here/pagesim";
  const CampaignResult result = run_campaign(options);
  ASSERT_THAT(result.nondeterminism, SizeIs(1));
  EXPECT_EQ(result.nondeterminism[0].seed, 63u);
  EXPECT_EQ(result.nondeterminism[0].command, "'./build here/pagesim' replay toy:63 --check-determinism");
  EXPECT_THAT(result.nondeterminism[0].message, HasSubstr("hash"));
}

TEST(Campaign, EveryViolationIsRunAgain) {
  const Counter counter;
  const Toy toy([&](const RunRequest& request, RunResult& result) {
    if (request.seed != 5) return;
    result.violations.push_back({});
    request.trace->mix(static_cast<std::uint64_t>(counter.next()));
  });
  const CampaignResult result = run_campaign(options_for(toy, 64));
  EXPECT_THAT(result.violations, SizeIs(1));
  ASSERT_THAT(result.nondeterminism, SizeIs(1));
  EXPECT_EQ(result.nondeterminism[0].seed, 5u);
}

TEST(Campaign, DeathThatDoesNotRepeatIsNondeterminism) {
  const Counter counter;
  const Toy toy(at_seed(5, [&] {
    if (counter.next() == 0) std::abort();
  }));
  const CampaignResult result = run_campaign(options_for(toy, 64));
  EXPECT_THAT(result.violations, SizeIs(1));
  ASSERT_THAT(result.nondeterminism, SizeIs(1));
  EXPECT_THAT(result.nondeterminism[0].message, HasSubstr("died the first time"));
}

TEST(Campaign, DeathInTheSecondRunIsNondeterminism) {
  const Counter counter;
  const Toy toy(at_seed(63, [&] {
    if (counter.next() == 1) std::abort();
  }));
  const CampaignResult result = run_campaign(options_for(toy, 64));
  EXPECT_THAT(result.violations, IsEmpty());
  ASSERT_THAT(result.nondeterminism, SizeIs(1));
  EXPECT_THAT(result.nondeterminism[0].message, HasSubstr("signal 6"));
}

TEST(Campaign, KeepsTheFirstThousandViolationsAndCountsAll) {
  const Toy toy([](const RunRequest&, RunResult& result) {
    for (int i = 0; i < 10; ++i) result.violations.push_back({});
  });
  CampaignOptions options = options_for(toy, 320);
  options.jobs = 2;
  const CampaignResult result = run_campaign(options);
  EXPECT_EQ(result.violations_found, 3200u);
  ASSERT_THAT(result.violations, SizeIs(1000));
  EXPECT_EQ(result.violations.front().seed, 0u);
  EXPECT_EQ(result.violations.back().seed, 99u);
}

TEST(Campaign, ReplayCommandNamesAForeignProfile) {
  const Toy toy([](const RunRequest&, RunResult& result) { result.violations.push_back({}); });
  CampaignOptions options = options_for(toy, 1);
  options.profile = faults::find_profile("nvme-4k");
  options.program = "build/pagesim";
  const CampaignResult result = run_campaign(options);
  ASSERT_THAT(result.violations, SizeIs(1));
  EXPECT_EQ(result.violations[0].replay_command(), "build/pagesim replay toy:0 --profile nvme-4k");
}

TEST(Campaign, TellsProgress) {
  const Toy toy(at_seed(0, [] { ::usleep(300'000); }));
  CampaignOptions options = options_for(toy, 64);
  std::vector<std::uint64_t> seen;
  options.progress = [&](const Progress& progress) { seen.push_back(progress.seeds); };
  (void)run_campaign(options);
  ASSERT_THAT(seen, Not(IsEmpty()));
  EXPECT_EQ(seen.front(), 0u);
}

TEST(Worker, ResultsSurviveTheWire) {
  RunResult result;
  result.counters.crashes = 3;
  result.trace_hash = 0x1234;
  Violation violation;
  violation.scenario = "s";
  violation.seed = 9;
  violation.invariant = Invariant::bounded;
  violation.branch = 4;
  violation.message = std::string(5000, 'm');
  result.violations.assign(40, violation);
  const std::string bytes = encode(result);
  const auto back = decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->counters.crashes, 3u);
  EXPECT_EQ(back->trace_hash, 0x1234u);
  ASSERT_THAT(back->violations, SizeIs(16));
  EXPECT_EQ(back->violations[15].invariant, Invariant::bounded);
  EXPECT_EQ(back->violations[15].message.size(), 2000u);
  for (std::size_t size = 0; size < bytes.size(); size += 7)
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size)));
  EXPECT_FALSE(decode(bytes + "x"));
}

TEST(LastWords, PrefersASanitizersSummary) {
  EXPECT_EQ(last_words("a\nb\n\nc\nd\n"), "b | c | d");
  EXPECT_EQ(last_words("x\nSUMMARY: AddressSanitizer: heap-use-after-free\nshadow\nshadow\nshadow\nshadow\n"),
            "SUMMARY: AddressSanitizer: heap-use-after-free");
  EXPECT_EQ(last_words("f.cc:3:4: runtime error: shift\na\nb\nc\nd\n"), "f.cc:3:4: runtime error: shift");
  EXPECT_EQ(last_words(""), "");
  EXPECT_EQ(last_words("tab\there"), "tab here");
}

TEST(Isolated, BringsEventsDecisionsAndResultHome) {
  const Toy toy;
  const Assignment assignment{&toy, *faults::find_profile("nvme-512")};
  IsolatedRequest request;
  request.assignment = &assignment;
  request.seed = 3;
  request.keep_events = true;
  request.record = true;
  const IsolatedRun run = run_isolated(request);
  EXPECT_FALSE(run.died);
  EXPECT_THAT(run.events, SizeIs(4));
  EXPECT_THAT(run.log, SizeIs(3));
  EXPECT_EQ(run.result.trace_hash, run_seed(assignment, 3).trace_hash);

  IsolatedRequest replay = request;
  replay.replay = &run.log;
  const IsolatedRun again = run_isolated(replay);
  EXPECT_EQ(again.mismatch, "");
  EXPECT_EQ(again.events, run.events);

  std::vector<sim::RecordedChoice> longer = run.log;
  longer.push_back(longer.back());
  replay.replay = &longer;
  EXPECT_NE(run_isolated(replay).mismatch, "");
  std::vector<sim::RecordedChoice> shorter(run.log.begin(), run.log.end() - 1);
  replay.replay = &shorter;
  EXPECT_NE(run_isolated(replay).mismatch, "");
}

TEST(Isolated, ADeathStillTellsItsEventsAndDecisions) {
  const std::vector<std::pair<std::string, std::function<void()>>> deaths = {
      {"signal 6", [] { std::abort(); }},
      {"runaway", spin_for_ever},
  };
  for (const auto& [says, die] : deaths) {
    const Toy toy(at_seed(3, die));
    const Assignment assignment{&toy, *faults::find_profile("nvme-512")};
    IsolatedRequest request;
    request.assignment = &assignment;
    request.seed = 3;
    request.keep_events = true;
    request.record = true;
    request.limits.seed_cpu_s = 1;
    const IsolatedRun run = run_isolated(request);
    EXPECT_TRUE(run.died);
    ASSERT_THAT(run.result.violations, SizeIs(1));
    const bool told = !sim::kThreadSanitizer || says != "runaway";  // see arm_black_box
    EXPECT_THAT(run.events, SizeIs(told ? 4 : 0)) << says;
    EXPECT_THAT(run.log, SizeIs(told ? 3 : 0)) << says;
    EXPECT_EQ(run.result.violations[0].branch, told ? 7u : 0u);
    EXPECT_THAT(run.result.violations[0].message, HasSubstr(says));
  }
}

TEST(Result, Names) {
  EXPECT_EQ(name(Invariant::integrity), "integrity");
  EXPECT_EQ(name(Invariant::typed_errors), "typed-errors");
  EXPECT_EQ(name(Invariant::no_abort), "no-abort");
  EXPECT_EQ(shell_quoted("a/b-c.toml"), "a/b-c.toml");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted(""), "''");
}

}  // namespace
}  // namespace pagedb::scenarios
