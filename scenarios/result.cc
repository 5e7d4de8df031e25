// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Names of invariants, sums of counters, and the command that shows a violation again.
#include "scenarios/result.h"

#include <cstddef>

namespace pagedb::scenarios {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(Invariant::count_)> kInvariantNames = {
    "integrity", "durability", "lsn-monotonic", "write-ahead", "typed-errors",
    "allocator", "liveness",   "bounded",       "no-abort",
};
static_assert(!kInvariantNames.back().empty(), "an invariant has no name");

}  // namespace

std::string_view name(Invariant invariant) noexcept {
  const auto index = static_cast<std::size_t>(invariant);
  return index < kInvariantNames.size() ? kInvariantNames[index] : "unknown";
}

std::string shell_quoted(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

std::string Violation::replay_command() const {
  if (!command.empty()) return command;
  std::string built = "pagesim replay " + scenario + ":" + std::to_string(seed);
  if (!profile.empty()) built += " --profile " + shell_quoted(profile);
  return built;
}

Counters& Counters::operator+=(const Counters& other) noexcept {
  seeds += other.seeds;
  crashes += other.crashes;
  recoveries_verified += other.recoveries_verified;
  recoveries_repeated += other.recoveries_repeated;
  sim_ios += other.sim_ios;
  for (std::size_t i = 0; i < faults.size(); ++i) faults[i] += other.faults[i];
  for (std::size_t i = 0; i < fates.size(); ++i) fates[i] += other.fates[i];
  return *this;
}

}  // namespace pagedb::scenarios
