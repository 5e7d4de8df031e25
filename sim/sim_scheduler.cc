// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The event loop in virtual time: see sim_scheduler.h. It runs on the root's stack, whenever the root waits; a fiber
// that waits switches to it.
//
// A task that waits is in exactly one of three waits: park (ends by unpark or deadline), pause (ends by deadline only)
// and join (ends by a task's end). So neither a pause nor a join swallows an unpark that is meant for a later park.
#include "sim/sim_scheduler.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "engine/check.h"
#include "sim/event_queue.h"
#include "sim/sanitizer.h"

namespace pagedb::sim {

namespace {

// Kinds of spans, spelt so that no other part of a run uses the same by chance.
constexpr std::uint32_t kSpanScheduler = 0x73636864;  // "schd"
constexpr std::uint32_t kSpanFiber = 0x66696272;      // "fibr"

constexpr std::size_t kExpectedEvents = 64;
constexpr std::size_t kExpectedTasks = 16;
constexpr std::uint64_t kNumbersMax = 0xffff;  // what a trace event has room for; later fibers share numbers

enum class Wait : std::uint8_t { none, park, pause, join, ended };

}  // namespace

struct SimScheduler::Impl {
  struct Task : Alarm {
    Span span;
    std::uint64_t serial = 0;  // in spawn order; the root is 0
    std::uint32_t slot = 0;
    std::uint16_t number = 0;
    Wait wait = Wait::none;
    bool has_deadline = false;
    bool unparked = false;    // why the last park ended
    bool remembered = false;  // an unpark that came before its park
    Task* joiner = nullptr;
    Impl* owner = nullptr;
    std::function<void()> body;
    std::optional<Fiber> fiber;
    std::vector<std::uint64_t> wakers;  // only for ThreadSanitizer: tokens of the events that unparked this task
  };

  Choices& choices;
  Trace& trace;
  StackPool& stacks;
  const SimLimits limits;
  const std::uint8_t depth;
  Span span;
  Task root;
  std::vector<std::unique_ptr<Task>> tasks;  // by slot - 1; slots are reused
  std::vector<Task*> idle;
  std::vector<Task*> ready;  // in the order in which they became ready
  std::vector<std::string> names{"root"};
  EventQueue queue{kExpectedEvents};
  Time now{0};
  Task* running = &root;           // null in the event loop
  Task* last = &root;              // the task that ran last
  std::uint64_t firing = 0;        // only for ThreadSanitizer: token of the event that is firing
  std::unique_ptr<char[]> tokens;  // only for ThreadSanitizer: addresses that stand for added events
  std::uint64_t tokens_used = 0;
  std::uint64_t spawned = 0;
  std::uint64_t steps = 0;
  std::uint64_t steps_allowed;
  std::function<void(Stall)> handler;
  Stall stall = Stall::none;

  Impl(Choices& choices_in, const Span& parent, Trace& trace_in, StackPool& stacks_in, const SimLimits& limits_in,
       std::uint8_t depth_in)
      : choices(choices_in),
        trace(trace_in),
        stacks(stacks_in),
        limits(limits_in),
        depth(depth_in),
        span(parent, kSpanScheduler, 0),
        steps_allowed(limits_in.steps_max) {
    root.span = Span(span, kSpanFiber, 0);
    ready.reserve(kExpectedTasks);
  }

  static TaskId id_of(const Task& task) noexcept { return {((task.serial + 1) << 20) | task.slot}; }

  void add_trace(EventKind kind, const Task& about) {
    trace.add({kind, depth, running == nullptr ? std::uint16_t{0} : running->number, 0,
               static_cast<std::uint64_t>(now.count()), about.number, 0, 0});
  }

  Task& find(TaskId id) {
    const std::uint64_t slot = id.value & 0xfffff;
    PAGEDB_CHECK(id.value != 0 && slot <= tasks.size(), "no such task in this scheduler");
    Task& task = slot == 0 ? root : *tasks[slot - 1];
    PAGEDB_CHECK(id_of(task) == id, "the task was joined already");
    return task;
  }

  Task& waiting_task() {
    PAGEDB_CHECK(running != nullptr, "an event must not wait");
    return *running;
  }

  void make_ready(Task& task) {
    if (task.has_deadline) {
      task.has_deadline = false;
      queue.call_off(task);
    }
    task.wait = Wait::none;
    ready.push_back(&task);
  }

  /// Gives up the processor until `wait` is over.
  void block(Task& self, Wait wait, Time deadline) {
    self.wait = wait;
    self.unparked = false;
    if (stall != Stall::none && wait != Wait::join) {
      make_ready(self);  // nobody waits any more, but the others get their turn
    } else if (deadline < kForever) {
      self.has_deadline = true;
      queue.add(std::max(deadline, now), static_cast<Alarm&>(self));
    }
    if (&self == &root) {
      run_until_root();
    } else {
      self.fiber->suspend();
    }
  }

