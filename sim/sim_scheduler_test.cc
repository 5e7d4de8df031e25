// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The scheduler in virtual time: order, determinism, remembered unparks, deadlines and nesting. What happens when
// nothing can go on is in sim_scheduler_stall_test.cc.
#include "sim/sim_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/sanitizer.h"
#include "sim/testing/world.h"

namespace pagedb::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;

TEST(SimScheduler, ZeroRunsWhatBecameReadyFirst) {
  Always first(0);
  World world(first);
  Log log;
  std::vector<TaskId> ids;
  for (const std::string name : {"a", "b", "c"}) {
    ids.push_back(world.scheduler.spawn(name, [&, name] { log += name; }));
  }
  for (const TaskId id : ids) world.scheduler.join(id);
  EXPECT_EQ(log.text(), "abc");
}

TEST(SimScheduler, OtherDecisionsGiveOtherOrders) {
  Always last(99);
  World world(last);
  Log log;
  std::vector<TaskId> ids;
  for (const std::string name : {"a", "b", "c"}) {
    ids.push_back(world.scheduler.spawn(name, [&, name] { log += name; }));
  }
  for (const TaskId id : ids) world.scheduler.join(id);
  EXPECT_EQ(log.text(), "cba");
}

TEST(SimScheduler, ASpawnedTaskRunsOnlyWhenTheSpawnerWaits) {
  World world;
  Log log;
  const TaskId id = world.scheduler.spawn("task", [&] { log += "task "; });
  log += "root ";
  world.scheduler.join(id);
  EXPECT_EQ(log.text(), "root task ");
}

TEST(SimScheduler, TimeAdvancesToEventsInOrderOfTimeThenInsertion) {
  World world;
  std::string log;
  const TaskId root = world.scheduler.current();
  Callback late([&] {
    log += "late";
    world.scheduler.unpark(root);
  });
  Callback one([&] { log += "one "; });
  Callback two([&] { log += "two "; });
  world.scheduler.at(microseconds(9), late);
  world.scheduler.at(microseconds(5), one);
  world.scheduler.at(microseconds(5), two);
  EXPECT_TRUE(world.scheduler.park(kForever));
  EXPECT_EQ(log, "one two late");
  EXPECT_EQ(world.scheduler.now(), Time(microseconds(9)));
  EXPECT_EQ(world.stacks.stacks_mapped(), 0u);  // the root waited on its own stack
  EXPECT_EQ(world.trace.count(), 0u);
}

TEST(SimScheduler, AnEventMayAddEvents) {
  World world;
  const TaskId root = world.scheduler.current();
  Callback second([&] { world.scheduler.unpark(root); });
  Callback first([&] { world.scheduler.at(world.scheduler.now() + microseconds(3), second); });
  world.scheduler.at(microseconds(4), first);
  EXPECT_TRUE(world.scheduler.park(kForever));
  EXPECT_EQ(world.scheduler.now(), Time(microseconds(7)));
}

TEST(SimScheduler, AnUnparkThatCameFirstIsRememberedOnce) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  scheduler.unpark(scheduler.current());
  scheduler.unpark(scheduler.current());
  EXPECT_TRUE(scheduler.park(kForever));
  EXPECT_EQ(scheduler.now(), Time(0));
  EXPECT_FALSE(scheduler.park(microseconds(1)));
}

TEST(SimScheduler, DeadlinesEndParks) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  EXPECT_FALSE(scheduler.park(microseconds(5)));
  EXPECT_EQ(scheduler.now(), Time(microseconds(5)));
  EXPECT_FALSE(scheduler.park(microseconds(1)));  // a deadline in the past is one that has come
  EXPECT_EQ(scheduler.now(), Time(microseconds(5)));
}

TEST(SimScheduler, AnUnparkCallsTheDeadlineOff) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  const TaskId root = scheduler.current();
  Callback wake([&] { scheduler.unpark(root); });
  scheduler.at(microseconds(2), wake);
  EXPECT_TRUE(scheduler.park(microseconds(5)));
  EXPECT_EQ(scheduler.now(), Time(microseconds(2)));
  EXPECT_FALSE(scheduler.park(microseconds(9)));  // the old deadline would end it at 5
  EXPECT_EQ(scheduler.now(), Time(microseconds(9)));
}

