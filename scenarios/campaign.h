// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Campaign: many seeds of many scenarios over many processes, and one result.
//
// Seeds are handed out in blocks of 64 to worker processes. A worker that dies costs its seed and nothing else: the
// death becomes a `no_abort` violation and a new worker goes on with the rest of the block. A seed that ran out of time
// (or was killed from outside) is run once more before it is held against the engine. One seed in 64, and every seed
// with a violation, is run again in a fresh process; a different outcome is reported as nondeterminism.
//
// The result does not depend on the number of workers, nor on who ran which block. Only this layer looks at a wall
// clock; a run never does.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "faults/profile.h"
#include "scenarios/child.h"
#include "scenarios/result.h"
#include "scenarios/scenario.h"

namespace pagedb::scenarios {

/// Seeds that are handed out, hashed and sharded together: block b holds seeds [64 b, 64 b + 64).
inline constexpr std::uint64_t kSeedBlock = 64;

/// How far a campaign is.
struct Progress {
  std::uint64_t seeds = 0;
  std::uint64_t recoveries_verified = 0;
  std::uint64_t violations = 0;
  double elapsed_s = 0;
};

struct CampaignOptions {
  std::vector<const Scenario*> scenarios;  ///< each is run on every seed
  std::uint64_t first_seed = 0;            ///< first seed
  std::uint64_t end_seed = 1000;           ///< one past the last; not used with `duration`
  std::optional<std::chrono::milliseconds>
      duration{};     ///< instead of `end_seed`: hand out blocks until so much time is over, and finish those
  unsigned jobs = 1;  ///< worker processes
  std::optional<faults::DeviceProfile> profile{};  ///< instead of each scenario's own
  std::uint64_t shard_index = 0;  ///< this campaign takes the blocks b with b % shard_count == shard_index
  std::uint64_t shard_count = 1;
  ChildLimits limits{};
  std::uint64_t recheck_every = 64;                 ///< one seed in so many is run twice; 0: only those with violations
  std::string program = "pagesim";                  ///< how replay commands call the simulator
  std::function<void(const Progress&)> progress{};  ///< called in the parent, a few times a second
};

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

[[nodiscard]] CampaignResult run_campaign(const CampaignOptions& options);

/// The command that replays a seed, ready to paste. `profile` is left out when the scenario runs on it anyway.
[[nodiscard]] std::string replay_command(std::string_view program, const Scenario& scenario, std::uint64_t seed,
                                         std::string_view profile);

}  // namespace pagedb::scenarios
