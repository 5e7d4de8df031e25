// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The depth-first search, and what it leaves out.
#include "sim/model/exhaustive.h"

#include <algorithm>
#include <bit>

#include "engine/check.h"
#include "sim/model/text.h"

namespace pagedb::sim::model {
namespace {

constexpr std::size_t kKnownMax = 1u << 23;  // 256 MiB at most

bool changes(Kind kind) noexcept {
  return kind == Kind::store || kind == Kind::update || kind == Kind::lock || kind == Kind::unpark ||
         kind == Kind::park || kind == Kind::spawn;
}

}  // namespace

Exhaustive::Exhaustive(unsigned preemptions_max, Pruning pruning, std::uint64_t schedules_max)
    : bound_max_(preemptions_max), pruning_(pruning), schedules_max_(schedules_max), known_(kKnownMax) {
  // Without pruning nothing is learned on the way, and with no bound there is nothing to count up to.
  bound_ = pruning == Pruning::none || preemptions_max == kNoBound ? preemptions_max : 0;
}

void Exhaustive::begin_pass() {
  ++passes_;
  frames_.clear();
  known_.clear();
  shared_grew_ = false;
  schedules_ = 0;
  pruned_ = 0;
}

bool Exhaustive::next() {
  if (!started_) {
    started_ = true;
    begin_pass();
  } else {
    ++runs_;
    ++(given_up_ ? pruned_ : schedules_);
    if (runs_ >= schedules_max_) return false;
    while (!frames_.empty()) {
      Frame& frame = frames_.back();
      frame.tried |= set_of(frame.chosen);
      const TaskSet left = frame.candidates & ~frame.tried;
      if (left != 0) {
        frame.chosen = static_cast<std::uint8_t>(std::countr_zero(left));
        break;
      }
      frames_.pop_back();
    }
    if (frames_.empty()) {
      if (bound_ == bound_max_ && !shared_grew_) {
        complete_ = true;
        return false;
      }
      if (bound_ < bound_max_) ++bound_;
      begin_pass();
    }
  }
  depth_ = 0;
  asleep_ = 0;
  given_up_ = false;
  trace_.clear();
  uses_.clear();
  for (auto& locks : held_) locks.clear();
  return true;
}

TaskIndex Exhaustive::choose(const Choice& choice) {
  pending_ = choice.pending;
  if (given_up_) return go_on(choice);
  if (depth_ == frames_.size()) {
    Frame frame;
    decide(frame, choice);
    if (given_up_) return go_on(choice);
    frames_.push_back(frame);
    steps_most_ = std::max(steps_most_, frames_.size());
  }
  const Frame& frame = frames_[depth_++];
  PAGEDB_CHECK((choice.eligible & set_of(frame.chosen)) != 0 && choice.current == frame.current,
               "the scenario is not deterministic: the same choices led to another situation");
  asleep_ = frame.asleep;
  if (pruning_ == Pruning::all) {
    if (bound_ == kNoBound) {
      asleep_ |= frame.tried;
    } else if (frame.current_able && frame.chosen != frame.current) {
      asleep_ |= set_of(frame.current);
    }
  }
  return frame.chosen;
}

void Exhaustive::decide(Frame& frame, const Choice& choice) {
  if (!frames_.empty()) {
    const Frame& last = frames_.back();
    frame.cost = static_cast<std::uint8_t>(last.cost + (last.current_able && last.chosen != last.current ? 1 : 0));
  }
  frame.current = static_cast<std::uint8_t>(choice.current);
  frame.current_able = choice.current != kNobody && (choice.eligible & set_of(choice.current)) != 0;
  if (bound_ == kNoBound) frame.cost = 0;

  if (pruning_ == Pruning::none) {
    const bool only_current = frame.current_able && bound_ != kNoBound && frame.cost >= bound_;
    frame.candidates = only_current ? set_of(choice.current) : choice.eligible;
  } else {
    if (!frame.current_able && choice.current != kNobody) {
      wake_for_blocked(choice);
      if (known(choice, frame.cost)) {
        given_up_ = true;
        return;
      }
    }
    frame.asleep = asleep_;
    frame.candidates = choice.eligible & ~asleep_;
    if (frame.current_able && ((bound_ != kNoBound && frame.cost >= bound_) || !worth_preempting(choice)))
      frame.candidates &= set_of(choice.current);
    if (frame.candidates == 0) {
      given_up_ = true;
      return;
    }
  }
  const bool current_first = frame.current_able && (frame.candidates & set_of(choice.current)) != 0;
  frame.chosen = static_cast<std::uint8_t>(current_first ? choice.current
                                                         : static_cast<TaskIndex>(std::countr_zero(frame.candidates)));
}

// ---- sleep

void Exhaustive::wake_for_blocked(const Choice& choice) {
  const Operation& blocked = (*pending_)[choice.current];
  switch (blocked.kind) {
    case Kind::lock:
      if (*blocked.lock_owner != 0) asleep_ &= ~set_of(*blocked.lock_owner - 1);
      break;
    case Kind::join:
      asleep_ &= ~blocked.waits_for;
      break;
    case Kind::relax:
      asleep_ = 0;
      break;
    case Kind::park:
      for (TaskSet rest = asleep_; rest != 0; rest &= rest - 1) {
        const auto task = static_cast<TaskIndex>(std::countr_zero(rest));
        const Operation& operation = (*pending_)[task];
        if (operation.kind == Kind::unpark && operation.object == blocked.object) asleep_ &= ~set_of(task);
      }
      break;
    default:
      break;  // it has ended
  }
}

void Exhaustive::wake_for(const Event& event) {
  if (event.kind == Kind::relax) {
    asleep_ = 0;
    return;
  }
  for (TaskSet rest = asleep_; rest != 0; rest &= rest - 1) {
    const auto task = static_cast<TaskIndex>(std::countr_zero(rest));
    const Operation& operation = (*pending_)[task];
    const bool same = operation.object == event.object && event.object != 0;
    const bool racy = (event.kind == Kind::racy && changes(operation.kind)) ||
                      (operation.kind == Kind::racy && event.changed) || operation.kind == Kind::relax;
    if (racy || (same && (event.changed || changes(operation.kind)))) asleep_ &= ~set_of(task);
  }
}

// ---- known states

bool Exhaustive::known(const Choice& choice, unsigned cost) {
  const std::uint64_t state = mixed(trace_.value(), mixed(choice.current, choice.pauses));
  const auto left = static_cast<std::uint8_t>(bound_ == kNoBound ? 1 : bound_ - cost + 1);
  return known_.covers(state, left);
}

// ---- shared objects

Exhaustive::Use& Exhaustive::use_of(std::uint32_t object, std::uint64_t object_id) {
  if (object >= uses_.size()) uses_.resize(object + 64);
  Use& use = uses_[object];
  if (!use.looked_up) {
    use.looked_up = true;
    use.shared = shared_.contains(object_id);
  }
  return use;
}

bool Exhaustive::worth_preempting(const Choice& choice) {
  const Operation& operation = (*pending_)[choice.current];
  if (operation.kind == Kind::racy) return true;
  if (operation.object != 0 && use_of(operation.object, operation.object_id).shared) return true;
  const auto& locks = held_[choice.current];
  return std::any_of(locks.begin(), locks.end(), [this](std::uint32_t lock) { return uses_[lock].shared; });
}

void Exhaustive::note_use(const Event& event) {
  if (event.object == 0) return;
  Use& use = use_of(event.object, event.object_id);
  if (event.alone) return;
  use.by |= set_of(event.task);
  use.changed = use.changed || event.changed;
  if (use.shared || !use.changed || std::has_single_bit(use.by)) return;
  use.shared = true;
  if (shared_.insert(event.object_id).second) shared_grew_ = true;
}

void Exhaustive::executed(const Event& event) {
  if (pruning_ == Pruning::none) return;
  auto& locks = held_[event.task];
  if (event.kind == Kind::lock) locks.push_back(event.object);
  if (event.kind == Kind::unlock) std::erase(locks, event.object);
  note_use(event);
  if (given_up_) return;
  trace_.add(event);
  wake_for(event);
}

std::string Exhaustive::summary() const {
  std::string text = complete_ ? "complete: " : "NOT complete: ";
  text += with_commas(schedules_) + " schedules";
  if (pruning_ == Pruning::all) text += " (" + with_commas(pruned_) + " more given up as equivalent)";
  text += bound_ == kNoBound ? ", any number of preemptions" : ", preemption bound " + std::to_string(bound_);
  if (passes_ > 1) text += ", " + with_commas(runs_) + " runs in " + std::to_string(passes_) + " passes";
  return text + ", at most " + with_commas(steps_most_) + " steps";
}

}  // namespace pagedb::sim::model
