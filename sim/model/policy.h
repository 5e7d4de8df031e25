// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Policy: decides which task goes next. One policy a file: exhaustive, random, pct, replay.
#pragma once

#include <array>
#include <string>

#include "sim/model/operation.h"

namespace pagedb::sim::model {

/// The situation in which a task is chosen.
struct Choice {
  TaskSet eligible = 0;                                       ///< who can go; never empty
  TaskIndex current = kNobody;                                ///< who went last; it has perhaps ended
  const std::array<Operation, kTasksMax>* pending = nullptr;  ///< what each task that has not ended will do
  std::uint64_t pauses = 0;  ///< a digest of who pauses, and for whom (Execution::relax), and of the clock
  std::uint64_t step = 0;    ///< choices made before in this execution
};

/// See the head of this file.
class Policy {
 public:
  virtual ~Policy() = default;

  /// Begins an execution; false when there is nothing left to explore.
  virtual bool next() = 0;
  /// One of `choice.eligible`.
  virtual TaskIndex choose(const Choice& choice) = 0;
  /// What became of the choice. One choice may have several events: an unlock belongs to what was done before it.
  virtual void executed(const Event& event) = 0;
  /// What was explored, for people: "complete: 12,345 schedules, preemption bound 3".
  [[nodiscard]] virtual std::string summary() const = 0;
};

/// Who goes next when nobody cares: the same task, else the one with the lowest number.
[[nodiscard]] constexpr TaskIndex go_on(const Choice& choice) noexcept {
  if (choice.current != kNobody && (choice.eligible & set_of(choice.current)) != 0) return choice.current;
  return static_cast<TaskIndex>(__builtin_ctz(choice.eligible));
}

}  // namespace pagedb::sim::model
