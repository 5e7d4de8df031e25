// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the words of pagesim's command line mean, and what is said when they mean nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "faults/profile.h"
#include "scenarios/scenario.h"

namespace pagedb::pagesim {

/// Exit codes: a contract with scripts.
enum Exit : int { kClean = 0, kViolation = 1, kUsage = 2, kInfrastructure = 3, kNondeterminism = 4 };

/// A command line that cannot be obeyed. main prints both lines and exits with kUsage.
struct UsageError {
  std::string wrong;  ///< what is wrong, one line
  std::string to_do;  ///< what to do, one line
};

/// Seeds [first, end).
struct SeedRange {
  std::uint64_t first = 0;
  std::uint64_t end = 1000;
};

/// Which part of a campaign this process takes.
struct Shard {
  std::uint64_t index = 0;
  std::uint64_t count = 1;
};

/// A variable of the environment; nothing when it is not set or empty.
using Environment = std::function<std::optional<std::string>(const char* name)>;
[[nodiscard]] std::optional<std::string> process_environment(const char* name);

// All throw UsageError. `what` names the flag or variable the text came from.

/// A decimal number of 64 bits: digits only.
[[nodiscard]] std::uint64_t parse_number(std::string_view what, std::string_view text);
/// "A..B", A below B.
[[nodiscard]] SeedRange parse_seeds(std::string_view text);
/// A number with ms, s, m or h.
[[nodiscard]] std::chrono::milliseconds parse_duration(std::string_view text);
/// Worker processes, 1 to 1024.
[[nodiscard]] unsigned parse_jobs(std::string_view text);
/// From the flags, else from the first of GoogleTest's, Slurm's and Kubernetes' variables that is set, else everything.
[[nodiscard]] Shard parse_shard(const std::string& index, const std::string& count, const Environment& environment);
/// A scenario's name, or "all".
[[nodiscard]] std::vector<const scenarios::Scenario*> parse_scenarios(std::string_view text);
[[nodiscard]] const scenarios::Scenario& parse_scenario(std::string_view text);
/// A built-in profile or a file.
[[nodiscard]] faults::DeviceProfile parse_profile_argument(const std::string& text);

/// "did you mean X? " for the name nearest to `word`, if one is near; then all of them.
[[nodiscard]] std::string suggestion(std::string_view word, std::span<const std::string_view> names);

}  // namespace pagedb::pagesim
