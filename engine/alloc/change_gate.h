// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// ChangeGate: any number of tasks in the middle of a change, or one that looks while nobody is.
//
// Entering is one fetch_add. Who looks keeps newcomers out and waits until everybody inside has left.
#pragma once

#include <cstdint>

#include "engine/scheduler.h"
#include "engine/sync.h"

namespace pagedb::detail {

/// See the head of this file. A task must not enter twice: it would wait for itself once somebody wants to look.
class ChangeGate {
 public:
  void enter(Scheduler& scheduler) noexcept {
    for (unsigned attempt = 0; (state_.fetch_add(1, std::memory_order_seq_cst) & kClosed) != 0;) {
      state_.fetch_sub(1, std::memory_order_seq_cst);
      // Only looks from here on: who closes could wait for ever for a moment in which nobody tries.
      do {
        scheduler.relax(attempt++);
      } while ((state_.load(std::memory_order_seq_cst) & kClosed) != 0);
    }
  }
  void leave() noexcept { state_.fetch_sub(1, std::memory_order_seq_cst); }

  /// One task at a time.
  void close(Scheduler& scheduler) noexcept {
    state_.fetch_or(kClosed, std::memory_order_seq_cst);
    for (unsigned attempt = 0; state_.load(std::memory_order_seq_cst) != kClosed; ++attempt) scheduler.relax(attempt);
  }
  void open() noexcept { state_.fetch_and(~kClosed, std::memory_order_seq_cst); }

 private:
  static constexpr std::uint64_t kClosed = std::uint64_t{1} << 63;
  sync::Atomic<std::uint64_t> state_{0};
};

}  // namespace pagedb::detail
