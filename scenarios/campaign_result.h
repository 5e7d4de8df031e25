// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What a campaign gives. Plain values; reports/ turns them into text, JSON and JUnit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "scenarios/result.h"

namespace pagedb::scenarios {

/// A seed that did not do the same thing twice.
struct Nondeterminism {
  std::string scenario;
  std::uint64_t seed = 0;
  std::string message;  ///< one line
  std::string command;  ///< names the first event that differs
};

/// One scenario's part.
struct ScenarioTotals {
  std::string name;
  std::string profile;
  Counters counters;
  std::uint64_t violations = 0;
};

/// One block's part in the trace hash.
struct BlockHash {
  std::size_t scenario = 0;  ///< index into CampaignResult::scenarios
  std::uint64_t first = 0;   ///< first seed
  std::uint64_t end = 0;     ///< one past the last
  std::uint64_t hash = 0;    ///< over its seeds' hashes, in seed order
};

struct CampaignResult {
  Counters totals;
  std::vector<ScenarioTotals> scenarios;  ///< in the order of the options
  std::vector<BlockHash> blocks;          ///< by scenario, then seed
  std::vector<Violation> violations;      ///< by scenario, then seed; the first thousand
  std::uint64_t violations_found = 0;     ///< all
  std::vector<Nondeterminism> nondeterminism;
  std::vector<std::string> infrastructure_errors;  ///< what kept the campaign from being complete, one line each
  std::uint64_t trace_hash = 0;                    ///< over `blocks` in order, with the names of scenario and profile
  double wall_s = 0;
  double core_s = 0;  ///< wall_s times the cores that the workers could use: what rates are divided by
};

}  // namespace pagedb::scenarios
