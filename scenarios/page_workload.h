// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Page workload: several fibers write, read and sync pages of one page file; what every page_file scenario runs.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/types.h"
#include "scenarios/host.h"

namespace pagedb::scenarios {

/// Size of a workload.
struct WorkloadShape {
  std::uint32_t fibers =
      4;  ///< each owns the pages whose index is its number modulo this: pages are never written by two at once
  std::uint32_t ios_max = 128;   ///< page reads and writes, over all fibers
  std::uint32_t batch_max = 8;   ///< pages in one batch
  std::uint32_t rounds_max = 4;  ///< times that a poisoned file is reopened
};

/// Pages that the page_file scenarios use: most of them below the superblock's twin at 1 MiB, some beyond it, so that
/// writing them extends the file.
[[nodiscard]] std::vector<PageId> workload_pages(PageSize page_size, std::size_t count);

/// Creates the page file and runs the workload on it, reopening it when it is poisoned.
void run_page_workload(Host& host, const WorkloadShape& shape);

/// Creates the page file, or finishes creating it when faults got in the way; null when it cannot be had.
[[nodiscard]] std::unique_ptr<Subject> create_page_file(Host& host);

/// Opens the page file again, trying a few times when faults get in the way; null when it cannot be had.
[[nodiscard]] std::unique_ptr<Subject> reopen_page_file(Host& host);

}  // namespace pagedb::scenarios
