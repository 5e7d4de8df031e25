// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Fiber and StackPool: context switches on Boost.Context, with pooled stacks and sanitizer annotations.
//
// A fiber runs when somebody resumes it, on a stack of its own, until it suspends or ends; then its resumer goes on. A
// fiber may resume others, so schedulers nest. Under AddressSanitizer every switch is announced; under ThreadSanitizer
// fibers are switched *without* synchronising them, so that a race between two fibers is reported although they share a
// thread; only what sim_scheduler.cc announces orders them.
//
// Not thread-safe: a fiber and its pool belong to one thread. No exception may leave a fiber, and a fiber must not
// suspend while one is thrown or handled: the C++ runtime keeps one stack of caught exceptions a thread, not one a
// fiber. Both abort.
#pragma once

#include <cstddef>
#include <memory>

namespace pagedb::sim {

/// Keeps stacks for reuse. Each has a guard page below it. Must outlive its fibers.
class StackPool {
 public:
  explicit StackPool(std::size_t stack_bytes = 256 * 1024);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  /// Stacks that exist, in use or waiting for it.
  [[nodiscard]] std::size_t stacks_mapped() const noexcept;

 private:
  friend class Fiber;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A stack and a place to go on at.
class Fiber {
 public:
  using Entry = void (*)(void* argument);

  /// Takes a stack. `entry(argument)` runs on it from the first resume on.
  Fiber(StackPool& pool, Entry entry, void* argument);
  /// Gives the stack back. Aborts when the fiber is suspended: what lives on its stack would be lost.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the fiber until it suspends or ends. It must not be running, nor ended.
  void resume();
  /// Called on the fiber itself: goes on with whoever resumed it, until it is resumed again.
  void suspend();
  /// Whether `entry` has returned.
  [[nodiscard]] bool ended() const noexcept { return state_ == State::ended; }

 private:
  enum class State : unsigned char { fresh, running, suspended, ended };
  struct Switch;
  friend struct Switch;

  StackPool& pool_;
  Entry entry_;
  void* argument_;
  void* stack_;              // lowest address of the usable part
  void* context_;            // where to go on while the fiber does not run
  void* resumer_ = nullptr;  // where to go on when it suspends
  State state_ = State::fresh;
  // For the sanitizers; unused in other builds.
  [[maybe_unused]] const void* resumer_stack_ = nullptr;
  [[maybe_unused]] std::size_t resumer_stack_bytes_ = 0;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
  [[maybe_unused]] void* tsan_resumer_ = nullptr;
};

}  // namespace pagedb::sim
