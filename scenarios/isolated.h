// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// One run in a process of its own, with everything it can tell: events, decisions, result, and how it died if it did.
//
// A run that aborts takes its memory with it. So the child has a black box: when a signal or a sanitizer ends it, it
// still sends the events and decisions that it has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/function_ref.h"
#include "scenarios/child.h"
#include "scenarios/result.h"
#include "scenarios/worker.h"
#include "sim/choices.h"
#include "sim/trace.h"

namespace pagedb::scenarios {

struct IsolatedRequest {
  const Assignment* assignment{};
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> only_branch{};  ///< see RunRequest
  const std::vector<sim::RecordedChoice>* replay =
      nullptr;               ///< draw from this log, strictly, instead of the seed's generator
  bool keep_events = false;  ///< fill IsolatedRun::events
  bool record = false;       ///< fill IsolatedRun::log
  ChildLimits limits{};
};

struct IsolatedRun {
  RunResult result;  ///< when it died: the one violation that says so
  bool died = false;
  std::vector<sim::Event> events;        ///< all, or those up to its death
  std::vector<sim::RecordedChoice> log;  ///< all, or those up to its death
  std::string mismatch;  ///< of a strict replay: the first decision that is not in the log; empty when all fit
  std::string infrastructure_error;  ///< no run could be made at all
};

/// Runs a seed or a log in a fresh process.
[[nodiscard]] IsolatedRun run_isolated(const IsolatedRequest& request);

/// Calls `run` in a fresh process and brings its result home. `about` names it in a violation, should it die.
[[nodiscard]] IsolatedRun run_isolated(const Assignment& about, std::uint64_t seed, const ChildLimits& limits,
                                       FunctionRef<RunResult()> run);

}  // namespace pagedb::scenarios