  void run_until_root() {
    running = nullptr;
    for (;;) {
      while (ready.empty()) advance();
      (void)step();
      Task& task = take_ready();
      running = &task;
      if (&task != last) {
        last = &task;
        add_trace(EventKind::task_run, task);
      }
      if (&task == &root) return;
      task.fiber->resume();
      running = nullptr;
      if (task.wait == Wait::ended) task.fiber.reset();
    }
  }

  Task& take_ready() {
    const auto count = static_cast<std::uint32_t>(ready.size());
    const std::uint32_t index = choices.draw(span, Site::next_fiber, count);
    Task& task = *ready[index];
    ready.erase(ready.begin() + index);
    return task;
  }

  /// Makes the next timed thing happen.
  void advance() {
    const EventQueue::Entry* next = queue.next();
    if (next == nullptr) return give_up(Stall::deadlock);
    if (next->time > limits.time_max && stall == Stall::none) return give_up(Stall::time_limit);
    if (!step()) return;  // whoever was released goes first, and `next` may have been called off
    const EventQueue::Entry entry = queue.pop();
    now = entry.time;
    if (entry.event != nullptr) {
      firing = entry.tag;
      entry.event->fire();
      firing = 0;
    } else {
      auto& task = static_cast<Task&>(*entry.alarm);
      task.has_deadline = false;
      make_ready(task);
    }
  }

  /// Counts a step; false when it was the one too many.
  bool step() {
    if (++steps <= steps_allowed) return true;
    give_up(Stall::step_limit);
    return false;
  }

  /// From here on nothing waits but joins, and those end when the tasks do.
  void give_up(Stall why) {
    if (stall != Stall::none) {
      std::fprintf(stderr,
                   "simulation stalled (%s) and its tasks did not end within %" PRIu64
                   " further steps, at virtual time %" PRId64 " ns\n",
                   stall == Stall::deadlock     ? "deadlock"
                   : stall == Stall::step_limit ? "step limit"
                                                : "time limit",
                   limits.steps_max, static_cast<std::int64_t>(now.count()));
      std::abort();
    }
    stall = why;
    steps_allowed = steps + std::min(limits.steps_max, ~steps);
    if (handler) handler(why);
    release(root);
    for (const auto& task : tasks) release(*task);
  }

  void release(Task& task) {
    if (task.wait == Wait::park || task.wait == Wait::pause) make_ready(task);
  }

  /// What a fiber runs: the body is watched by ThreadSanitizer, the rest is not.
  static void run_task(void* argument) {
    auto& task = *static_cast<Task*>(argument);
    std::function<void()> body;
    {
      const HarnessScope scope;
      body = std::move(task.body);
    }
    body();
    body = nullptr;  // what it captured dies here, on the task
    const HarnessScope scope;
    ordered_before(&task.body);  // a token of its own: who unparked the task is not the joiner's business
    Impl& self = *task.owner;
    self.add_trace(EventKind::task_end, task);
    task.wait = Wait::ended;
    if (task.joiner != nullptr) self.make_ready(*task.joiner);
  }

  Task& new_task() {
    if (idle.empty()) {
      PAGEDB_CHECK(tasks.size() < 0xfffff, "too many tasks at a time");
      tasks.push_back(std::make_unique<Task>());
      tasks.back()->slot = static_cast<std::uint32_t>(tasks.size());
      tasks.back()->owner = this;
      idle.push_back(tasks.back().get());
    }
    Task& task = *idle.back();
    idle.pop_back();
    task.serial = ++spawned;
    task.number = static_cast<std::uint16_t>(1 + (task.serial - 1) % kNumbersMax);
    task.span = Span(span, kSpanFiber, task.serial);
    task.wait = Wait::none;
    task.unparked = task.remembered = false;
    task.joiner = nullptr;
    task.wakers.clear();
    return task;
  }

  /// A park that ended by unpark: what its wakers did is visible from here on.
  static void after_unpark(Task& task) {
    if (!kThreadSanitizer) return;
    ordered_after(&task);
    for (const std::uint64_t waker : task.wakers) ordered_after(reinterpret_cast<const void*>(waker));
    task.wakers.clear();
  }

