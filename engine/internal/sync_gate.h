// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SyncGate: one sync of a file at a time, shared by all who wait for the next one.
//
// Why at most one: the kernel tells a failed write-back to one fdatasync of a descriptor and forgets it. Were two under
// way, one could return Ok over data that the other was told is lost. Why shared: a sync covers every write that came
// before it, so tasks that arrive while one is under way all want the same next one (group commit).
//
// Complexity: no allocation; a waiter lives on its task's stack. Thread-safety: any task, any time.
#pragma once

#include <cstdint>

#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/scheduler.h"
#include "engine/sync.h"

namespace pagedb {

/// See the head of this file.
class SyncGate {
 public:
  explicit SyncGate(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}
  SyncGate(const SyncGate&) = delete;
  SyncGate& operator=(const SyncGate&) = delete;

  /// Returns the result of a call of `sync` that began after this call did, by this task or another one. No two calls
  /// of `sync` overlap.
  [[nodiscard]] Result<void> run(FunctionRef<Result<void>()> sync) noexcept;

 private:
  struct Waiter;

  /// Calls `sync` for this task and for `followers`, then passes the gate on.
  [[nodiscard]] Result<void> lead(FunctionRef<Result<void>()> sync, Waiter* followers) noexcept;

  Scheduler& scheduler_;
  // idle(): nobody syncs. Otherwise one task leads, and this is the stack of those who wait for the next sync, null
  // when there is none.
  sync::Atomic<Waiter*> waiting_{idle()};
  static Waiter* idle() noexcept;
};

}  // namespace pagedb
