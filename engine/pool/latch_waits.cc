// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Sleeping for a frame, and being woken.
#include "engine/pool/latch_waits.h"

#include "engine/pool/frame_table.h"

namespace pagedb::detail {

struct LatchWaits::Waiter : Sleeper {
  Waiter(Scheduler& scheduler, std::uint32_t for_frame) noexcept : Sleeper(scheduler), frame(for_frame) {}
  const std::uint32_t frame;
  Waiter* next = nullptr;
  Woken woken{};
};

bool LatchWaits::any(const List& list, std::uint32_t frame) noexcept {
  for (const Waiter* waiter = list.first; waiter != nullptr; waiter = waiter->next) {
    if (waiter->frame == frame) return true;
  }
  return false;
}

LatchWaits::Woken LatchWaits::wait(std::uint32_t frame, sync::Atomic<std::uint64_t>& state, std::uint64_t bits,
                                   FunctionRef<bool(std::uint64_t)> blocks) noexcept {
  List& list = list_of(frame);
  Waiter self(scheduler_, frame);
  {
    const sync::SpinGuard guard(list.lock, scheduler_);
    if (!blocks(state.fetch_or(bits, std::memory_order_acq_rel))) {
      // A bit that nobody waits behind would keep the frame from ever being evicted.
      if (!any(list, frame)) {
        state.fetch_and(~(frame_state::kWaiters | frame_state::kWriterWaits), std::memory_order_acq_rel);
      }
      return {};
    }
    self.next = list.first;
    list.first = &self;
  }
  self.sleep();
  return self.woken;
}

void LatchWaits::wake(std::uint32_t frame, sync::Atomic<std::uint64_t>& state, const PageError* read_error) noexcept {
  List& list = list_of(frame);
  Waiter* woken = nullptr;  // oldest first
  {
    const sync::SpinGuard guard(list.lock, scheduler_);
    for (Waiter** at = &list.first; *at != nullptr;) {
      Waiter* const waiter = *at;
      if (waiter->frame != frame) {
        at = &waiter->next;
        continue;
      }
      *at = waiter->next;
      waiter->next = woken;
      woken = waiter;
    }
    state.fetch_and(~(frame_state::kWaiters | frame_state::kWriterWaits), std::memory_order_acq_rel);
  }
  while (woken != nullptr) {
    Waiter* const waiter = woken;
    woken = waiter->next;
    if (read_error != nullptr) waiter->woken = {true, *read_error};
    waiter->wake();
  }
}

}  // namespace pagedb::detail
