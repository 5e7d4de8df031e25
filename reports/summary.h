// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A campaign's summary in three forms: text for people, JSON for programs, JUnit for CI servers. reports/README.md says
// what each figure means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reports/build_info.h"
#include "scenarios/campaign_result.h"

namespace pagedb::reports {

/// One scenario's workload, run once on a real disk.
struct RealRun {
  std::string scenario;
  std::string directory;
  double wall_s = 0;
  std::string problem;  ///< empty: all went well
};

/// What is reported.
struct Summary {
  scenarios::CampaignResult campaign;
  std::vector<RealRun> real;
  BuildInfo build = build_info();
};

/// `count` per second of one core.
[[nodiscard]] double per_core_s(std::uint64_t count, const scenarios::CampaignResult& campaign);

/// For people. `colour`: with ANSI escapes.
[[nodiscard]] std::string text_summary(const Summary& summary, bool colour);
/// One JSON object; its keys are a contract (DESIGN section 10, reports/README.md).
[[nodiscard]] std::string json_summary(const Summary& summary);
/// One test case a scenario.
[[nodiscard]] std::string junit_summary(const Summary& summary);

}  // namespace pagedb::reports
