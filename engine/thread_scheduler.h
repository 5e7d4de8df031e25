// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// ThreadScheduler: tasks are operating system threads, and waiting is a futex.
//
// Any thread may use it, whoever created it: a task is named by its kernel thread id. A thread asks the kernel for it
// once and keeps the answer under a pthread key of the scheduler's; where the process has no key left (of
// PTHREAD_KEYS_MAX, 1024) it asks each time. Each id has a slot in a table,
// whose word is empty, holds a remembered unpark, or says that the thread is parked; park and unpark change it by
// compare-and-swap and make a futex call only to sleep or to wake a sleeper. There is no other state for park and
// unpark: no lock, no allocation, no thread_local. A child process made by fork must not use it: its one thread would
// answer with its parent's id.
//
// The table is 32 MiB of address space, one slot for each of the 2^22 ids that Linux can give out. Memory is used only
// where threads were: 4 KiB for each 512 ids in a row that ever parked or were unparked, 32 MiB at the very most,
// however many threads come and go. Ids are used again by the kernel, so a thread may inherit an unpark that its
// predecessor left behind; that is one park that returns for no reason, which the contract allows.
//
// Time is CLOCK_MONOTONIC; the epoch is that clock's.
//
// Thread-safety: every member may be called from any thread. Destroy it when every spawned task was joined and nobody
// uses it any more.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "engine/scheduler.h"

namespace pagedb {

/// The production scheduler. See the head of this file.
class ThreadScheduler final : public Scheduler {
 public:
  /// Reserves the table's address space; aborts where not even that can be had.
  ThreadScheduler();
  /// Aborts when a spawned task was not joined.
  ~ThreadScheduler() override;
  ThreadScheduler(const ThreadScheduler&) = delete;
  ThreadScheduler& operator=(const ThreadScheduler&) = delete;

  [[nodiscard]] TaskId current() noexcept override;
  bool park(Time deadline) noexcept override;
  void unpark(TaskId task) noexcept override;

  /// Starts a thread. The task whose `value` is 0 when the operating system refuses one (no memory, or too many
  /// threads): `body` then never runs, and there is nothing to join. The first 15 characters of `name` become the
  /// thread's name.
  [[nodiscard]] TaskId spawn(std::string_view name, std::function<void()> body) override;

  /// Aborts when `task` was not spawned here, was joined already, or is the caller.
  void join(TaskId task) noexcept override;

  [[nodiscard]] Time now() noexcept override;

  /// Spins for up to 64 pause instructions (attempts 0 to 6), yields (up to attempt 15), then sleeps for 50
  /// microseconds, doubling up to 1.6 milliseconds.
  void relax(unsigned attempt) noexcept override;

 private:
  struct Slot;
  struct Task;

  [[nodiscard]] Slot& slot(std::uint32_t thread) noexcept;

  Slot* slots_;
  std::optional<pthread_key_t> key_;  // each thread keeps its TaskId under it; none when the process has no key left
  std::mutex mutex_;                  // guards tasks_, never held while waiting
  std::unordered_map<std::uint32_t, std::unique_ptr<Task>> tasks_;  // not yet joined, by serial number
  std::uint32_t next_serial_ = 1;
};

}  // namespace pagedb
