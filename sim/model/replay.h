// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Replay: one execution, by a schedule that was printed. Where it does not fit (the code has changed), and beyond its
// end, whoever can go on does.
#pragma once

#include <string>
#include <utility>

#include "sim/model/policy.h"
#include "sim/model/schedule.h"
#include "sim/model/text.h"

namespace pagedb::sim::model {

/// See the head of this file.
class Replay final : public Policy {
 public:
  explicit Replay(Schedule schedule) : schedule_(std::move(schedule)) {}

  bool next() override { return !std::exchange(begun_, true); }

  TaskIndex choose(const Choice& choice) override {
    if (choice.step < schedule_.size() && fits_) {
      const TaskIndex wanted = schedule_[choice.step];
      if ((choice.eligible & set_of(wanted)) != 0) return wanted;
      fits_ = false;
      misfit_ = choice.step;
    }
    return go_on(choice);
  }

  void executed(const Event&) override {}

  /// Whether every step of the schedule could be made.
  [[nodiscard]] bool fits() const noexcept { return fits_; }

  [[nodiscard]] std::string summary() const override {
    return "replay of " + with_commas(schedule_.size()) + " steps" +
           (fits_ ? "" : ", which do not fit from step " + std::to_string(misfit_) + " on");
  }

 private:
  const Schedule schedule_;
  bool begun_ = false;
  bool fits_ = true;
  std::uint64_t misfit_ = 0;
};

}  // namespace pagedb::sim::model
