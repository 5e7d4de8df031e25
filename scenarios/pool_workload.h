// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Pool workload: several fibers use one buffer pool over one page file, with or without a log; what every pool scenario
// runs.
//
// All fibers use all pages. Intent is recorded under the exclusive guard, before the change; a page's floor rises when
// a flush and a later sync, or a checkpoint, returned Ok, to the newest version whose guard was released before that
// flush began (with a log: when the log is durable). Pauses stand wherever real threads could lose the processor
// between two steps that belong together.
#pragma once

#include <cstdint>

#include "scenarios/host.h"

namespace pagedb::scenarios {

/// Size of a pool and of its workload. What is given as a range is drawn once a run.
struct PoolShape {
  std::uint32_t frames_min = 16, frames_max = 16;
  std::uint32_t fibers = 4;
  std::uint32_t operations_max = 160;  ///< over all fibers
  std::uint32_t hold_in_8 = 2;         ///< how many reads in 8 keep their page for a while
  std::uint32_t rounds_max = 1;        ///< times that a pool is made; another one when the file was poisoned
  bool waits_when_full = false;        ///< some runs have an exhausted_wait
  bool log = false;                    ///< changes are logged, and the write-ahead rule holds
};

/// Name of the log, for Host::side_path.
inline constexpr char kPoolLog[] = "log";

/// Creates the page file, and the log if there is one, and runs the workload.
void run_pool_workload(Host& host, const PoolShape& shape);

}  // namespace pagedb::scenarios
