// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// redo_recovery: pages and a redo log with full images; torn and damaged pages must come back.
#pragma once

#include "scenarios/scenario.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

[[nodiscard]] const Scenario& redo_recovery();

/// The scenario on any engine: for tests with wrong ones.
[[nodiscard]] RunResult run_redo_recovery(const RunRequest& request, const Engine& engine);

}  // namespace pagedb::scenarios
