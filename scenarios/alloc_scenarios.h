// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The alloc scenarios: several fibers share one page allocator, under power loss, with a pool, with rot, with failing
// I/O, and while the file shrinks.
#pragma once

#include "scenarios/scenario.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

/// The runs behind two of the scenarios, with any engine.
[[nodiscard]] RunResult run_alloc_crash(const RunRequest& request, const Engine& engine);
[[nodiscard]] RunResult run_alloc_pool_crash(const RunRequest& request, const Engine& engine);

[[nodiscard]] const Scenario& alloc_crash();
[[nodiscard]] const Scenario& alloc_pool_crash();
[[nodiscard]] const Scenario& alloc_hostile();
[[nodiscard]] const Scenario& alloc_shrink();
[[nodiscard]] const Scenario& alloc_io_errors();

}  // namespace pagedb::scenarios
