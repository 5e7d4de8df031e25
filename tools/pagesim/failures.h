// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Keeps violations as `.choices` files: the workload's decisions and, where that is enough to see it again, the failing
// crash branch only.
#pragma once

#include <optional>

#include "scenarios/result.h"
#include "scenarios/worker.h"
#include "tools/pagesim/choices_file.h"

namespace pagedb::pagesim {

/// Runs the violation's seed again, recording. Nothing: no run broke the same promise again.
[[nodiscard]] std::optional<ChoicesFile> record_failure(const scenarios::Assignment& assignment,
                                                        const scenarios::Violation& violation);

}  // namespace pagedb::pagesim
