// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The page_file scenarios: one workload on the page file, under four kinds of weather.
#pragma once

#include <cstdint>
#include <string_view>

#include "faults/plan.h"
#include "scenarios/scenario.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

[[nodiscard]] const Scenario& page_file_crash();
[[nodiscard]] const Scenario& page_file_bitrot();
[[nodiscard]] const Scenario& page_file_misaligned();
[[nodiscard]] const Scenario& page_file_io_errors();

/// What they all do, on any engine: for tests with wrong ones.
[[nodiscard]] RunResult run_page_file(const RunRequest& request, std::string_view name, const Engine& engine,
                                      const faults::FaultPlan& faults, std::uint32_t crash_damage);

}  // namespace pagedb::scenarios
