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

/// Hands out things of type T, which have a member `T* next_idle` for its use. Thread-safe; first come, first served.
template <class T>
class HandOut {
 public:
  explicit HandOut(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}
  HandOut(const HandOut&) = delete;
  HandOut& operator=(const HandOut&) = delete;

  /// One of the things, this task's until it gives it back. Waits until there is one: a few pauses first, where they
  /// are mostly held for less time than parking takes.
  [[nodiscard]] T& take(unsigned pauses = 0) noexcept {
    for (unsigned attempt = 0; attempt < pauses; ++attempt) {
      {
        const sync::SpinGuard guard(lock_, scheduler_);
        if (T* const thing = pop()) return *thing;
      }
      scheduler_.relax(attempt);
    }
    {
      const sync::SpinGuard guard(lock_, scheduler_);
      if (T* const thing = pop()) return *thing;
    }
    Waiter self(scheduler_);
    {
      const sync::SpinGuard guard(lock_, scheduler_);
      if (T* const thing = pop()) return *thing;
      *last_ = &self;
      last_ = &self.next;
    }
    self.sleep();
    return *self.thing;
  }

  /// Adds a thing, or gives one back.
  void give(T& thing) noexcept {
    Waiter* heir = nullptr;
    {
      const sync::SpinGuard guard(lock_, scheduler_);
      heir = first_;
      if (heir == nullptr) {
        thing.next_idle = idle_;
        idle_ = &thing;
        return;
      }
      first_ = heir->next;
      if (first_ == nullptr) last_ = &first_;
    }
    heir->thing = &thing;
    heir->wake();
  }

 private:
  struct Waiter : Sleeper {
    using Sleeper::Sleeper;
    Waiter* next = nullptr;
    T* thing = nullptr;
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
