// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// LatchWaits: where tasks sleep that wait for a frame. A fixed number of lists, so that a frame needs no room for them.
//
// The protocol that loses no wake-up: who waits sets kWaiters in the frame's state word, under the list's lock, and
// looks at what the word was before; if that no longer blocks it, it does not sleep. Whoever changes the word so that
// waiting may be over sees kWaiters in the old value and wakes the whole list of the frame, under the same lock.
#pragma once

#include <array>
#include <cstdint>

#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/internal/sleeper.h"
#include "engine/scheduler.h"
#include "engine/sync.h"

namespace pagedb::detail {

/// See the head of this file.
class LatchWaits {
 public:
  explicit LatchWaits(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}

  /// Sleeps until `wake(frame)`, unless `state` does not block any more. `bits`: kWaiters, and kWriterWaits for a
  /// writer. Returns the error of the read that was waited for, if it failed.
  struct Woken {
    bool read_failed = false;
    PageError read_error{};
  };
  Woken wait(std::uint32_t frame, sync::Atomic<std::uint64_t>& state, std::uint64_t bits,
             FunctionRef<bool(std::uint64_t)> blocks) noexcept;

  /// Wakes all who sleep for `frame`.
  void wake(std::uint32_t frame, sync::Atomic<std::uint64_t>& state, const PageError* read_error) noexcept;

 private:
  struct Waiter;
  struct alignas(64) List {
    sync::SpinLock lock;
    Waiter* first = nullptr;  // newest first
  };
  [[nodiscard]] List& list_of(std::uint32_t frame) noexcept { return lists_[frame % kLists]; }
  [[nodiscard]] static bool any(const List& list, std::uint32_t frame) noexcept;

  static constexpr std::size_t kLists = 64;
  Scheduler& scheduler_;
  std::array<List, kLists> lists_{};
};

}  // namespace pagedb::detail
