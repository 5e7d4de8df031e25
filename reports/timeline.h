// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A replayed run as people read it: the workload in order and one of its crash branches in full; and as a Chrome trace
// (chrome://tracing, ui.perfetto.dev).
//
// A run is a trunk (the workload, events of depth 0) with crash branches hanging off it: a crash event of depth 1
// begins branch `a`, and what follows at depth 1 and deeper is its recovery.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "sim/trace.h"

namespace pagedb::reports {

/// Number of the last branch in these events; nothing when there is none.
[[nodiscard]] std::optional<std::uint64_t> last_branch(std::span<const sim::Event> events);

/// One line an event; branches other than `branch` are only named, at the end of the line that they hang off.
[[nodiscard]] std::string timeline(std::span<const sim::Event> events, std::optional<std::uint64_t> branch,
                                   bool colour);

/// The same events in Chrome's trace format. Tracks are fibers; a transfer or sync is a complete event from its
/// submission to its completion.
[[nodiscard]] std::string chrome_trace(std::span<const sim::Event> events, std::optional<std::uint64_t> branch);

}  // namespace pagedb::reports