  /// An address that orders what an event will unpark after the task that adds it now, or after the one that added the
  /// event that is firing now. One an event, because a token of many events would order their tasks among each other
  /// and so hide races; it is used again when it is long out of the race detector's memory.
  std::uint64_t event_token() {
    if (!kThreadSanitizer || running == nullptr || tasks.empty()) return firing;
    constexpr std::uint64_t kTokens = 1 << 16;
    constexpr std::uint64_t kApart = 8;
    if (tokens == nullptr) tokens = std::make_unique<char[]>(kTokens * kApart);
    const char* token = &tokens[tokens_used++ % kTokens * kApart];
    ordered_before(token);
    return reinterpret_cast<std::uintptr_t>(token);
  }
};

SimScheduler::SimScheduler(Choices& choices, const Span& parent, Trace& trace, StackPool& stacks,
                           const SimLimits& limits, std::uint8_t depth)
    : impl_(std::make_unique<Impl>(choices, parent, trace, stacks, limits, depth)) {}

SimScheduler::~SimScheduler() {
  const HarnessScope scope;
  PAGEDB_CHECK(impl_->idle.size() == impl_->tasks.size(), "every task must be joined before its scheduler goes");
}

TaskId SimScheduler::current() noexcept {
  const HarnessScope scope;
  return impl_->running == nullptr ? TaskId{} : Impl::id_of(*impl_->running);
}

bool SimScheduler::park(Time deadline) noexcept {
  const HarnessScope scope;
  Impl::Task& self = impl_->waiting_task();
  if (!self.remembered) {
    impl_->block(self, Wait::park, deadline);
    if (!self.unparked) return false;
  }
  self.remembered = false;  // unparks that came before the task ran again are one
  Impl::after_unpark(self);
  return true;
}

void SimScheduler::unpark(TaskId id) noexcept {
  const HarnessScope scope;
  Impl::Task& task = impl_->find(id);
  if (impl_->running != nullptr) {
    ordered_before(&task);
  } else if (impl_->firing != 0) {
    task.wakers.push_back(impl_->firing);  // the loop itself has run on behalf of everybody, so it orders nothing
  }
  if (task.wait == Wait::park) {
    impl_->make_ready(task);
    task.unparked = true;
  } else {
    task.remembered = true;
  }
}

TaskId SimScheduler::spawn(std::string_view name, std::function<void()> body) {
  const HarnessScope scope;
  PAGEDB_CHECK(body != nullptr, "a task needs a body");
  Impl::Task& task = impl_->new_task();
  if (task.number == impl_->names.size()) {
    impl_->names.emplace_back(name);
  } else {
    impl_->names[task.number] = name;
  }
  task.body = std::move(body);
  task.fiber.emplace(impl_->stacks, &Impl::run_task, &task);
  impl_->add_trace(EventKind::task_start, task);
  impl_->ready.push_back(&task);
  return Impl::id_of(task);
}

void SimScheduler::join(TaskId id) noexcept {
  const HarnessScope scope;
  Impl::Task& task = impl_->find(id);
  Impl::Task& self = impl_->waiting_task();
  PAGEDB_CHECK(&task != &self && &task != &impl_->root, "a task joins neither itself nor the root");
  PAGEDB_CHECK(task.joiner == nullptr, "a task is joined once");
  task.joiner = &self;
  if (task.wait != Wait::ended) impl_->block(self, Wait::join, kForever);
  ordered_after(&task.body);
  task.serial = ~std::uint64_t{0};  // its id names nothing from here on
  impl_->idle.push_back(&task);
}

Time SimScheduler::now() noexcept {
  const HarnessScope scope;
  return impl_->now;
}

void SimScheduler::relax(unsigned attempt) noexcept {
  const HarnessScope scope;
  Impl::Task& self = impl_->waiting_task();
  // Doubles up to a millisecond. The number keeps tasks that collided from colliding again in lockstep for ever.
  const Time pause{(std::int64_t{64} << std::min(attempt, 14u)) + self.number};
  impl_->block(self, Wait::pause, impl_->now + pause);
}

void SimScheduler::at(Time at, TimedEvent& event) {
  const HarnessScope scope;
  PAGEDB_CHECK(at >= impl_->now, "an event cannot happen in the past");
  impl_->queue.add(at, event, impl_->event_token());
}

void SimScheduler::on_stall(std::function<void(Stall)> handler) {
  const HarnessScope scope;
  impl_->handler = std::move(handler);
}

Stall SimScheduler::stall() const noexcept {
  const HarnessScope scope;
  return impl_->stall;
}

std::uint16_t SimScheduler::fiber_number() const noexcept {
  const HarnessScope scope;
  return impl_->running == nullptr ? std::uint16_t{0} : impl_->running->number;
}

const std::string& SimScheduler::fiber_name(std::uint16_t number) const {
  const HarnessScope scope;
  PAGEDB_CHECK(number < impl_->names.size(), "no such fiber");
  return impl_->names[number];
}

Span& SimScheduler::fiber_span() noexcept {
  const HarnessScope scope;
  return impl_->running == nullptr ? impl_->root.span : impl_->running->span;
}

std::uint64_t SimScheduler::steps() const noexcept {
  const HarnessScope scope;
  return impl_->steps;
}

}  // namespace pagedb::sim
