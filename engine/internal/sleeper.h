// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Sleeper: one task that waits until another one wakes it. Lives on the waiting task's stack.
//
// A waiter may see that it was woken without having slept, and its task may even end: the last phase keeps it until the
// waker is done with its id.
#pragma once

#include <cstdint>

#include "engine/scheduler.h"
#include "engine/sync.h"

namespace pagedb::detail {

/// See the head of this file. Derive from it to queue it.
class Sleeper {
 public:
  explicit Sleeper(Scheduler& scheduler) noexcept : scheduler_(scheduler), task_(scheduler.current()) {}
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  /// Waits until `wake`. What the waker did before it is visible then.
  void sleep() noexcept {
    while (phase_.load(std::memory_order_acquire) == kWaiting) scheduler_.park(kForever);
    for (unsigned attempt = 0; phase_.load(std::memory_order_acquire) != kReleased; ++attempt)
      scheduler_.relax(attempt);
  }
  /// Lets the task go on. Once, by one task. Afterwards the sleeper is gone.
  void wake() noexcept {
    phase_.store(kReady, std::memory_order_release);
    scheduler_.unpark(task_);
    phase_.store(kReleased, std::memory_order_release);
  }

 private:
  static constexpr std::uint32_t kWaiting = 0;   // asleep, or about to be
  static constexpr std::uint32_t kReady = 1;     // being unparked
  static constexpr std::uint32_t kReleased = 2;  // nobody else touches it any more

  Scheduler& scheduler_;
  TaskId task_;
  sync::Atomic<std::uint32_t> phase_{kWaiting};
};

}  // namespace pagedb::detail