TEST(SimScheduler, ACalledOffDeadlineDoesNotHideADeadlock) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  const TaskId root = scheduler.current();
  Callback wake([&] { scheduler.unpark(root); });
  scheduler.at(microseconds(2), wake);
  EXPECT_TRUE(scheduler.park(microseconds(5)));
  EXPECT_FALSE(scheduler.park(kForever));
  EXPECT_EQ(scheduler.stall(), Stall::deadlock);
  EXPECT_EQ(scheduler.now(), Time(microseconds(2)));
}

TEST(SimScheduler, NeitherAPauseNorAJoinSwallowsAnUnpark) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  scheduler.unpark(scheduler.current());
  scheduler.relax(0);
  const TaskId task = scheduler.spawn("task", [&] { scheduler.relax(3); });
  scheduler.join(task);
  const Time before = scheduler.now();
  EXPECT_TRUE(scheduler.park(before + microseconds(1)));
  EXPECT_EQ(scheduler.now(), before);
}

TEST(SimScheduler, RelaxLetsOthersRunAndLengthens) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  bool open = false;
  const TaskId opener = scheduler.spawn("opener", [&] {
    (void)scheduler.park(microseconds(20));
    const HarnessScope scope;
    open = true;
  });
  std::vector<Time> pauses;
  for (unsigned attempt = 0;; ++attempt) {
    const Time before = scheduler.now();
    scheduler.relax(attempt);
    pauses.push_back(scheduler.now() - before);
    const HarnessScope scope;
    if (open) break;
  }
  scheduler.join(opener);
  EXPECT_THAT(pauses.size(), testing::Lt(12u));
  for (std::size_t i = 1; i < pauses.size(); ++i) EXPECT_GT(pauses[i], pauses[i - 1]);
  const Time before = scheduler.now();
  scheduler.relax(1'000'000);
  EXPECT_LT(scheduler.now() - before, Time(milliseconds(2)));
}

TEST(SimScheduler, TasksHandOverByParkAndUnpark) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  int turns = 0;  // ordered by unpark alone, so watched by ThreadSanitizer
  LateId ping;
  LateId pong;
  ping = scheduler.spawn("ping", [&] {
    while (turns < 100) {
      if (turns % 2 == 0) {
        ++turns;
        scheduler.unpark(pong);
      }
      (void)scheduler.park(kForever);
    }
    scheduler.unpark(pong);
  });
  pong = scheduler.spawn("pong", [&] {
    (void)scheduler.park(kForever);
    while (turns < 100) {
      if (turns % 2 == 1) {
        ++turns;
        scheduler.unpark(ping);
      }
      (void)scheduler.park(kForever);
    }
  });
  scheduler.join(ping);
  scheduler.join(pong);
  EXPECT_EQ(turns, 100);
  EXPECT_EQ(scheduler.stall(), Stall::none);
}

TEST(SimScheduler, JoinWaitsAndTasksMayJoinTasks) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  std::string log;  // ordered by join
  const TaskId outer = scheduler.spawn("outer", [&] {
    const TaskId inner = scheduler.spawn("inner", [&] {
      (void)scheduler.park(microseconds(50));
      log += "inner ";
    });
    scheduler.join(inner);
    log += "outer ";
  });
  scheduler.join(outer);
  EXPECT_EQ(log, "inner outer ");
  EXPECT_EQ(scheduler.now(), Time(microseconds(50)));
}

TEST(SimScheduler, WhatABodyCapturedDiesOnTheTask) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  auto held = std::make_shared<int>(5);
  const std::weak_ptr<int> watch = held;
  const TaskId task = scheduler.spawn("task", [&scheduler, held = std::move(held)] { (void)scheduler.park(Time(1)); });
  EXPECT_FALSE(watch.expired());
  scheduler.join(task);
  EXPECT_TRUE(watch.expired());
}

TEST(SimScheduler, WhatABodyCapturedMayWaitWhileItDies) {
  struct Lingers {
    SimScheduler& scheduler;
    std::string& log;
    Lingers(SimScheduler& scheduler_in, std::string& log_in) : scheduler(scheduler_in), log(log_in) {}
    ~Lingers() {
      scheduler.relax(0);
      log += "died ";
    }
  };
  World world;
  SimScheduler& scheduler = world.scheduler;
  std::string log;  // ordered by join
  auto held = std::make_shared<Lingers>(scheduler, log);
  const TaskId task = scheduler.spawn("task", [held = std::move(held)] {});
  scheduler.join(task);
  log += "joined";
  EXPECT_EQ(log, "died joined");
}

