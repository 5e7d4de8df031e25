// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Pct: probabilistic concurrency testing. Tasks get random priorities, the highest that can go goes, and at depth - 1
// random steps the task that would go falls below all others.
//
// A bug that needs `depth` orders between operations shows in one execution with probability at least
// 1 / (tasks x steps^(depth-1)), whatever else the scenario does. How many steps there are is taken from the executions
// before. Source: Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic guarantees
// of finding bugs", ASPLOS 2010.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/model/draw.h"
#include "sim/model/policy.h"
#include "sim/model/text.h"

namespace pagedb::sim::model {

/// See the head of this file.
class Pct final : public Policy {
 public:
  Pct(std::uint64_t seed, std::uint64_t runs, unsigned depth) : seed_(seed), runs_(runs), depth_(depth) {}

  bool next() override {
    steps_most_ = std::max(steps_most_, steps_);
    if (++run_ > runs_) return false;
    steps_ = 0;
    lowered_ = 0;
    for (std::uint32_t i = 0; i < kTasksMax; ++i)
      priority_[i] = kHigh + (draw(seed_, run_, kPriority, i, kHigh) * kTasksMax + i);  // no two alike
    changes_.clear();
    for (std::uint32_t i = 0; i + 1 < depth_; ++i) changes_.push_back(draw(seed_, run_, kStep, i, steps_most_));
    return true;
  }

  TaskIndex choose(const Choice& choice) override {
    steps_ = choice.step + 1;
    TaskIndex task = highest(choice.eligible);
    if (std::find(changes_.begin(), changes_.end(), choice.step) != changes_.end()) {
      priority_[task] = kHigh - ++lowered_;
      task = highest(choice.eligible);
    }
    return task;
  }

  void executed(const Event&) override {}

  [[nodiscard]] std::string summary() const override {
    return "PCT: " + with_commas(run_ <= runs_ ? run_ : runs_) + " schedules of depth " + std::to_string(depth_) +
           ", seed " + std::to_string(seed_);
  }

 private:
  static constexpr std::uint32_t kPriority = 3;
  static constexpr std::uint32_t kStep = 4;
  static constexpr std::uint64_t kHigh = std::uint64_t{1} << 32;

  [[nodiscard]] TaskIndex highest(TaskSet eligible) const noexcept {
    TaskIndex best = kNobody;
    for (TaskIndex i = 0; i < kTasksMax; ++i)
      if ((eligible & set_of(i)) != 0 && (best == kNobody || priority_[i] > priority_[best])) best = i;
    return best;
  }

  const std::uint64_t seed_;
  const std::uint64_t runs_;
  const unsigned depth_;
  std::uint64_t run_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t steps_most_ = 1;
  std::uint64_t lowered_ = 0;
  std::array<std::uint64_t, kTasksMax> priority_{};
  std::vector<std::uint64_t> changes_;
};

}  // namespace pagedb::sim::model
