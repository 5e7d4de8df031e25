// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The pool scenarios: several fibers use one buffer pool, under power loss, with a log, with failing I/O, with hardly a
// frame to spare.
#pragma once

#include "scenarios/scenario.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

[[nodiscard]] const Scenario& pool_crash();
[[nodiscard]] const Scenario& pool_wal();
[[nodiscard]] const Scenario& pool_io_errors();
[[nodiscard]] const Scenario& pool_small();

/// pool_crash and pool_wal with an engine of the caller's: for tests with wrong ones.
[[nodiscard]] RunResult run_pool_crash(const RunRequest& request, const Engine& engine);
[[nodiscard]] RunResult run_pool_wal(const RunRequest& request, const Engine& engine);

}  // namespace pagedb::scenarios
