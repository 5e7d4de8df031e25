// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// KnownStates: for each state that a search has reached, a small number. A hash table that only grows, up to a bound;
// what finds no room is not remembered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pagedb::sim::model {

/// See the head of this file. States are hashes already.
class KnownStates {
 public:
  explicit KnownStates(std::size_t states_max) : states_max_(states_max) { clear(); }

  void clear() {
    slots_.assign(kSlotsAtFirst, {});
    used_ = 0;
  }

  /// Whether `state` was known with a number of at least `number`, which is not 0; raises it otherwise.
  [[nodiscard]] bool covers(std::uint64_t state, std::uint8_t number) {
    Slot& slot = slot_of(state);
    if (slot.number >= number) return true;
    if (slot.number == 0) {
      if (used_ >= states_max_) return false;
      ++used_;
    }
    slot = {state, number};
    if (used_ * 2 > slots_.size()) grow();
    return false;
  }

 private:
  static constexpr std::size_t kSlotsAtFirst = 1024;
  struct Slot {
    std::uint64_t state = 0;
    std::uint8_t number = 0;  // 0: empty
  };

  Slot& slot_of(std::uint64_t state) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = state & mask;
    while (slots_[i].number != 0 && slots_[i].state != state) i = (i + 1) & mask;
    return slots_[i];
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.number != 0) slot_of(slot.state) = slot;
  }

  const std::size_t states_max_;
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace pagedb::sim::model
