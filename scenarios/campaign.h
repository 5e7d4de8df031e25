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
#include "scenarios/campaign_result.h"
#include "scenarios/child.h"
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

/// Runs it. Forks, so the calling process must have one thread only.
[[nodiscard]] CampaignResult run_campaign(const CampaignOptions& options);

/// The command that replays a seed, ready to paste. `profile` is left out when the scenario runs on it anyway.
[[nodiscard]] std::string replay_command(std::string_view program, const Scenario& scenario, std::uint64_t seed,
                                         std::string_view profile);

}  // namespace pagedb::scenarios
