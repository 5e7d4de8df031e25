// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Leaders, followers, and how the gate passes from one to the next.
#include "engine/internal/sync_gate.h"

#include "engine/internal/sleeper.h"

namespace pagedb {

struct SyncGate::Waiter : detail::Sleeper {
  using Sleeper::Sleeper;
  Waiter* next = nullptr;  // below it on the stack; its followers, once it leads
  bool leads = false;
  Result<void> result{};
};

SyncGate::Waiter* SyncGate::idle() noexcept {
  // An address that no waiter has.
  return reinterpret_cast<Waiter*>(alignof(Waiter));
}

Result<void> SyncGate::run(FunctionRef<Result<void>()> sync) noexcept {
  Waiter* seen = idle();
  if (waiting_.compare_exchange_strong(seen, nullptr, std::memory_order_acq_rel)) return lead(sync, nullptr);

  Waiter self(scheduler_);
  while (true) {
    self.next = seen;
    Waiter* const wanted = seen == idle() ? nullptr : &self;
    if (waiting_.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel)) {
      if (wanted == nullptr) return lead(sync, nullptr);
      break;
    }
  }
  self.sleep();
  return self.leads ? lead(sync, self.next) : self.result;
}

Result<void> SyncGate::lead(FunctionRef<Result<void>()> sync, Waiter* followers) noexcept {
  const Result<void> result = sync();
  Waiter* none = nullptr;
  if (!waiting_.compare_exchange_strong(none, idle(), std::memory_order_acq_rel)) {
    Waiter& heir = *waiting_.exchange(nullptr, std::memory_order_acq_rel);
    heir.leads = true;
    heir.wake();
  }
  while (followers != nullptr) {
    Waiter& follower = *followers;
    followers = follower.next;
    follower.result = result;
    follower.wake();
  }
  return result;
}

}  // namespace pagedb
