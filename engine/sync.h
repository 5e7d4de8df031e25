// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// sync: every word of memory that the engine's tasks share is accessed through this header.
//
// This is the production version: std::atomic, a spin lock, and the one documented data race. The `model` build
// (sim/model/) recompiles the engine's sources against a version of its own, in which each access is a scheduling point
// and the lock is something a model checker can wait for; it stands first in the include path there. Objects compiled
// against different versions do not link: each version refers to its own symbol, defined once.
//
// What each covers: the model checker explores interleavings under sequential consistency; ThreadSanitizer sees missing
// orders between real threads that it happens to run. Neither sees a reordering that only a weakly ordered CPU makes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/scheduler.h"

extern "C" const char pagedb_sync_is_production;  // defined in engine/sync.cc

namespace pagedb::sync {

namespace detail {
[[maybe_unused, gnu::used]] static const char* const version = &pagedb_sync_is_production;
}  // namespace detail

/// A word shared by tasks. std::atomic's members, and no other use of it.
template <class T>
using Atomic = std::atomic<T>;

/// How often a task pauses (Scheduler::relax) for a latch before it parks: a latch is mostly held for less time than
/// parking takes.
inline constexpr unsigned kSpinsBeforePark = 6;

/// The same for a turn that is mostly held for less time than waking a sleeper takes: after the spins it lets others
/// run, and parks last.
inline constexpr unsigned kPausesBeforePark = 15;

/// A lock for a few instructions. Never held across I/O, a wait, or a call of somebody else's code.
class SpinLock {
 public:
  /// Takes the lock. `scheduler` paces the retries.
  void lock(Scheduler& scheduler) noexcept {
    for (unsigned attempt = 0; held_.exchange(1, std::memory_order_acquire) != 0; ++attempt) scheduler.relax(attempt);
  }
  /// Gives it back.
  void unlock() noexcept { held_.store(0, std::memory_order_release); }

 private:
  std::atomic<std::uint32_t> held_{0};
};

/// Holds a SpinLock for a scope.
class SpinGuard {
 public:
  /// Takes `lock`.
  SpinGuard(SpinLock& lock, Scheduler& scheduler) noexcept : lock_(lock) { lock_.lock(scheduler); }
  /// Gives it back.
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

/// Loads before it happen before loads after it.
inline void order_loads() noexcept {
#if defined(__aarch64__)
  asm volatile("dmb ishld" ::: "memory");
#else
  asm volatile("" ::: "memory");  // x86 keeps loads in order
#endif
}

/// Stores before it become visible before stores after it.
inline void order_stores() noexcept {
#if defined(__aarch64__)
  asm volatile("dmb ishst" ::: "memory");
#else
  asm volatile("" ::: "memory");  // x86 keeps stores in order
#endif
}

/// Copies bytes that another task may be changing: the engine's one deliberate data race. What it copied means
/// something only if a version that writers change first was the same before and after (order_loads between). Word by
/// word through volatile, so that no compiler invents, drops or repeats a load; hidden from ThreadSanitizer, which
/// would rightly report it.
__attribute__((no_sanitize("thread"))) inline void racy_copy(std::byte* to, const std::byte* from,
                                                             std::size_t bytes) noexcept {
  using Word [[gnu::may_alias, gnu::aligned(1)]] = std::uint64_t;
#pragma GCC unroll 8
  for (; bytes >= sizeof(Word); bytes -= sizeof(Word), to += sizeof(Word), from += sizeof(Word)) {
    const std::uint64_t word = *reinterpret_cast<const volatile Word*>(from);
    std::memcpy(to, &word, sizeof word);
  }
  for (; bytes > 0; --bytes) *to++ = *reinterpret_cast<const volatile std::byte*>(from++);
}

}  // namespace pagedb::sync
