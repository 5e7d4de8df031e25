// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// TraceHash: one number for a partial order of events.
//
// An event's own number is made of its task, what the task did before, what it did, and the last change of its object
// before it. That fixes every order between dependent events; the sum over all events does not depend on any other.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/model/objects.h"
#include "sim/model/operation.h"

namespace pagedb::sim::model {

/// See the head of this file.
class TraceHash {
 public:
  void clear() noexcept {
    sum_ = 0;
    history_.fill(0);
    last_change_.clear();
  }

  void add(const Event& event) {
    if (event.object >= last_change_.size()) last_change_.resize(event.object + 64, 0);
    std::uint64_t& last_change = last_change_[event.object];
    const std::uint64_t what =
        (std::uint64_t{event.task} << 16) | (static_cast<std::uint64_t>(event.kind) << 8) | (event.changed ? 1u : 0u);
    std::uint64_t& history = history_[event.task];
    history = mixed(mixed(history, what), mixed(mixed(event.object_id, last_change), event.seen));
    if (event.changed) last_change = history;
    sum_ += history;
  }

  [[nodiscard]] std::uint64_t value() const noexcept { return sum_; }

 private:
  std::uint64_t sum_ = 0;
  std::array<std::uint64_t, kTasksMax> history_{};
  std::vector<std::uint64_t> last_change_;
};

}  // namespace pagedb::sim::model
