// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Scheduler: the seam between the engine and whatever runs it.
//
// The engine waits nowhere else. In production a task is an operating system thread (engine/thread_scheduler.h); in the
// simulator it is a fiber in virtual time (sim/sim_scheduler.h). Uncontended paths of the engine never call it.
//
// Thread-safety: every member may be called from any task, including threads that the scheduler did not create.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

namespace pagedb {

/// Time since the scheduler's own epoch; only differences mean anything.
using Time = std::chrono::nanoseconds;

/// A deadline that never comes.
inline constexpr Time kForever = Time::max();

/// Names a task for `unpark` and `join`. Small, copyable, valid until the task was joined. The low 32 bits of two live
/// tasks of a scheduler differ, and are not 0.
struct TaskId {
  std::uint64_t value = 0;  ///< opaque; 0 names no task
  /// Equal when they name the same task.
  friend constexpr bool operator==(TaskId, TaskId) = default;
};

/// Parks, wakes, starts and joins tasks, and tells the time.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// The task that calls.
  [[nodiscard]] virtual TaskId current() noexcept = 0;

  /// Blocks the calling task until somebody unparks it or `deadline` has come. An unpark that came first is remembered,
  /// once, and makes this return at once. May also return for no reason: callers loop on their condition. True:
  /// unparked.
  virtual bool park(Time deadline) noexcept = 0;

  /// Wakes `task`, or makes its next park return at once.
  virtual void unpark(TaskId task) noexcept = 0;

  /// Starts a task that runs `body`. It must be joined, once. `name` is for people. The task whose value is 0 when
  /// the operating system refuses another one; `body` then never runs, and there is nothing to join.
  [[nodiscard]] virtual TaskId spawn(std::string_view name, std::function<void()> body) = 0;

  /// Waits until `task` has ended and releases what it held. Everything it did is visible to the caller.
  virtual void join(TaskId task) noexcept = 0;

  /// Now.
  [[nodiscard]] virtual Time now() noexcept = 0;

  /// A pause in a retry loop; `attempt` counts from 0 and lengthens it: first a few spins, then yielding, then
  /// sleeping.
  virtual void relax(unsigned attempt) noexcept = 0;
};

}  // namespace pagedb
