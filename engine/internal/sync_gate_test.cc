// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SyncGate on real threads: one sync at a time, each caller covered, waiters served together.
#include "engine/internal/sync_gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <vector>

#include "engine/thread_scheduler.h"

namespace pagedb {
namespace {

// The production scheduler, counting how often tasks went to sleep.
class CountingScheduler final : public Scheduler {
 public:
  TaskId current() noexcept override { return inner_.current(); }
  bool park(Time deadline) noexcept override {
    ++parks;
    return inner_.park(deadline);
  }
  void unpark(TaskId task) noexcept override { inner_.unpark(task); }
  TaskId spawn(std::string_view name, std::function<void()> body) override {
    return inner_.spawn(name, std::move(body));
  }
  void join(TaskId task) noexcept override { inner_.join(task); }
  Time now() noexcept override { return inner_.now(); }
  void relax(unsigned attempt) noexcept override { inner_.relax(attempt); }

  std::atomic<int> parks{0};

 private:
  ThreadScheduler inner_;
};

class SyncGateTest : public testing::Test {
 protected:
  void run_tasks(int count, const std::function<void()>& body) {
    std::vector<TaskId> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(scheduler_.spawn("syncer", body));
    for (const TaskId task : tasks) scheduler_.join(task);
  }

  CountingScheduler scheduler_;
  SyncGate gate_{scheduler_};
};

TEST_F(SyncGateTest, one_task_syncs_each_time) {
  int syncs = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(gate_.run([&]() -> Result<void> {
      ++syncs;
      return {};
    }));
  }
  EXPECT_EQ(syncs, 3);
  EXPECT_EQ(scheduler_.parks, 0) << "an uncontended gate never waits";
}

TEST_F(SyncGateTest, syncs_never_overlap_and_cover_what_came_before) {
  std::atomic<int> inside{0};
  std::atomic<int> written{0};
  std::atomic<int> durable{0};
  std::atomic<int> overlaps{0};
  std::atomic<int> uncovered{0};
  const auto sync = [&]() -> Result<void> {
    if (inside.fetch_add(1) != 0) ++overlaps;
    const int covers = written;
    scheduler_.relax(10);
    durable = std::max(durable.load(), covers);
    --inside;
    return {};
  };
  run_tasks(4, [&] {
    for (int i = 0; i < 500; ++i) {
      const int mine = ++written;
      if (!gate_.run(sync) || durable < mine) ++uncovered;
    }
  });
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(uncovered, 0);
}

TEST_F(SyncGateTest, those_who_wait_share_the_next_sync_and_its_error) {
  constexpr int kWaiters = 3;
  std::atomic<int> syncs{0};
  std::atomic<bool> leading{false};
  std::atomic<int> errors{0};
  const TaskId leader = scheduler_.spawn("leader", [&] {
    const auto result = gate_.run([&]() -> Result<void> {
      ++syncs;
      leading = true;
      for (unsigned i = 0; scheduler_.parks < kWaiters; ++i) scheduler_.relax(i);
      return {};
    });
    EXPECT_TRUE(result) << "the error of a later sync is not the leader's";
  });
  for (unsigned i = 0; !leading; ++i) scheduler_.relax(i);
  run_tasks(kWaiters, [&] {
    const auto result = gate_.run([&]() -> Result<void> {
      ++syncs;
      return failure(PageError{.code = ErrorCode::io_error});
    });
    if (!result && result.error().code == ErrorCode::io_error) ++errors;
  });
  scheduler_.join(leader);
  EXPECT_EQ(syncs, 2);
  EXPECT_EQ(errors, kWaiters);
}

}  // namespace
}  // namespace pagedb
