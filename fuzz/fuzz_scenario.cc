// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The fuzzer as the source of decisions: its bytes steer workload, schedule, faults and crashes of `page_file_crash`,
// guided by the engine's coverage.
//
// Every input is a legal run (exhausted bytes give the simplest decisions), so whatever the oracle says against one is
// a finding.
#include <string>

#include "faults/profile.h"
#include "fuzz/check.h"
#include "scenarios/scenario.h"
#include "sim/choices.h"
#include "sim/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pagedb::fuzz::require;
  static const pagedb::scenarios::Scenario* const scenario = pagedb::scenarios::find_scenario("page_file_crash");
  require(scenario != nullptr, "there is no scenario page_file_crash");
  static const auto profile = pagedb::faults::find_profile(scenario->default_profile());
  require(profile.has_value(), "the scenario's profile is not built in");

  pagedb::sim::ByteChoices choices(std::span(data, size));
  pagedb::sim::Trace trace;
  const auto result = scenario->run({.profile = &*profile, .choices = &choices, .trace = &trace});
  if (!result.violations.empty()) {
    const auto& violation = result.violations.front();
    pagedb::fuzz::found(std::string(pagedb::scenarios::name(violation.invariant)) + ": " + violation.message);
  }
  return 0;
}
