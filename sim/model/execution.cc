// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Scheduling points, who is eligible, and what is printed of it.
#include "sim/model/execution.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/check.h"
#include "engine/sync.h"
#include "sim/sanitizer.h"

const char pagedb_sync_is_model = 1;

namespace pagedb::sim::model {
namespace {

// The only way from a word in the engine to whoever explores it. A thread explores one thing at a time.
thread_local Execution* current_execution = nullptr;

constexpr unsigned kIdleRoundsMax = 2000;
constexpr std::int64_t kIdleRoundNs = 1'000'000;

const char* file_name(const char* path) noexcept {
  for (const char* root : {"/engine/", "/sim/"})
    if (const char* found = std::strstr(path, root)) return found + 1;
  return path;
}

}  // namespace

const char* name(Kind kind) noexcept {
  static constexpr const char* kNames[] = {"begin", "load", "store", "update", "racy read", "unpark",
                                           "spawn", "lock", "park",  "join",   "relax",     "unlock"};
  return kNames[static_cast<std::size_t>(kind)];
}

Execution* Execution::running() noexcept { return current_execution; }

Execution::~Execution() { PAGEDB_CHECK(!stuck_, "an execution that got stuck must be leaked"); }

bool Execution::run(Policy& policy, const Body& body) {
  PAGEDB_CHECK(current_execution == nullptr && !stuck_, "one execution at a time, and none after one that got stuck");
  policy_ = &policy;
  objects_.clear();
  schedule_.clear();
  failure_.clear();
  started_ = alive_ = 0;
  running_ = 0;
  pausing_ = 0;
  clock_ns_ = 0;
  idle_rounds_ = 0;
  paused_ = false;
  spawns_ = objects_.born(&spawns_, 0);
  start("main", [this, &body] { body(*this); });
  current_execution = this;
  running_ = kNobody;
  next_ = decide();
  while (next_ != kNobody) {
    running_ = next_;
    Fiber& fiber = *tasks_[running_].fiber;
    ordered_before(this);  // one thread, and no task sees another one's half-done step
    fiber.resume();
    ordered_after(this);
    if (fiber.ended()) ended(running_);
  }
  current_execution = nullptr;
  return failure_.empty();
}

TaskIndex Execution::start(std::string_view name, std::function<void()> body) {
  PAGEDB_CHECK(started_ < kTasksMax, "an execution has at most 16 tasks");
  const TaskIndex index = started_++;
  Task& task = tasks_[index];
  task = Task{};
  task.execution = this;
  task.name = name;
  task.body = std::move(body);
  task.token = objects_.born(&task, running_);
  task.alive = task.id_valid = true;
  task.fiber = std::make_unique<Fiber>(
      stacks_,
      [](void* argument) {
        auto& self = *static_cast<Task*>(argument);
        ordered_after(self.execution);
        self.execution->happened(Kind::begin, 0, false, 0);
        self.body();
        self.body = nullptr;
        ordered_before(self.execution);
      },
      &task);
  pending_[index] = Operation{};
  ++alive_;
  return index;
}

void Execution::ended(TaskIndex index) {
  Task& task = tasks_[index];
  task.alive = false;
  if (task.foreign) task.id_valid = false;
  task.fiber.reset();
  pending_[index] = Operation{};
  --alive_;
  next_ = alive_ == 0 ? kNobody : decide();
}

// ---- scheduling points

void Execution::point(const Operation& operation) {
  const TaskIndex self = running_;
  pending_[self] = operation;
  pending_[self].object_id = objects_.id_of(operation.object);
  const TaskIndex next = decide();
  if (next == self) return;
  next_ = next;
  ordered_before(this);
  tasks_[self].fiber->suspend();
  ordered_after(this);
}

TaskIndex Execution::decide() {
  TaskSet able = eligible();
  while (able == 0) {
    if (!let_time_pass()) return give_up(pausing_ != 0 ? "livelock: those who do not wait only pause" : "deadlock");
    able = eligible();
  }
  if (schedule_.size() >= steps_max_) return give_up("step limit");
  const Choice choice{able, running_, &pending_, paused_ || clock_ns_ != 0 ? pauses() : 0, schedule_.size()};
  const TaskIndex chosen = policy_->choose(choice);
  PAGEDB_CHECK(chosen < kTasksMax && (able & set_of(chosen)) != 0, "a policy chooses among those who can go");
  schedule_.push_back(static_cast<std::uint8_t>(chosen));
  return chosen;
}

TaskSet Execution::eligible() {
  TaskSet able = 0;
  TaskSet living = 0;
  pausing_ = 0;
  for (TaskIndex i = 0; i < started_; ++i)
    if (tasks_[i].alive) living |= set_of(i);
  for (TaskIndex i = 0; i < started_; ++i) {
    if ((living & set_of(i)) == 0) continue;
    const Operation& operation = pending_[i];
    bool can = true;
    switch (operation.kind) {
      case Kind::lock:
        can = *operation.lock_owner == 0;
        break;
      case Kind::park:
        can = tasks_[i].unparked || tasks_[i].timed_out;
        break;
      case Kind::join:
        can = (operation.waits_for & living) == 0;
        break;
      case Kind::relax:
        can = false;
        pausing_ |= set_of(i);
        break;
      default:
        break;
    }
    if (can) able |= set_of(i);
  }
  if (pausing_ == 0) return able;
  const TaskSet not_pausing = able;
  for (TaskIndex i = 0; i < started_; ++i) {
    if ((pausing_ & set_of(i)) == 0) continue;
    tasks_[i].owed &= not_pausing;
    if (may_go_on(tasks_[i])) able |= set_of(i);
  }
  return able;
}

bool Execution::may_go_on(const Task& task) const noexcept {
  if (task.released) return true;
  if (task.owed == 0) return task.had_owed || task.saw_change;
  return task.saw_change && !task.early;
}

bool Execution::let_time_pass() {
  Task* first = nullptr;
  std::int64_t deadline = kForever.count();
  for (TaskIndex i = 0; i < started_; ++i) {
    if (!tasks_[i].alive || pending_[i].kind != Kind::park || pending_[i].deadline_ns >= deadline) continue;
    first = &tasks_[i];
    deadline = pending_[i].deadline_ns;
  }
  if (first != nullptr) {
    clock_ns_ = std::max(clock_ns_, deadline);
    first->timed_out = true;
    return true;
  }
  if (pausing_ == 0 || ++idle_rounds_ > kIdleRoundsMax) return false;
  clock_ns_ += kIdleRoundNs;
  for (TaskIndex i = 0; i < started_; ++i)
    if ((pausing_ & set_of(i)) != 0) tasks_[i].released = true;
  return true;
}

std::uint64_t Execution::pauses() const noexcept {
  std::uint64_t digest = mixed(static_cast<std::uint64_t>(clock_ns_));
  for (TaskIndex i = 0; i < started_; ++i) {
    const Task& task = tasks_[i];
    const bool pauses = (pausing_ & set_of(i)) != 0;
    const unsigned flags = (pauses ? 1u : 0u) | (task.had_owed ? 2u : 0u) | (task.saw_change ? 4u : 0u) |
                           (task.early ? 8u : 0u) | (task.released ? 16u : 0u);
    if (pauses || task.early) digest = mixed(digest, (std::uint64_t{task.owed} << 16) | (i << 8) | flags);
  }
  return digest;
}

void Execution::happened(Kind kind, std::uint32_t object, bool changed, std::uint64_t seen) {
  if (changed) idle_rounds_ = 0;
  if (pausing_ != 0) {
    for (TaskIndex i = 0; i < started_; ++i) {
      if (i == running_) continue;
      tasks_[i].owed &= ~set_of(running_);
      if (changed) tasks_[i].saw_change = true;
    }
  }
  const Event event{running_, kind, object, objects_.id_of(object), changed, seen, alive_ == 1};
  if (printing_) report(event);
  policy_->executed(event);
}

// ---- words

void Execution::before(const void* word, Kind kind, const Where& where) {
  Operation operation;
  operation.kind = kind;
  operation.object = objects_.at(word, running_);
  operation.where = where;
  point(operation);
}

void Execution::after(bool changed, std::uint64_t seen) {
  const Operation& done = pending_[running_];
  happened(done.kind, done.object, changed, seen);
}

void Execution::access(const void* object, Kind kind, const Where& where) {
  before(object, kind, where);
  after(kind == Kind::store);
}

void Execution::lock(std::uint32_t* owner, const Where& where) {
  Operation operation;
  operation.kind = Kind::lock;
  operation.object = objects_.at(owner, running_);
  operation.lock_owner = owner;
  operation.where = where;
  point(operation);
  *owner = running_ + 1;
  happened(Kind::lock, operation.object, true, 0);
}

void Execution::unlock(std::uint32_t* owner, const Where& where) {
  PAGEDB_CHECK(*owner == running_ + 1, "a lock is given back by the task that took it");
  *owner = 0;
  pending_[running_].where = where;
  happened(Kind::unlock, objects_.at(owner, running_), true, 0);
}

// ---- Scheduler

bool Execution::park(Time deadline) noexcept {
  Task& self = tasks_[running_];
  Operation operation;
  operation.kind = Kind::park;
  operation.object = self.token;
  operation.deadline_ns = deadline.count();
  self.timed_out = deadline.count() <= clock_ns_;
  point(operation);
  const bool unparked = std::exchange(self.unparked, false);
  self.timed_out = false;
  happened(Kind::park, self.token, unparked, unparked ? 1 : 0);
  return unparked;
}

void Execution::unpark(TaskId task) noexcept {
  const auto index = static_cast<TaskIndex>(task.value - 1);
  PAGEDB_CHECK(index < started_, "no such task");
  Operation operation;
  operation.kind = Kind::unpark;
  operation.object = tasks_[index].token;
  point(operation);
  PAGEDB_CHECK(tasks_[index].id_valid, "a task is unparked that has been joined, or a thread that has ended");
  const bool changed = !std::exchange(tasks_[index].unparked, true);
  happened(Kind::unpark, operation.object, changed, 0);
}

TaskId Execution::spawn(std::string_view name, std::function<void()> body) {
  if (alive_ > 1) {
    Operation operation;
    operation.kind = Kind::spawn;
    operation.object = spawns_;
    point(operation);
  }
  const TaskIndex task = start(name, std::move(body));
  happened(Kind::spawn, spawns_, true, 0);
  return {task + 1};
}

void Execution::join(TaskId task) noexcept {
  PAGEDB_CHECK(task.value >= 1 && task.value <= started_, "no such task");
  wait_for(set_of(static_cast<TaskIndex>(task.value - 1)), Where::current());
}

void Execution::run_tasks(const std::vector<std::pair<std::string_view, std::function<void()>>>& tasks, Ids ids) {
  TaskSet all = 0;
  for (const auto& [name, body] : tasks) {
    const TaskIndex task = start(name, body);
    tasks_[task].foreign = ids == Ids::of_threads;
    happened(Kind::spawn, spawns_, true, 0);
    all |= set_of(task);
  }
  wait_for(all, Where::current());
}

void Execution::wait_for(TaskSet tasks, const Where& where) {
  Operation operation;
  operation.kind = Kind::join;
  operation.waits_for = tasks;
  operation.where = where;
  point(operation);
  for (TaskIndex i = 0; i < started_; ++i)
    if ((tasks & set_of(i)) != 0) tasks_[i].id_valid = false;
  happened(Kind::join, 0, false, 0);
}

void Execution::relax(unsigned attempt) noexcept {
  Task& self = tasks_[running_];
  paused_ = true;
  if (attempt == 0) self.early = false;
  Operation operation;
  operation.kind = Kind::relax;
  pending_[running_].kind = Kind::relax;  // so that it does not owe to itself
  self.had_owed = self.saw_change = self.released = false;
  self.owed = 0;
  self.owed = eligible() & ~pausing_;
  self.had_owed = self.owed != 0;
  point(operation);
  self.early = self.owed != 0 && !self.released;
  happened(Kind::relax, 0, false, 0);
}

// ---- failures, and what people see

void Execution::expect(bool holds, std::string_view what, Where where) {
  if (holds || !failure_.empty()) return;
  failure_ = std::string(file_name(where.file_name())) + ':' + std::to_string(where.line()) + ": " + std::string(what);
  if (printing_) std::fprintf(stderr, "        expectation failed: %s\n", failure_.c_str());
}

TaskIndex Execution::give_up(std::string_view what) {
  if (!failure_.empty()) failure_ += "; then ";
  failure_ += what;
  for (TaskIndex i = 0; i < started_; ++i)
    if (tasks_[i].alive) failure_ += "\n    " + describe(i);
  stuck_ = true;
  return kNobody;
}

std::string Execution::describe(TaskIndex task) const {
  const Operation& operation = pending_[task];
  std::string text = "task " + std::to_string(task) + ' ' + tasks_[task].name + ": " + name(operation.kind);
  if (operation.object != 0 && operation.kind != Kind::park) text += ' ' + objects_.name_of(operation.object);
  if (operation.kind == Kind::lock && *operation.lock_owner != 0)
    text += " held by task " + std::to_string(*operation.lock_owner - 1);
  if (operation.where.line() != 0)
    text += std::string(" at ") + file_name(operation.where.file_name()) + ':' + std::to_string(operation.where.line());
  return text;
}

void Execution::call(const void* object, std::string name) { objects_.call(object, running_, std::move(name)); }

void Execution::report(const Event& event) {
  const Where& where = pending_[event.task].where;
  const bool has_place = where.line() != 0 && event.kind != Kind::begin && event.kind != Kind::spawn;
  std::fprintf(stderr, "  %5zu task %u %-12s %-9s %-24s %s%s%s%s\n", schedule_.size(), event.task,
               tasks_[event.task].name.c_str(), name(event.kind), objects_.name_of(event.object).c_str(),
               event.changed ? "" : "(unchanged) ", has_place ? file_name(where.file_name()) : "", has_place ? ":" : "",
               has_place ? std::to_string(where.line()).c_str() : "");
}

}  // namespace pagedb::sim::model

