// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A page file and its log, made one again after a crash: by the engine's recovery from the reference log.
#pragma once

#include <string_view>

#include "engine/types.h"
#include "scenarios/branch.h"

namespace pagedb::scenarios {

/// Opens the page file, redoes the log at `log_path` from the superblock's redo_from, and has every page verified.
void recover_by_redo(Branch& branch, std::string_view log_path);

/// Redoes what `log_path` holds from `redo_from` on in `file`, and judges how that ended. `cut_to`: the log may have
/// been cut below that LSN, and begins with its record; 0: it begins where its file does. False: there is nothing to go
/// on with.
[[nodiscard]] bool redo(Branch& branch, Subject& file, std::string_view log_path, Lsn redo_from, std::uint64_t cut_to);

}  // namespace pagedb::scenarios
