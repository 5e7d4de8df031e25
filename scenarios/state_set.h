// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// StateSet: the 128-bit hashes of crash states that a run has verified.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/media.h"

namespace pagedb::scenarios {

/// A set of hashes; open addressing, at most half full.
class StateSet {
 public:
  StateSet() : slots_(1024) {}

  /// Adds a state; false when it was there already.
  bool insert(const sim::StateHash& state) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    return place(state);
  }

 private:
  bool place(const sim::StateHash& state) {
    const sim::StateHash key = state == sim::StateHash{} ? sim::StateHash{1, 1} : state;  // zeros mark a free slot
    std::size_t at = static_cast<std::size_t>(key.low) & (slots_.size() - 1);
    while (!(slots_[at] == sim::StateHash{})) {
      if (slots_[at] == key) return false;
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = key;
    ++count_;
    return true;
  }
  void grow() {
    std::vector<sim::StateHash> old(slots_.size() * 2);
    old.swap(slots_);
    count_ = 0;
    for (const sim::StateHash& state : old) {
      if (!(state == sim::StateHash{})) place(state);
    }
  }

  std::vector<sim::StateHash> slots_;
  std::size_t count_ = 0;
};

}  // namespace pagedb::scenarios