TEST(SimScheduler, ATaskGivesItsStackBackWhenItEndsNotWhenItIsJoined) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  const TaskId one = scheduler.spawn("one", [] {});
  scheduler.relax(0);
  const TaskId two = scheduler.spawn("two", [] {});
  scheduler.join(two);
  scheduler.join(one);
  EXPECT_EQ(world.stacks.stacks_mapped(), 1u);
}

TEST(SimScheduler, FibersHaveNumbersNamesAndSpansOfTheirOwn) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  EXPECT_EQ(scheduler.fiber_number(), 0);
  EXPECT_EQ(scheduler.fiber_name(0), "root");
  const std::uint64_t root_span = scheduler.fiber_span().id();
  std::vector<std::uint64_t> spans;
  for (std::uint16_t i = 1; i <= 3; ++i) {
    const TaskId task = scheduler.spawn("task " + std::to_string(i), [&, i] {
      EXPECT_EQ(scheduler.fiber_number(), i);
      (void)scheduler.park(scheduler.now() + microseconds(1));
      EXPECT_EQ(scheduler.fiber_number(), i);
      spans.push_back(scheduler.fiber_span().id());
    });
    scheduler.join(task);
    EXPECT_EQ(scheduler.fiber_name(i), "task " + std::to_string(i));
  }
  EXPECT_THAT(spans, testing::Each(testing::Ne(root_span)));
  EXPECT_NE(spans[0], spans[1]);
  EXPECT_NE(spans[1], spans[2]);
}

TEST(SimScheduler, TracesStartsRunsAndEnds) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  const TaskId task = scheduler.spawn("task", [&] {
    (void)scheduler.park(microseconds(2));
    (void)scheduler.park(microseconds(3));
  });
  scheduler.join(task);
  std::vector<std::string> seen;
  for (const Event& event : world.trace.events()) {
    const char* kind = event.kind == EventKind::task_start ? "start "
                       : event.kind == EventKind::task_run ? "run "
                       : event.kind == EventKind::task_end ? "end "
                                                           : "? ";
    seen.push_back(kind + std::to_string(event.a) + " by " + std::to_string(event.fiber) + " at " +
                   std::to_string(event.time_ns));
  }
  EXPECT_THAT(seen, ElementsAre("start 1 by 0 at 0", "run 1 by 1 at 0", "end 1 by 1 at 3000", "run 0 by 0 at 3000"));
}

/// A small run with many decisions: fibers that sleep, wake each other, and end at their own times.
std::uint64_t busy_run(std::uint64_t seed) {
  World world({}, seed, false);
  SimScheduler& scheduler = world.scheduler;
  std::array<LateId, 8> ids;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = scheduler.spawn("task", [&, i] {
      for (std::size_t step = 0; step < 20; ++step) {
        const Time until = scheduler.now() + Time(static_cast<std::int64_t>(100 * (1 + (i * step) % 3)));
        (void)scheduler.park(until);
        if (i < 7) scheduler.unpark(ids[7]);
        if (i > 0) scheduler.relax(0);
      }
      (void)scheduler.park(microseconds(100));
    });
  }
  for (const TaskId id : ids) scheduler.join(id);
  EXPECT_EQ(scheduler.stall(), Stall::none);
  return world.trace.hash();
}

TEST(SimScheduler, TheTraceFollowsFromTheSeed) {
  EXPECT_EQ(busy_run(1), busy_run(1));
  EXPECT_NE(busy_run(1), busy_run(2));
  EXPECT_EQ(busy_run(1), 14774214431904192814u);  // pinned: every compiler and build type must agree
}

