// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Allocator workload: several fibers allocate, free and sync pages of one file, with or without a buffer pool over it;
// what every alloc scenario runs.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/types.h"
#include "scenarios/host.h"

namespace pagedb::scenarios {

/// What is particular to a scenario.
struct AllocShape {
  std::uint32_t fibers = 4;
  std::uint32_t operations_max = 110;  ///< over all fibers
  std::uint32_t rounds_max = 3;        ///< times that a poisoned file is reopened
  std::uint32_t shrink_in_64 = 0;      ///< how many operations of 64 shrink the file
  bool pool = false;                   ///< pages are written through a pool, and checkpoints are what syncs
};

/// What a run's allocator is limited to, drawn the same way by the workload and its recoveries.
struct AllocLimits {
  std::optional<PageId> end{};
  bool large = false;  ///< runs that fill a region, so that the map has several leaves
};

/// Draws the limits of a run from `span`'s choices. With a pool: those that the page oracle can follow.
[[nodiscard]] AllocLimits draw_limits(sim::Choices& choices, const AllocShape& shape);

/// Creates the page file and runs the workload on it, reopening it when it is poisoned.
void run_alloc_workload(Host& host, const AllocShape& shape, const AllocLimits& limits);

/// Pages that the page oracle of a run with a pool knows.
[[nodiscard]] std::vector<PageId> pool_pages();

}  // namespace pagedb::scenarios
