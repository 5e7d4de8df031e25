// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Leaders, followers, and how the gate passes from one to the next.
#include "engine/internal/sync_gate.h"

namespace pagedb {

struct SyncGate::Waiter {
  enum class Phase : std::uint8_t {
    waiting,   // asleep, or about to be
    ready,     // `leads` or `result` is set; being unparked
    released,  // nobody else touches this waiter any more
  };
  TaskId task{};
  Waiter* next = nullptr;  // below it on the stack; its followers, once it leads
  bool leads = false;
  Result<void> result{};
  sync::Atomic<Phase> phase{Phase::waiting};
};

SyncGate::Waiter* SyncGate::idle() noexcept {
  // An address that no waiter has.
  return reinterpret_cast<Waiter*>(alignof(Waiter));
}

Result<void> SyncGate::run(FunctionRef<Result<void>()> sync) noexcept {
  Waiter* seen = idle();
  if (waiting_.compare_exchange_strong(seen, nullptr, std::memory_order_acq_rel)) return lead(sync, nullptr);

  Waiter self;
  self.task = scheduler_.current();
  while (true) {
    self.next = seen;
    Waiter* const wanted = seen == idle() ? nullptr : &self;
    if (waiting_.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel)) {
      if (wanted == nullptr) return lead(sync, nullptr);
      break;
    }
  }
  while (self.phase.load(std::memory_order_acquire) == Waiter::Phase::waiting) scheduler_.park(kForever);
  for (unsigned attempt = 0; self.phase.load(std::memory_order_acquire) != Waiter::Phase::released; ++attempt)
    scheduler_.relax(attempt);
  return self.leads ? lead(sync, self.next) : self.result;
}

Result<void> SyncGate::lead(FunctionRef<Result<void>()> sync, Waiter* followers) noexcept {
  const Result<void> result = sync();
  Waiter* none = nullptr;
  if (!waiting_.compare_exchange_strong(none, idle(), std::memory_order_acq_rel)) {
    Waiter& heir = *waiting_.exchange(nullptr, std::memory_order_acq_rel);
    heir.leads = true;
    release(heir);
  }
  while (followers != nullptr) {
    Waiter& follower = *followers;
    followers = follower.next;
    follower.result = result;
    release(follower);
  }
  return result;
}

void SyncGate::release(Waiter& waiter) noexcept {
  // The waiter may see `ready` without having slept, and its task may even end: `released` keeps it until unpark is
  // done with its id.
  waiter.phase.store(Waiter::Phase::ready, std::memory_order_release);
  scheduler_.unpark(waiter.task);
  waiter.phase.store(Waiter::Phase::released, std::memory_order_release);
}

}  // namespace pagedb
