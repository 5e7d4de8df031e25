// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Random: at each step one of those who can go, all equally likely. In every second execution the current task goes on
// with probability 7/8 instead, so that longer stretches occur too.
#pragma once

#include <bit>
#include <cstdint>
#include <string>

#include "sim/model/draw.h"
#include "sim/model/policy.h"
#include "sim/model/text.h"

namespace pagedb::sim::model {

/// See the head of this file.
class Random final : public Policy {
 public:
  Random(std::uint64_t seed, std::uint64_t runs) : seed_(seed), runs_(runs) {}

  bool next() override { return ++run_ <= runs_; }

  TaskIndex choose(const Choice& choice) override {
    if (std::has_single_bit(choice.eligible)) return go_on(choice);
    const auto step = static_cast<std::uint32_t>(choice.step);
    if (run_ % 2 == 0 && draw(seed_, run_, kWhether, step, 8) != 0) {
      const TaskIndex task = go_on(choice);
      if (task == choice.current) return task;
    }
    return nth_of(choice.eligible,
                  draw(seed_, run_, kWho, step, static_cast<std::uint64_t>(std::popcount(choice.eligible))));
  }

  void executed(const Event&) override {}

  [[nodiscard]] std::string summary() const override {
    return "random: " + with_commas(run_ <= runs_ ? run_ : runs_) + " schedules, seed " + std::to_string(seed_);
  }

 private:
  static constexpr std::uint32_t kWho = 1;
  static constexpr std::uint32_t kWhether = 2;

  const std::uint64_t seed_;
  const std::uint64_t runs_;
  std::uint64_t run_ = 0;
};

}  // namespace pagedb::sim::model
