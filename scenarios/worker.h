// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The worker's side of a campaign: runs seeds in a child process and sends each result home.
//
// Before each seed the worker publishes it in memory that it shares with the parent, so that whatever ends the process,
// the parent knows which seed it was.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "faults/profile.h"
#include "scenarios/child.h"
#include "scenarios/result.h"
#include "scenarios/scenario.h"

namespace pagedb::scenarios {

/// A scenario on a device.
struct Assignment {
  const Scenario* scenario{};
  faults::DeviceProfile profile;
};

/// Seeds [first, end) of one assignment, given by its index.
struct Task {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::uint64_t assignment = 0;
};

/// Where a worker says what it is doing. Lives in shared memory.
struct alignas(64) WorkerSlot {
  std::atomic<std::uint64_t> seed{0};
  std::atomic<bool> running{false};  ///< a seed is being run, not only waited for
};

/// What a worker sends after each seed: this head, then `bytes` bytes of an encoded RunResult.
struct ResultHead {
  std::uint64_t seed = 0;
  std::uint64_t bytes = 0;
};

/// Runs one seed here and now.
[[nodiscard]] RunResult run_seed(const Assignment& assignment, std::uint64_t seed);

/// Takes tasks from `socket` and answers with results until the socket is closed.
void serve(int socket, WorkerSlot& slot, std::span<const Assignment> assignments, const ChildLimits& limits);

/// A RunResult as bytes for a process of the same program, and back. Nothing: they are no RunResult.
[[nodiscard]] std::string encode(const RunResult& result);
[[nodiscard]] std::optional<RunResult> decode(std::string_view bytes);

/// What is reported of a seed whose process died.
[[nodiscard]] Violation death_violation(const Assignment& assignment, std::uint64_t seed, const Death& death);

}  // namespace pagedb::scenarios
