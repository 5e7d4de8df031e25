// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimScheduler: the engine's Scheduler in virtual time, on fibers.
//
// One operating system thread, one fiber a task, one event queue. Time advances only when no fiber is ready. Which
// ready fiber runs next is a decision (Site::next_fiber; 0: the one that became ready first). Timed events at the same
// time run in the order in which they were added.
//
// The code that owns the scheduler is its *root task*: it may park and join like any task, and while it waits the event
// loop runs on its own stack. A recovery that starts no tasks therefore runs without a single context switch.
// Schedulers nest: a root may itself run inside a fiber of another SimScheduler.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/scheduler.h"
#include "sim/choices.h"
#include "sim/fiber.h"
#include "sim/trace.h"

namespace pagedb::sim {

/// A thing that happens at a point in virtual time. Intrusive: whoever schedules an event owns its storage, so the
/// queue never allocates per event.
class TimedEvent {
 public:
  virtual void fire() = 0;

 protected:
  ~TimedEvent() = default;
};

/// Why a simulation stopped being able to go on.
enum class Stall : std::uint8_t {
  none,
  deadlock,    ///< every task parked for ever and no event pending
  step_limit,  ///< more scheduler steps than allowed
  time_limit,  ///< more virtual time than allowed
};

/// Bounds after which a simulation counts as stuck.
struct SimLimits {
  std::uint64_t steps_max = 10'000'000;
  Time time_max = std::chrono::hours(1);
};

class SimScheduler final : public Scheduler {
 public:
  /// `parent` must belong to this scheduler's run alone (a recovery's own span, say): its decisions are keyed below it.
  /// `depth` stands in the events it traces. `stacks` is shared between the schedulers of a run, so that fibers cost no
  /// mmap.
  SimScheduler(Choices& choices, const Span& parent, Trace& trace, StackPool& stacks, const SimLimits& limits = {},
               std::uint8_t depth = 0);
  ~SimScheduler() override;

  // Scheduler
  TaskId current() noexcept override;
  bool park(Time deadline) noexcept override;
  void unpark(TaskId task) noexcept override;
  TaskId spawn(std::string_view name, std::function<void()> body) override;
  void join(TaskId task) noexcept override;
  Time now() noexcept override;
  void relax(unsigned attempt) noexcept override;

  /// Calls `event.fire()` on the event loop at virtual time `at` (not before now). The event must stay alive until
  /// then. It may unpark, spawn and add events, but must not wait. For ThreadSanitizer, what it unparks is ordered
  /// after the task that added it, and after nothing else.
  void at(Time at, TimedEvent& event);

  /// Called once, when the simulation cannot go on (deadlock, limits). It must make every waiter's condition true (the
  /// disk seals itself, for example): from then on `park` returns at once, so that fibers unwind. If they still do not
  /// end within `steps_max` further steps, the process aborts.
  void on_stall(std::function<void(Stall)> handler);
  /// Why, if it happened.
  [[nodiscard]] Stall stall() const noexcept;

  /// Number of the running fiber in spawn order; 0 for the root. For traces.
  [[nodiscard]] std::uint16_t fiber_number() const noexcept;
  /// Name given to fiber `number`.
  [[nodiscard]] const std::string& fiber_name(std::uint16_t number) const;
  /// The running fiber's own span, for decisions that belong to it (the root's for the root).
  [[nodiscard]] Span& fiber_span() noexcept;
  /// Steps taken: task switches and events.
  [[nodiscard]] std::uint64_t steps() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pagedb::sim
