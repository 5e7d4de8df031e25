// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The groups of rows that alloc_bench prints. Each takes its time, prints its lines, and leaves nothing behind. Files
// go to `directory`.
#pragma once

#include <string>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {

/// Allocating, and freeing and allocating, in memory; by one thread.
void speed_rows(Report& report, const std::string& directory);
/// The same by two threads.
void two_thread_rows(Report& report, const std::string& directory);
/// Syncs of few changes in a space of 1,000,000,000 pages: what they write.
void sync_rows(Report& report, const std::string& directory);
/// Opening a space in which 1,000,000 pages are free, and the memory that one takes.
void open_rows(Report& report, const std::string& directory);

}  // namespace pagedb::bench
