// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Exhaustive: every schedule with at most so many preemptions, up to equivalence.
//
// A preemption is a switch away from a task that could have gone on; switching when a task waits, pauses or ends is
// free. Two schedules are equivalent when they order every two dependent operations alike; they then lead to the same
// state. Operations are dependent when one task does them, or they touch the same object and one of them changed it (a
// compare-exchange that failed, or a store of what was there, counts as a read).
//
// The search is depth-first and runs with bound 0, 1, ... up to the wanted one, so that a failure is found with the
// fewest preemptions that show it. Three things are left out, each because a schedule that is equivalent, has no more
// preemptions and comes earlier in the same search is not left out for that reason; as the order is finite, following
// that ends at a schedule that was run:
//
//   sleep      Where task A was preempted before its operation a, A is not resumed before something dependent on a has
//              happened: a could as well have gone first, as it did in an earlier branch. Moving a forward saves or
//              keeps preemptions, except where somebody was blocked in between by what a's step ends (a lock held by A,
//              a park that a unparks): that wakes A too, and so does any pause. With no bound, all earlier siblings
//              sleep (Godefroid's sleep sets); with one they must not, as moving their operations can cost preemptions.
//   known      At a free switch: the same partial order of events was reached before with the same task last, and at
//              least as many preemptions left. States are told apart by a 64-bit hash of the partial order (Musuvathi
//              and Qadeer, "Partial-order reduction for context-bounded state exploration", 2007).
//   private    A task is preempted only before an operation on an object that two tasks used at the same time of an
//              execution and one of them changed, or while it holds such a lock. Which objects those are is learned on
//              the way; a pass in which another one turned up is repeated.
//
// Complete, then, when `complete()` is true: every state (and so every violation) that some schedule with that many
// preemptions reaches, under sequential consistency, for tasks that share plain memory only in the order of their
// announced operations. Racy reads are dependent on every change. Not explored: early timeouts, unfair pauses (both in
// execution.h), hash collisions (below 1 in 10^5 for ten million states), weak memory.
//
// `Pruning::none` runs every schedule within the bound, one by one: what the tests compare with.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "sim/model/known_states.h"
#include "sim/model/policy.h"
#include "sim/model/trace_hash.h"

namespace pagedb::sim::model {

enum class Pruning : std::uint8_t { none, all };

/// See the head of this file.
class Exhaustive final : public Policy {
 public:
  static constexpr unsigned kNoBound = 255;

  explicit Exhaustive(unsigned preemptions_max, Pruning pruning = Pruning::all,
                      std::uint64_t schedules_max = 50'000'000);

  bool next() override;
  TaskIndex choose(const Choice& choice) override;
  void executed(const Event& event) override;
  [[nodiscard]] std::string summary() const override;

  /// Nothing was left out but what the head of this file says.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  /// The execution that is running, or the last one, is equivalent to another one.
  [[nodiscard]] bool given_up() const noexcept { return given_up_; }
  /// Schedules run to their end in the last pass.
  [[nodiscard]] std::uint64_t schedules() const noexcept { return schedules_; }
  /// Schedules given up in the last pass as equivalent to another one.
  [[nodiscard]] std::uint64_t pruned() const noexcept { return pruned_; }

 private:
  struct Frame {             // a choice of the schedule that is being run
    TaskSet candidates = 0;  // who may be chosen here
    TaskSet tried = 0;       // who was, before `chosen`
    TaskSet asleep = 0;      // who must not go on yet
    std::uint8_t chosen = 0;
    std::uint8_t current = kNobody;
    bool current_able = false;  // choosing another one is a preemption
    std::uint8_t cost = 0;      // preemptions before
  };
  struct Use {  // of an object in this execution
    TaskSet by = 0;
    bool changed = false;
    bool looked_up = false;
    bool shared = false;  // it is in shared_
  };

  void begin_pass();
  void decide(Frame& frame, const Choice& choice);
  void wake_for_blocked(const Choice& choice);
  void wake_for(const Event& event);
  [[nodiscard]] bool known(const Choice& choice, unsigned cost);
  [[nodiscard]] bool worth_preempting(const Choice& choice);
  void note_use(const Event& event);
  Use& use_of(std::uint32_t object, std::uint64_t object_id);

  const unsigned bound_max_;
  const Pruning pruning_;
  const std::uint64_t schedules_max_;

  // The search.
  bool started_ = false;
  unsigned bound_ = 0;
  std::vector<Frame> frames_;
  KnownStates known_;  // with the most preemptions left, + 1
  std::set<std::uint64_t> shared_;
  bool shared_grew_ = false;
  bool complete_ = false;
  unsigned passes_ = 0;
  std::uint64_t schedules_ = 0;
  std::uint64_t pruned_ = 0;
  std::uint64_t runs_ = 0;
  std::size_t steps_most_ = 0;

  // The execution.
  const std::array<Operation, kTasksMax>* pending_ = nullptr;
  std::size_t depth_ = 0;
  TaskSet asleep_ = 0;
  bool given_up_ = false;
  TraceHash trace_;
  std::vector<Use> uses_;
  std::array<std::vector<std::uint32_t>, kTasksMax> held_;  // locks, as objects; each was used, so looked up
};

}  // namespace pagedb::sim::model
