// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The scheduler when nothing can go on: deadlock and limits call the handler once, everything unwinds, or the process
// aborts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "sim/sanitizer.h"
#include "sim/sim_scheduler.h"
#include "sim/testing/world.h"

namespace pagedb::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;

TEST(SimSchedulerStall, ADeadlockCallsTheHandlerOnceAndUnwinds) {
  World world;
  SimScheduler& scheduler = world.scheduler;
  bool sealed = false;
  std::vector<Stall> stalls;
  scheduler.on_stall([&](Stall why) {
    stalls.push_back(why);
    sealed = true;
  });
  const auto is_sealed = [&] {
    const HarnessScope scope;
    return sealed;
  };
  std::vector<TaskId> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(scheduler.spawn("stuck", [&] {
      while (!is_sealed()) (void)scheduler.park(kForever);
      EXPECT_FALSE(scheduler.park(kForever));  // from here on nothing waits
      scheduler.relax(9);
    }));
  }
  for (const TaskId id : ids) scheduler.join(id);
  EXPECT_THAT(stalls, ElementsAre(Stall::deadlock));
  EXPECT_EQ(scheduler.stall(), Stall::deadlock);
  EXPECT_EQ(scheduler.now(), Time(0));
}

TEST(SimSchedulerStall, TheStepLimitStopsTasksThatRunInCircles) {
  World world({.steps_max = 1'000});
  SimScheduler& scheduler = world.scheduler;
  bool sealed = false;
  scheduler.on_stall([&](Stall) { sealed = true; });
  const auto circle = [&] {
    for (;;) {
      scheduler.relax(0);
      const HarnessScope scope;
      if (sealed) return;
    }
  };
  const TaskId one = scheduler.spawn("one", circle);
  const TaskId two = scheduler.spawn("two", circle);
  scheduler.join(one);
  scheduler.join(two);
  EXPECT_EQ(scheduler.stall(), Stall::step_limit);
  EXPECT_GT(scheduler.steps(), 1'000u);
  EXPECT_LT(scheduler.steps(), 1'010u);
}

TEST(SimSchedulerStall, TheStepLimitStopsEventsThatFeedThemselves) {
  World world({.steps_max = 1'000});
  SimScheduler& scheduler = world.scheduler;
  bool sealed = false;
  scheduler.on_stall([&](Stall) { sealed = true; });
  Callback tick([&] {
    if (!sealed) scheduler.at(scheduler.now() + Time(1), tick);
  });
  scheduler.at(Time(1), tick);
  EXPECT_FALSE(scheduler.park(kForever));
  EXPECT_EQ(scheduler.stall(), Stall::step_limit);
  EXPECT_EQ(scheduler.now(), Time(1'000));
}

TEST(SimSchedulerStall, TheStepLimitReleasesParksWithDeadlinesAndPauses) {
  World world({.steps_max = 100});
  SimScheduler& scheduler = world.scheduler;
  const TaskId sleeper = scheduler.spawn("sleeper", [&] { EXPECT_FALSE(scheduler.park(milliseconds(1))); });
  const TaskId patient = scheduler.spawn("patient", [&] { scheduler.relax(99); });
  while (scheduler.stall() == Stall::none) scheduler.relax(0);
  scheduler.join(sleeper);
  scheduler.join(patient);
  EXPECT_EQ(scheduler.stall(), Stall::step_limit);
  EXPECT_LT(scheduler.now(), Time(milliseconds(1)));
}

TEST(SimSchedulerStall, TheTimeLimitStopsTheClock) {
  World world({.time_max = microseconds(100)});
  SimScheduler& scheduler = world.scheduler;
  EXPECT_FALSE(scheduler.park(microseconds(100)));
  EXPECT_EQ(scheduler.stall(), Stall::none);
  EXPECT_FALSE(scheduler.park(microseconds(101)));
  EXPECT_EQ(scheduler.stall(), Stall::time_limit);
  EXPECT_EQ(scheduler.now(), Time(microseconds(100)));
}

TEST(SimSchedulerStallDeathTest, TasksThatDoNotEndAfterAStallAbort) {
  EXPECT_DEATH(
      {
        World world({.steps_max = 1'000});
        const TaskId task = world.scheduler.spawn("for ever", [&] {
          for (;;) (void)world.scheduler.park(kForever);
        });
        world.scheduler.join(task);
      },
      "simulation stalled \\(deadlock\\) and its tasks did not end within 1000 further steps");
}

TEST(SimSchedulerStallDeathTest, TasksThatJoinEachOtherAbort) {
  EXPECT_DEATH(
      {
        World world;
        SimScheduler& scheduler = world.scheduler;
        TaskId one;
        TaskId two;
        one = scheduler.spawn("one", [&] { scheduler.join(two); });
        two = scheduler.spawn("two", [&] { scheduler.join(one); });
        (void)scheduler.park(kForever);  // a deadlock, which releases the root but no join
      },
      "every task must be joined");
}

}  // namespace
}  // namespace pagedb::sim
