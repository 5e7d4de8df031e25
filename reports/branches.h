// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Which crash branch each event of a run belongs to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/trace.h"

namespace pagedb::reports {

/// For each event the number of its branch; 0: the trunk. Events of depth 1 and deeper between two trunk events belong
/// to the crash among them (what the power left of each write is told before it), and from a second crash on to that
/// one. A verdict says itself where it belongs.
[[nodiscard]] std::vector<std::uint64_t> branches_of(std::span<const sim::Event> events);

}  // namespace pagedb::reports
