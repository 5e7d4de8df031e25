// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The table of scenarios.
#include <array>

#include "scenarios/alloc_scenarios.h"
#include "scenarios/page_file_scenarios.h"
#include "scenarios/pool_scenarios.h"
#include "scenarios/redo_scenarios.h"
#include "scenarios/scenario.h"

namespace pagedb::scenarios {

std::span<const Scenario* const> all_scenarios() {
  static const std::array table = {
      &page_file_crash(),  &page_file_bitrot(), &page_file_misaligned(), &page_file_io_errors(),
      &redo_full_images(), &redo_crash(),       &redo_lost_write(),      &pool_crash(),
      &pool_wal(),         &pool_io_errors(),   &pool_small(),           &alloc_crash(),
      &alloc_pool_crash(), &alloc_hostile(),    &alloc_shrink(),         &alloc_io_errors()};
  return table;
}

const Scenario* find_scenario(std::string_view name) {
  for (const Scenario* scenario : all_scenarios()) {
    if (scenario->name() == name) return scenario;
  }
  return nullptr;
}

}  // namespace pagedb::scenarios
