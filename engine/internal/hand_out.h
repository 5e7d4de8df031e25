// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// HandOut: a few things that tasks borrow, one task a thing; who finds none waits in line.
#pragma once

#include <cstddef>
#include <utility>

#include "engine/internal/sleeper.h"
#include "engine/scheduler.h"
#include "engine/sync.h"

namespace pagedb::detail {

/// Hands out things of type T, which have a member `T* next_idle` for its use. Thread-safe.
///
/// What is given back is free for whoever comes first, and one of those who wait is woken to try again. Handing it to
/// him would keep it idle for as long as waking takes, with everybody else soon waiting behind him.
template <class T>
class HandOut {
 public:
  explicit HandOut(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}
  HandOut(const HandOut&) = delete;
  HandOut& operator=(const HandOut&) = delete;

  /// One of the things, this task's until it gives it back. Waits until there is one: a few pauses first, where they
  /// are mostly held for less time than parking takes.
  [[nodiscard]] T& take(unsigned pauses = 0) noexcept {
    while (true) {
      for (unsigned attempt = 0; attempt < pauses; ++attempt) {
        {
          const sync::SpinGuard guard(lock_, scheduler_);
          if (T* const thing = pop()) return *thing;
        }
        scheduler_.relax(attempt);
      }
      Waiter self(scheduler_);
      {
        const sync::SpinGuard guard(lock_, scheduler_);
        if (T* const thing = pop()) return *thing;
        *last_ = &self;
        last_ = &self.next;
      }
      self.sleep();
    }
  }

  /// Adds a thing, or gives one back.
  void give(T& thing) noexcept {
    Waiter* next = nullptr;
    {
      const sync::SpinGuard guard(lock_, scheduler_);
      thing.next_idle = idle_;
      idle_ = &thing;
      next = first_;
      if (next == nullptr) return;
      first_ = next->next;
      if (first_ == nullptr) last_ = &first_;
    }
    next->wake();
  }

 private:
  struct Waiter : Sleeper {
    using Sleeper::Sleeper;
    Waiter* next = nullptr;
  };

  [[nodiscard]] T* pop() noexcept {
    T* const thing = idle_;
    if (thing != nullptr) idle_ = thing->next_idle;
    return thing;
  }

  Scheduler& scheduler_;
  sync::SpinLock lock_;
  T* idle_ = nullptr;
  Waiter* first_ = nullptr;
  Waiter** last_ = &first_;
};

}  // namespace pagedb::detail
