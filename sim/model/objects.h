// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Objects: what the tasks of one execution share, by address, each with an identity that does not depend on addresses.
//
// An object is born when its constructor says so, or when somebody touches an address for the first time. Its identity
// is (the task that did, how many that task had made before): equal histories give equal identities, in every
// execution.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/model/operation.h"

namespace pagedb::sim::model {

/// Spreads 64 bits (the finaliser of SplitMix64).
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept {
  return mixed(a * 0x9E3779B97F4A7C15u + mixed(b + 0x9E3779B97F4A7C15u));
}

/// See the head of this file. Cleared in constant time.
class Objects {
 public:
  Objects() : slots_(kSlotsAtFirst) { clear(); }

  /// Forgets everything.
  void clear() noexcept;

  /// A new object at `address`, made by `task`.
  std::uint32_t born(const void* address, TaskIndex task);
  /// The object at `address`; a new one, made by `task`, if there is none.
  [[nodiscard]] std::uint32_t at(const void* address, TaskIndex task);

  [[nodiscard]] std::uint64_t id_of(std::uint32_t object) const noexcept { return ids_[object]; }

  /// Calls the object at `address` by a name from now on, for people.
  void call(const void* address, TaskIndex task, std::string name) { names_[at(address, task)] = std::move(name); }
  /// Its name, or "w" and its number.
  [[nodiscard]] std::string name_of(std::uint32_t object) const;

 private:
  static constexpr std::size_t kSlotsAtFirst = 4096;
  struct Slot {
    const void* address = nullptr;
    std::uint32_t object = 0;
    std::uint32_t age = 0;  // of another execution: empty
  };
  Slot& slot_of(const void* address);
  void grow();

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  std::uint32_t age_ = 0;
  std::vector<std::uint64_t> ids_;
  std::uint32_t made_[kTasksMax] = {};
  std::map<std::uint32_t, std::string> names_;
};

}  // namespace pagedb::sim::model
