// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "reports/branches.h"

namespace pagedb::reports {

std::vector<std::uint64_t> branches_of(std::span<const sim::Event> events) {
  std::vector<std::uint64_t> branches(events.size());
  std::uint64_t current = 0;
  std::size_t early = 0;  // first event since the last of the trunk
  for (std::size_t i = 0; i < events.size(); ++i) {
    const sim::Event& event = events[i];
    if (event.kind == sim::EventKind::verdict) {
      branches[i] = event.b;
      continue;
    }
    if (event.depth == 0) {
      current = 0;
      early = i + 1;
      continue;
    }
    if (event.kind == sim::EventKind::crash && event.depth == 1) {
      if (current == 0)
        for (std::size_t before = early; before < i; ++before) branches[before] = event.a;
      current = event.a;
    }
    branches[i] = current;
  }
  return branches;
}

}  // namespace pagedb::reports
