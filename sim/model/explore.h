// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// explore: runs a scenario under a policy until something fails or nothing is left, and prints what was explored.
//
// With MODEL_SCHEDULE in the environment it runs that one schedule instead and prints its steps. When the engine aborts
// in the middle of an exploration, the schedule and the command that replays it are printed before the process dies.
#pragma once

#include <cstdint>
#include <string>

#include "sim/model/execution.h"
#include "sim/model/policy.h"
#include "sim/model/schedule.h"

namespace pagedb::sim::model {

/// What to run.
struct Exploration {
  std::string name;  ///< of the test, as --gtest_filter takes it
  std::uint64_t steps_max = 20'000;
  bool quiet = false;  ///< prints nothing, heeds no MODEL_SCHEDULE: for tests of the checker
};

/// What came of it.
struct Outcome {
  bool failed = false;
  std::string failure;  ///< what failed, and the command that shows it again
  Schedule schedule;    ///< of the failure
  std::string summary;  ///< what was explored, and how long it took
};

/// See the head of this file. The scenario must do the same whenever the same choices are made.
[[nodiscard]] Outcome explore(Policy& policy, const Exploration& exploration, const Execution::Body& body);

}  // namespace pagedb::sim::model
