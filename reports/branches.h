// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Which branch an event of a run belongs to.
#pragma once

#include <cstdint>

#include "sim/trace.h"

namespace pagedb::reports {

/// Follows the events of a run in order. Branches are numbered from 1; 0 is the trunk.
class BranchOf {
 public:
  std::uint64_t operator()(const sim::Event& event) noexcept {
    if (event.kind == sim::EventKind::crash && event.depth == 1) current_ = event.a;
    if (event.depth == 0) current_ = 0;
    return current_;
  }

 private:
  std::uint64_t current_ = 0;
};

}  // namespace pagedb::reports
