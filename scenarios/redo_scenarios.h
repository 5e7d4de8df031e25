// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The redo scenarios: pages and a log of their changes; what the log has must come back, by the engine's recovery.
#pragma once

#include "scenarios/scenario.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

[[nodiscard]] const Scenario& redo_full_images();
[[nodiscard]] const Scenario& redo_crash();
[[nodiscard]] const Scenario& redo_lost_write();

/// A scenario on any engine: for tests with wrong ones.
[[nodiscard]] RunResult run_redo_full_images(const RunRequest& request, const Engine& engine);

}  // namespace pagedb::scenarios
