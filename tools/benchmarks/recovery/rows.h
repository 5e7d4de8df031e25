// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The groups of rows that recovery_bench prints. Each takes its time, prints its lines, and leaves nothing behind.
// Files go to `directory`.
#pragma once

#include <string>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {

/// 1,000,000 small changes of 100,000 pages of a file of 1 GiB.
void redo_rows(Report& report, const std::string& directory);

}  // namespace pagedb::bench
