// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// sync, the version of the model checker: the interface of engine/sync.h, where every access is a scheduling point.
//
// It stands first in the include path of the `model` build, so that the engine's own sources compile against it,
// unchanged. Everything runs on one thread (sim/model/execution.h), so a word is a plain variable: what the checker
// chooses is who goes next, and that is sequential consistency. Memory orders are accepted and ignored. Outside an
// exploration an access just happens.
//
// A scheduling point stands before each access, lock, park and unpark; none before an unlock, which commutes with
// whatever others can do while the lock is held. A lock that is held blocks its task, it does not spin.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "engine/scheduler.h"

extern "C" const char pagedb_sync_is_model;  // defined in sim/model/execution.cc

namespace pagedb::sync {

namespace detail {

[[maybe_unused, gnu::used]] static const char* const version = &pagedb_sync_is_model;

/// What an access may do to its word.
enum class Access : std::uint8_t {
  load,
  store,
  update,  // read-modify-write; it changed the word or not
  racy,    // of a word that others change without telling
};

/// A word begins to exist: whatever was known of its address is forgotten.
void born(const void* word) noexcept;
/// The scheduling point before an access.
void before(const void* word, Access access, const std::source_location& where) noexcept;
/// The access that `before` announced is done.
void after(bool changed) noexcept;
/// What a racy access saw: two tasks that saw different bytes are in different states.
void after_racy(std::uint64_t seen) noexcept;
/// Blocks while *owner is not 0, then makes it the task's number + 1.
void lock(std::uint32_t* owner, const std::source_location& where) noexcept;
/// Makes *owner 0.
void unlock(std::uint32_t* owner, const std::source_location& where) noexcept;

}  // namespace detail

/// A word shared by tasks.
template <class T>
class Atomic {
  static_assert(std::is_trivially_copyable_v<T>);
  using Where = std::source_location;
  using Order = std::memory_order;

 public:
  Atomic() noexcept : Atomic(T{}) {}
  Atomic(T value) noexcept : value_(value) { detail::born(this); }  // NOLINT(google-explicit-constructor)
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  [[nodiscard]] T load(Order = Order::seq_cst, Where where = Where::current()) const noexcept {
    detail::before(this, detail::Access::load, where);
    const T value = value_;
    detail::after(false);
    return value;
  }
  void store(T value, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    detail::before(this, detail::Access::store, where);
    detail::after(set(value));
  }
  operator T() const noexcept { return load(); }  // NOLINT(google-explicit-constructor)
  T operator=(T value) noexcept {                 // NOLINT(misc-unconventional-assign-operator)
    store(value);
    return value;
  }
  T exchange(T value, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    return change([value](T) { return value; }, where);
  }
  bool compare_exchange_strong(T& expected, T wanted, Order = Order::seq_cst, Order = Order::seq_cst,
                               Where where = Where::current()) noexcept {
    detail::before(this, detail::Access::update, where);
    if (!same(value_, expected)) {
      expected = value_;
      detail::after(false);
      return false;
    }
    detail::after(set(wanted));
    return true;
  }
  /// Never fails without reason: code that relies on that is found by the compiler's target, not here.
  bool compare_exchange_weak(T& expected, T wanted, Order = Order::seq_cst, Order = Order::seq_cst,
                             Where where = Where::current()) noexcept {
    return compare_exchange_strong(expected, wanted, Order::seq_cst, Order::seq_cst, where);
  }
  T fetch_add(T operand, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    return change([operand](T old) { return static_cast<T>(old + operand); }, where);
  }
  T fetch_sub(T operand, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    return change([operand](T old) { return static_cast<T>(old - operand); }, where);
  }
  T fetch_or(T operand, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    return change([operand](T old) { return static_cast<T>(old | operand); }, where);
  }
  T fetch_and(T operand, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    return change([operand](T old) { return static_cast<T>(old & operand); }, where);
  }
  T fetch_xor(T operand, Order = Order::seq_cst, Where where = Where::current()) noexcept {
    return change([operand](T old) { return static_cast<T>(old ^ operand); }, where);
  }

 private:
  static bool same(const T& a, const T& b) noexcept { return std::memcmp(&a, &b, sizeof(T)) == 0; }
  bool set(const T& value) noexcept {
    const bool changed = !same(value_, value);
    value_ = value;
    return changed;
  }
  template <class F>
  T change(F next, const Where& where) noexcept {
    detail::before(this, detail::Access::update, where);
    const T old = value_;
    detail::after(set(next(old)));
    return old;
  }

  T value_;
};

/// Parks at once: spinning first would only multiply the schedules.
inline constexpr unsigned kSpinsBeforePark = 0;
inline constexpr unsigned kPausesBeforePark = 0;

/// A lock for a few instructions. A task that finds it held is blocked until it is free.
class SpinLock {
 public:
  SpinLock() noexcept { detail::born(&owner_); }
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;
  void lock(Scheduler&, std::source_location where = std::source_location::current()) noexcept {
    detail::lock(&owner_, where);
  }
  void unlock(std::source_location where = std::source_location::current()) noexcept { detail::unlock(&owner_, where); }

 private:
  std::uint32_t owner_ = 0;
};

/// Holds a SpinLock for a scope.
class SpinGuard {
 public:
  SpinGuard(SpinLock& lock, Scheduler& scheduler, std::source_location where = std::source_location::current()) noexcept
      : lock_(lock) {
    lock_.lock(scheduler, where);
  }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

/// Nothing to order: sequential consistency.
inline void order_loads() noexcept {}
/// Nothing to order: sequential consistency.
inline void order_stores() noexcept {}

/// Copies bytes that another task may be changing: a scheduling point before each of its first words, then one before
/// the rest.
inline void racy_copy(std::byte* to, const std::byte* from, std::size_t bytes,
                      std::source_location where = std::source_location::current()) noexcept {
  constexpr std::size_t kWord = 8;
  constexpr int kWords = 4;
  for (int i = 0; bytes > 0; ++i) {
    const std::size_t part = i < kWords ? std::min(bytes, kWord) : bytes;
    detail::before(from, detail::Access::racy, where);
    std::memcpy(to, from, part);
    std::uint64_t seen = 0xCBF29CE484222325u;  // FNV-1a
    for (std::size_t k = 0; k < part; ++k) seen = (seen ^ static_cast<std::uint8_t>(to[k])) * 0x100000001B3u;
    detail::after_racy(seen);
    to += part;
    from += part;
    bytes -= part;
  }
}

}  // namespace pagedb::sync
