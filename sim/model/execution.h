// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Execution: runs a scenario once, one task at a time, and asks a Policy at each scheduling point who goes next.
//
// It is the engine's Scheduler and what the instrumented engine/sync.h calls. Tasks are fibers on one thread. A task
// stops *before* each operation; an operation that has to wait (a held lock, a park without an unpark, a join) is not
// eligible until it need not. So each operation, once chosen, is done in one go, together with the task's plain code up
// to its next operation.
//
// Time is logical and stands still while anybody can go. A park's deadline comes only when nobody else can: a timeout
// that fires early is not explored.
//
// relax: a task that pauses goes on once every other task that could go when it paused has made a step, or earlier, but
// not twice in a row, once another task has changed something. So retry loops neither run for ever nor multiply the
// schedules. What is not explored: retries that would find everything as it was, and a loop that overtakes a third
// task twice.
//
// Failures: an expectation, a deadlock (everybody waits), a livelock (everybody waits or pauses, and nothing changes),
// a step limit. After all but the first the tasks cannot be ended: the Execution must then be leaked (`stuck`).
//
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/scheduler.h"
#include "sim/fiber.h"
#include "sim/model/objects.h"
#include "sim/model/operation.h"
#include "sim/model/policy.h"
#include "sim/model/schedule.h"

namespace pagedb::sim::model {

/// See the head of this file.
class Execution final : public Scheduler {
 public:
  using Where = std::source_location;
  using Body = std::function<void(Execution&)>;

  explicit Execution(std::uint64_t steps_max = 20'000) : steps_max_(steps_max) {}
  ~Execution() override;

  /// Runs `body` as task 0 until every task has ended. True: nothing failed. Not after a run that got stuck.
  bool run(Policy& policy, const Body& body);

  /// What failed first; empty when nothing did.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  /// Tasks are left that will never end.
  [[nodiscard]] bool stuck() const noexcept { return stuck_; }
  /// The steps of the last run.
  [[nodiscard]] const Schedule& schedule() const noexcept { return schedule_; }
  /// Prints each step of the runs to come on standard error.
  void print_steps(bool print) noexcept { printing_ = print; }

  // ---- for the scenario

  /// Runs the bodies as tasks 1, 2, ... (after those that exist) and waits for all of them. None of them goes before
  /// all are there. Their ids may be used until all of them have ended, or, like those of threads that the scheduler
  /// did not create, each until that one has.
  enum class Ids : std::uint8_t { of_threads, of_joined_tasks };
  void run_tasks(const std::vector<std::pair<std::string_view, std::function<void()>>>& tasks,
                 Ids ids = Ids::of_threads);
  /// Unless `holds`, the run has failed, and `what` says why. The scenario goes on.
  void expect(bool holds, std::string_view what, Where where = Where::current());
  /// A scheduling point before the caller reads plain memory that `object` stands for.
  void read(const void* object, Where where = Where::current()) { access(object, Kind::load, where); }
  /// A scheduling point before the caller changes plain memory that `object` stands for. A racy_copy notices a change
  /// of its bytes only if it is announced this way, word by word.
  void write(const void* object, Where where = Where::current()) { access(object, Kind::store, where); }
  /// Calls an object by a name in printed steps.
  void call(const void* object, std::string name);

  // ---- Scheduler

  [[nodiscard]] TaskId current() noexcept override { return {running_ + 1}; }
  bool park(Time deadline) noexcept override;
  void unpark(TaskId task) noexcept override;
  [[nodiscard]] TaskId spawn(std::string_view name, std::function<void()> body) override;
  void join(TaskId task) noexcept override;
  [[nodiscard]] Time now() noexcept override { return Time(clock_ns_); }
  void relax(unsigned attempt) noexcept override;

  // ---- for the instrumented engine/sync.h and for what prints

  /// The execution that is running now on this thread; null outside.
  [[nodiscard]] static Execution* running() noexcept;
  void born(const void* word) { objects_.born(word, running_); }
  void before(const void* word, Kind kind, const Where& where);
  void after(bool changed, std::uint64_t seen = 0);
  void lock(std::uint32_t* owner, const Where& where);
  void unlock(std::uint32_t* owner, const Where& where);

 private:
  struct Task {
    Execution* execution = nullptr;
    std::string name;
    std::function<void()> body;
    std::unique_ptr<Fiber> fiber;
    std::uint32_t token = 0;  // object: the remembered unpark
    bool alive = false;
    bool foreign = false;  // its id ends with it, not when it is joined
    bool id_valid = false;
    bool unparked = false;
    bool timed_out = false;
    // While it pauses:
    TaskSet owed = 0;         // who has to make a step first
    bool had_owed = false;    // somebody had
    bool saw_change = false;  // another task has changed something
    bool early = false;       // it went on the last time before all that it owed to
    bool released = false;    // nobody else could go
  };

  void access(const void* object, Kind kind, const Where& where);
  TaskIndex start(std::string_view name, std::function<void()> body);
  void wait_for(TaskSet tasks, const Where& where);
  void point(const Operation& operation);
  void ended(TaskIndex task);
  [[nodiscard]] TaskIndex decide();
  [[nodiscard]] TaskSet eligible();
  [[nodiscard]] bool may_go_on(const Task& task) const noexcept;
  [[nodiscard]] bool let_time_pass();
  [[nodiscard]] std::uint64_t pauses() const noexcept;
  TaskIndex give_up(std::string_view what);
  void report(const Event& event);
  void happened(Kind kind, std::uint32_t object, bool changed, std::uint64_t seen);
  [[nodiscard]] std::string describe(TaskIndex task) const;

  const std::uint64_t steps_max_;
  StackPool stacks_;
  Objects objects_;
  Policy* policy_ = nullptr;
  std::array<Task, kTasksMax> tasks_;
  std::array<Operation, kTasksMax> pending_{};
  unsigned started_ = 0;
  unsigned alive_ = 0;
  TaskIndex running_ = 0;
  TaskIndex next_ = kNobody;
  TaskSet pausing_ = 0;
  bool paused_ = false;  // anybody ever did
  std::int64_t clock_ns_ = 0;
  unsigned idle_rounds_ = 0;
  std::uint32_t spawns_ = 0;  // object: the order of spawns
  Schedule schedule_;
  std::string failure_;
  bool stuck_ = false;
  bool printing_ = false;
};

}  // namespace pagedb::sim::model