TEST(SimScheduler, TenThousandTasksInTurnShareAStack) {
  World world({}, 1, false);
  SimScheduler& scheduler = world.scheduler;
  int ran = 0;
  for (int i = 0; i < 10'000; ++i) scheduler.join(scheduler.spawn("task", [&] { ++ran; }));
  EXPECT_EQ(ran, 10'000);
  EXPECT_EQ(world.stacks.stacks_mapped(), 1u);
}

TEST(SimScheduler, MoreTasksThanTraceNumbers) {
  World world({}, 1, false);
  SimScheduler& scheduler = world.scheduler;
  std::uint16_t last = 0;
  // ThreadSanitizer's own bookkeeping of tasks is slow; the numbers are the same there.
  const int tasks = kThreadSanitizer ? 1'000 : 70'000;
  for (int i = 0; i < tasks; ++i) scheduler.join(scheduler.spawn("task", [&] { last = scheduler.fiber_number(); }));
  EXPECT_EQ(last, 1 + (tasks - 1) % 65'535);
  EXPECT_EQ(scheduler.fiber_name(last), "task");
}

TEST(SimScheduler, ASchedulerMayLiveInsideATaskOfAnother) {
  World world;
  SimScheduler& outer = world.scheduler;
  std::string log;
  const TaskId host = outer.spawn("host", [&] {
    (void)outer.park(microseconds(10));
    {
      SimScheduler inner(world.choices, Span(outer.fiber_span(), 1, 1), world.trace, world.stacks, {}, 1);
      int done = 0;
      const TaskId a = inner.spawn("a", [&] {
        (void)inner.park(microseconds(1));
        ++done;
      });
      inner.join(a);
      const TaskId b = inner.spawn("b", [&] {
        (void)inner.park(microseconds(2));
        ++done;
      });
      inner.join(b);
      EXPECT_EQ(done, 2);
      EXPECT_EQ(inner.now(), Time(microseconds(2)));
      log += "inner ";
    }
    EXPECT_EQ(outer.now(), Time(microseconds(10)));
    (void)outer.park(microseconds(20));
    log += "host ";
  });
  const TaskId other = outer.spawn("other", [&] { (void)outer.park(microseconds(15)); });
  outer.join(host);
  outer.join(other);
  EXPECT_EQ(log, "inner host ");
  EXPECT_EQ(outer.now(), Time(microseconds(20)));
  EXPECT_EQ(world.trace.events()[5].depth, 1);
}

TEST(SimScheduler, ASchedulerMayLiveInsideAnEventOfAnother) {
  World world;
  SimScheduler& outer = world.scheduler;
  const TaskId root = outer.current();
  Time inner_end{};
  Callback recovery([&] {
    SimScheduler inner(world.choices, Span(Span(), 1, 1), world.trace, world.stacks, {}, 1);
    inner.join(inner.spawn("a", [&] { (void)inner.park(microseconds(7)); }));
    inner_end = inner.now();
    outer.unpark(root);
  });
  outer.at(microseconds(3), recovery);
  EXPECT_TRUE(outer.park(kForever));
  EXPECT_EQ(inner_end, Time(microseconds(7)));
  EXPECT_EQ(outer.now(), Time(microseconds(3)));
}

TEST(SimSchedulerDeathTest, AnUnjoinedTaskAborts) {
  EXPECT_DEATH(
      {
        World world;
        (void)world.scheduler.spawn("task", [] {});
      },
      "every task must be joined");
}

TEST(SimSchedulerDeathTest, BrokenContractsAbort) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  const TaskId joined = scheduler.spawn("task", [] {});
  scheduler.join(joined);
  EXPECT_DEATH(scheduler.join(joined), "joined already");
  EXPECT_DEATH(scheduler.unpark(joined), "joined already");
  EXPECT_DEATH(scheduler.unpark(TaskId{}), "no such task");
  EXPECT_DEATH(scheduler.unpark(TaskId{12345}), "no such task");
  EXPECT_DEATH(scheduler.join(scheduler.current()), "neither itself nor the root");
  EXPECT_DEATH((void)scheduler.spawn("task", nullptr), "needs a body");
  Callback waits([&] { (void)scheduler.park(kForever); });
  scheduler.at(Time(1), waits);
  EXPECT_DEATH((void)scheduler.park(kForever), "must not wait");
  Callback nothing([] {});
  EXPECT_DEATH(
      {
        (void)scheduler.park(Time(0));
        scheduler.at(Time(-1), nothing);
      },
      "in the past");
}

}  // namespace
}  // namespace pagedb::sim
