// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Sums, ordered hashes, and the first violations.
#include "scenarios/campaign_totals.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "engine/check.h"
#include "sim/trace.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kViolationsKept = 1000;

void mix_text(sim::Trace& hash, std::string_view text) {
  hash.mix(text.size());
  for (const char c : text) hash.mix(static_cast<unsigned char>(c));
}

}  // namespace

std::string replay_command(std::string_view program, const Scenario& scenario, std::uint64_t seed,
                           std::string_view profile) {
  std::string command = shell_quoted(program) + " replay " + std::string(scenario.name()) + ":" + std::to_string(seed);
  if (profile != scenario.default_profile()) command += " --profile " + shell_quoted(profile);
  return command;
}

CampaignTotals::CampaignTotals(std::span<const Assignment> assignments, std::string program)
    : assignments_(assignments), program_(std::move(program)) {
  for (const Assignment& assignment : assignments) {
    const std::string name(assignment.scenario->name());
    order_.emplace(name, result_.scenarios.size());
    result_.scenarios.push_back({name, assignment.profile.name, {}, 0});
  }
}

void CampaignTotals::expect(const Task& block) {
  open_[{block.assignment, block.first}] = {block.end, block.end - block.first, {}};
}

void CampaignTotals::add(std::size_t assignment, std::uint64_t seed, RunResult result) {
  auto block = open_.upper_bound({assignment, seed});
  PAGEDB_CHECK(block != open_.begin(), "a seed's block is expected before the seed comes");
  --block;
  PAGEDB_CHECK(block->first.first == assignment && seed < block->second.end,
               "a seed's block is expected before the seed comes");
  block->second.hashes[seed - block->first.second] = result.trace_hash;

  ScenarioTotals& totals = result_.scenarios[assignment];
  totals.counters += result.counters;
  result_.totals += result.counters;
  totals.violations += result.violations.size();
  result_.violations_found += result.violations.size();
  if (!result.violations.empty()) keep(assignment, seed, std::move(result.violations));

  if (--block->second.missing > 0) return;
  sim::Trace hash;
  const std::uint64_t count = block->second.end - block->first.second;
  for (std::uint64_t i = 0; i < count; ++i) hash.mix(block->second.hashes[i]);
  result_.blocks.push_back({assignment, block->first.second, block->second.end, hash.hash()});
  open_.erase(block);
}

// Keeps the first thousand or a few more, in an order that does not depend on when they come.
void CampaignTotals::keep(std::size_t assignment, std::uint64_t seed, std::vector<Violation> violations) {
  for (Violation& violation : violations) {
    violation.scenario = result_.scenarios[assignment].name;
    violation.seed = seed;
    violation.profile = result_.scenarios[assignment].profile;
    violation.command = replay_command(program_, *assignments_[assignment].scenario, seed, violation.profile);
  }
  kept_ += violations.size();
  violations_[{assignment, seed}] = std::move(violations);
  while (kept_ - violations_.rbegin()->second.size() >= kViolationsKept) {
    kept_ -= violations_.rbegin()->second.size();
    violations_.erase(std::prev(violations_.end()));
  }
}

CampaignResult CampaignTotals::take() {
  for (auto& [seed, violations] : violations_)
    for (Violation& violation : violations)
      if (result_.violations.size() < kViolationsKept) result_.violations.push_back(std::move(violation));
  std::ranges::sort(result_.blocks, {}, [](const BlockHash& block) { return std::tuple(block.scenario, block.first); });
  std::ranges::sort(result_.nondeterminism, {},
                    [&](const Nondeterminism& entry) { return std::tuple(order_.at(entry.scenario), entry.seed); });
  sim::Trace hash;
  for (const BlockHash& block : result_.blocks) {
    mix_text(hash, result_.scenarios[block.scenario].name);
    mix_text(hash, result_.scenarios[block.scenario].profile);
    hash.mix(block.first);
    hash.mix(block.end);
    hash.mix(block.hash);
  }
  result_.trace_hash = hash.hash();
  return std::move(result_);
}

}  // namespace pagedb::scenarios
