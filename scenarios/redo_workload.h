// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Redo workload: clients that change pages the way a database does, without a pool: the log first, the page then or
// later, now and then a checkpoint.
//
// Each client owns some pages, and never reads them: what a device did to a write shows in recovery only. A page whose
// changes are logged and not written is *dirty*; a checkpoint writes some of the dirty pages, syncs, and stores in the
// log where redo begins: at the oldest change that no page write has covered.
#pragma once

#include <cstdint>
#include <string_view>

#include "scenarios/branch.h"
#include "scenarios/host.h"

namespace pagedb::scenarios {

/// What the clients do.
struct RedoShape {
  std::uint32_t operations_max = 40;  ///< over all clients
  std::uint32_t images_in_8 = 8;      ///< how many changes in 8 are logged as images; a page's first one always is
  std::uint32_t written_in_8 = 8;     ///< after how many changes in 8 the page is written at once
};

inline constexpr std::size_t kRedoPages = 32;

/// Creates the page file and the log, and runs the workload.
void run_redo_workload(Host& host, const RedoShape& shape);

/// The recovery: the log is read from its beginning, and says where redo begins.
void recover_redo_workload(Branch& branch);

}  // namespace pagedb::scenarios
