// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The scenarios' workloads on a real disk: no faults, no crash, but the very same code on O_DIRECT and threads.
#pragma once

#include <string>
#include <vector>

#include "reports/summary.h"
#include "scenarios/scenario.h"

namespace pagedb::pagesim {

/// Runs each once in `directory`, each in a process of its own. What goes wrong is added to `summary`.
void run_real(const std::vector<const scenarios::Scenario*>& scenarios, std::uint64_t seed,
              const std::string& directory, const std::string& program, reports::Summary& summary);

}  // namespace pagedb::pagesim
