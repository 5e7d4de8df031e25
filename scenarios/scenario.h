// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Scenario: a workload, what may go wrong under it, and how its recovery is judged.
//
// A scenario is stateless; everything a run decides comes from its Choices. To add one: a file in this folder with a
// class derived from Scenario, and a line in the table of scenarios.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/io/backend.h"
#include "faults/profile.h"
#include "scenarios/result.h"
#include "sim/choices.h"
#include "sim/trace.h"

namespace pagedb::scenarios {

/// What one simulated run is given.
struct RunRequest {
  std::uint64_t seed = 0;                  ///< for violations and file identities; decisions come from `choices`
  const faults::DeviceProfile* profile{};  ///< the page device
  sim::Choices* choices{};
  sim::Trace* trace{};
  std::optional<std::uint64_t>
      only_branch{};  ///< verify this crash branch only: what a recorded failure keeps besides the trunk
};

/// What one run on a real disk is given: the same workload, no faults, no crash; reopened and verified at its end.
struct RealRequest {
  std::uint64_t seed = 0;
  sim::Choices* choices{};
  IoBackend* backend{};
  std::string directory;  ///< where its files are made; removed again
};

class Scenario {
 public:
  virtual ~Scenario() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// One line for `pagesim list`.
  [[nodiscard]] virtual std::string_view summary() const = 0;
  /// Name of the profile that it runs on unless told otherwise.
  [[nodiscard]] virtual std::string_view default_profile() const = 0;
  /// Runs the workload on the simulated disk and verifies a recovery at every I/O boundary.
  [[nodiscard]] virtual RunResult run(const RunRequest& request) const = 0;
  /// Runs the workload on a real disk.
  [[nodiscard]] virtual RunResult run_real(const RealRequest& request) const = 0;
};

/// All scenarios, in the order in which they are listed.
[[nodiscard]] std::span<const Scenario* const> all_scenarios();
/// The scenario of that name, or null.
[[nodiscard]] const Scenario* find_scenario(std::string_view name);

}  // namespace pagedb::scenarios
