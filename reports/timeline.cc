// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The timeline for people.
#include "reports/timeline.h"

#include <fmt/format.h>

#include "reports/branches.h"
#include "reports/text.h"

namespace pagedb::reports {
namespace {

using sim::EventKind;

Colour colour_of(EventKind kind) {
  switch (kind) {
    case EventKind::crash:
      return Colour::bold;
    case EventKind::fault:
    case EventKind::lost:
    case EventKind::damaged:
      return Colour::yellow;
    case EventKind::page_error:
      return Colour::red;
    case EventKind::task_run:
      return Colour::dim;
    default:
      return Colour::none;
  }
}

std::string folded(std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("  [crash branch {}]", first)
                       : fmt::format("  [crash branches {}-{}]", first, last);
}

}  // namespace

std::optional<std::uint64_t> last_branch(std::span<const sim::Event> events) {
  std::optional<std::uint64_t> last;
  for (const sim::Event& event : events)
    if (event.kind == EventKind::crash && event.depth == 1) last = event.a;
  return last;
}

std::string timeline(std::span<const sim::Event> events, std::optional<std::uint64_t> branch, bool colour) {
  std::string out;
  const std::vector<std::uint64_t> branches = branches_of(events);
  std::uint64_t first = 0, last = 0;  // of the branches folded into the current line; 0: none
  const auto end_line = [&] {
    if (first != 0) out += paint(folded(first, last), Colour::dim, colour);
    if (!out.empty()) out += '\n';
    first = 0;
  };
  for (std::size_t i = 0; i < events.size(); ++i) {
    const std::uint64_t here = branches[i];
    if (here != 0 && here != branch) {
      if (first == 0) first = here;
      last = here;
      continue;
    }
    end_line();
    out += paint(sim::to_text(events[i]), colour_of(events[i].kind), colour);
  }
  end_line();
  return out;
}

}  // namespace pagedb::reports
