// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Comparing what an allocator says with what must be: the oracle's own reading of the medium, or the workload's
// records.
#pragma once

#include <memory>

#include "engine/page_allocator.h"
#include "scenarios/branch.h"
#include "scenarios/host.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

/// Opens the allocator of `file` in a branch, judges the map that the crash left, and compares the two. Null when there
/// is no allocator to go on with.
[[nodiscard]] std::unique_ptr<AllocatorSubject> verify_allocation(Branch& branch, Subject& file,
                                                                  const PageAllocatorOptions& options);

/// Goes on with it: allocates, frees and syncs a little, so that the recovery is crashed in the middle of that.
void use_recovered(Branch& branch, AllocatorSubject& allocator, const PageAllocatorOptions& options);

/// Compares an allocator that nobody uses just now with what the workload owns.
void verify_quiet(Host& host, AllocatorSubject& allocator);

}  // namespace pagedb::scenarios
