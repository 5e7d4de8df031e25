// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// CampaignTotals: adds up seeds that arrive in any order into a result that does not depend on the order.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/campaign.h"
#include "scenarios/worker.h"

namespace pagedb::scenarios {

class CampaignTotals {
 public:
  CampaignTotals(std::span<const Assignment> assignments, std::string program);

  /// A block was handed out: its seeds will come.
  void expect(const Task& block);
  /// A seed of an expected block has ended. Each comes once.
  void add(std::size_t assignment, std::uint64_t seed, RunResult result);

  [[nodiscard]] const Counters& totals() const noexcept { return result_.totals; }
  [[nodiscard]] std::uint64_t violations() const noexcept { return result_.violations_found; }
  /// For what is no seed's result.
  [[nodiscard]] CampaignResult& result() noexcept { return result_; }
  /// Puts everything in order; blocks that are not whole are left out of the hash.
  [[nodiscard]] CampaignResult take();

 private:
  struct Block {
    std::uint64_t end = 0;
    std::uint64_t missing = 0;
    std::array<std::uint64_t, kSeedBlock> hashes{};
  };
  void keep(std::size_t assignment, std::uint64_t seed, std::vector<Violation> violations);

  std::span<const Assignment> assignments_;
  std::string program_;
  std::map<std::pair<std::size_t, std::uint64_t>, Block> open_;  // by assignment and first seed
  std::map<std::string, std::size_t> order_;                     // of scenarios, by name
  std::map<std::pair<std::size_t, std::uint64_t>, std::vector<Violation>>
      violations_;  // the first, by assignment and seed
  std::size_t kept_ = 0;
  CampaignResult result_;
};

}  // namespace pagedb::scenarios