// ---- what the instrumented engine/sync.h calls

namespace pagedb::sync::detail {
namespace {

using sim::model::Execution;
using sim::model::Kind;

constexpr Kind kind_of(Access access) noexcept {
  switch (access) {
    case Access::load:
      return Kind::load;
    case Access::store:
      return Kind::store;
    case Access::update:
      return Kind::update;
    case Access::racy:
      break;
  }
  return Kind::racy;
}

constexpr std::uint32_t kNoTask = ~std::uint32_t{0};

}  // namespace

void born(const void* word) noexcept {
  if (Execution* execution = Execution::running()) execution->born(word);
}
void before(const void* word, Access access, const std::source_location& where) noexcept {
  if (Execution* execution = Execution::running()) execution->before(word, kind_of(access), where);
}
void after(bool changed) noexcept {
  if (Execution* execution = Execution::running()) execution->after(changed);
}
void after_racy(std::uint64_t seen) noexcept {
  if (Execution* execution = Execution::running()) execution->after(false, seen);
}
void lock(std::uint32_t* owner, const std::source_location& where) noexcept {
  if (Execution* execution = Execution::running()) return execution->lock(owner, where);
  PAGEDB_CHECK(*owner == 0, "outside an exploration nobody will give the lock back");
  *owner = kNoTask;
}
void unlock(std::uint32_t* owner, const std::source_location& where) noexcept {
  if (Execution* execution = Execution::running()) return execution->unlock(owner, where);
  *owner = 0;
}

}  // namespace pagedb::sync::detail
