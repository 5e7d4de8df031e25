// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Operation and Event: what a task is about to do, and what it did, as the checker sees it.
#pragma once

#include <cstdint>
#include <source_location>

namespace pagedb::sim::model {

/// Number of a task within its execution, in the order of their start; 0 runs the scenario's body.
using TaskIndex = unsigned;
/// One bit a task.
using TaskSet = std::uint32_t;

inline constexpr TaskIndex kTasksMax = 16;
inline constexpr TaskIndex kNobody = kTasksMax;
[[nodiscard]] constexpr TaskSet set_of(TaskIndex task) noexcept { return TaskSet{1} << task; }

/// What an operation does. Those up to `racy` and `unpark` never block.
enum class Kind : std::uint8_t { begin, load, store, update, racy, unpark, spawn, lock, park, join, relax, unlock };

/// A name for people.
[[nodiscard]] const char* name(Kind kind) noexcept;

/// What a task will do when it is chosen next.
struct Operation {
  Kind kind = Kind::begin;
  std::uint32_t object = 0;                   ///< what it is done to: an index that holds within one execution
  std::uint64_t object_id = 0;                ///< see Event
  TaskSet waits_for = 0;                      ///< join: these tasks
  std::int64_t deadline_ns = 0;               ///< park
  const std::uint32_t* lock_owner = nullptr;  ///< lock: number + 1 of the task that has it
  std::source_location where{};
};

/// What a task has just done.
struct Event {
  TaskIndex task = 0;
  Kind kind = Kind::begin;
  std::uint32_t object = 0;
  std::uint64_t object_id = 0;  ///< the same in every execution in which the object was made by the same history
  bool changed = false;         ///< the object is not as it was before
  std::uint64_t seen = 0;       ///< racy: a digest of what was read
  bool alone = false;           ///< no other task was alive
};

}  // namespace pagedb::sim::model
