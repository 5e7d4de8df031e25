// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// For model tests: explore a scenario under a GoogleTest, one exploration a test (a pasted schedule belongs to one).
//
// How far they go: the bounds in the tests are what fits into a `tools/check`. A build with -DPAGEDB_MODEL_EXTENT=brief
// (the default under sanitizers) takes two preemptions (but leaves one) and most of the random schedules away; =long
// (the preset `model`) adds a preemption, and ten times the random schedules.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sim/model/exhaustive.h"
#include "sim/model/explore.h"
#include "sim/model/pct.h"
#include "sim/model/random_policy.h"

namespace pagedb::sim::model {

#if defined(PAGEDB_MODEL_BRIEF)
inline constexpr int kMorePreemptions = -2;
inline constexpr std::uint64_t scaled(std::uint64_t runs) { return std::max<std::uint64_t>(1, runs / 20); }
#elif defined(PAGEDB_MODEL_LONG)
inline constexpr int kMorePreemptions = 1;
inline constexpr std::uint64_t scaled(std::uint64_t runs) { return runs * 10; }
#else
inline constexpr int kMorePreemptions = 0;
inline constexpr std::uint64_t scaled(std::uint64_t runs) { return runs; }
#endif

/// The running test's name, as --gtest_filter takes it.
inline std::string test_name() {
  const auto& test = *testing::UnitTest::GetInstance()->current_test_info();
  return std::string(test.test_suite_name()) + '.' + test.name();
}

/// Fails the test when a schedule fails.
inline void check(Policy& policy, const Execution::Body& body, std::uint64_t steps_max = 20'000) {
  const Outcome outcome = explore(policy, {.name = test_name(), .steps_max = steps_max, .quiet = false}, body);
  if (outcome.failed) ADD_FAILURE() << outcome.failure << "\n  after " << outcome.summary;
}

/// Every schedule with that many preemptions, and MODEL_MORE_PREEMPTIONS of the environment.
inline void check_exhaustively(unsigned preemptions_max, const Execution::Body& body,
                               std::uint64_t steps_max = 20'000) {
  const char* const asked = std::getenv("MODEL_MORE_PREEMPTIONS");
  const int more = kMorePreemptions + (asked != nullptr ? std::atoi(asked) : 0);
  Exhaustive policy(static_cast<unsigned>(std::max(1, static_cast<int>(preemptions_max) + more)));
  check(policy, body, steps_max);
  if (std::getenv("MODEL_SCHEDULE") != nullptr || testing::Test::HasFailure()) return;
  EXPECT_TRUE(policy.complete()) << policy.summary();
}

/// Random schedules, half of them by PCT of depth 3.
inline void check_randomly(std::uint64_t runs, const Execution::Body& body, std::uint64_t steps_max = 20'000) {
  Random random(1, scaled(runs / 2));
  check(random, body, steps_max);
  if (std::getenv("MODEL_SCHEDULE") != nullptr || testing::Test::HasFailure()) return;
  Pct pct(2, scaled(runs / 2), 3);
  check(pct, body, steps_max);
}

}  // namespace pagedb::sim::model
