// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Redo of pool_wal: a page file and its log, made one again after a crash.
#pragma once

#include "scenarios/branch.h"

namespace pagedb::scenarios {

/// Opens the page file, replays the log from the superblock's redo_from, and has every page verified.
void recover_by_redo(Branch& branch);

}  // namespace pagedb::scenarios
