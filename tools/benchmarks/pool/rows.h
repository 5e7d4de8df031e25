// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The groups of rows that pool_bench prints. Each takes its time, prints its lines, and leaves nothing behind.
#pragma once

#include <string>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {

/// 100,000 pages in memory: found, read and let go; by one thread and by two.
void resident_rows(Report& report, const std::string& directory);
/// One page that everybody wants.
void hot_rows(Report& report);
/// Memory besides the pages.
void memory_rows(Report& report);
/// 1,000 to 4,000,000 frames.
void curve_rows(Report& report);
/// Pages that are not in memory: hits beside misses, and misses at depth. Files go to `directory`.
void miss_rows(Report& report, const std::string& directory);
/// 10,000 dirty pages made durable.
void checkpoint_rows(Report& report, const std::string& directory);

/// A line that says which peer is not built in.
inline void absent(Report& report, const std::string& peer, const std::string& package) {
  report.say("  (" + peer + " is not compared: this build found no " + package + "; tools/setup bench installs it)");
}

}  // namespace pagedb::bench
