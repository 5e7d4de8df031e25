// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// ThreadScheduler: parking, remembered unparks, deadlines, spawn and join, on real threads.
#include "engine/thread_scheduler.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

namespace pagedb {
namespace {

using std::chrono::milliseconds;

TEST(ThreadScheduler, RemembersOneUnparkThatCameFirst) {
  ThreadScheduler scheduler;
  scheduler.unpark(scheduler.current());
  scheduler.unpark(scheduler.current());
  EXPECT_TRUE(scheduler.park(kForever));
  EXPECT_FALSE(scheduler.park(scheduler.now()));
}

TEST(ThreadScheduler, ParkEndsAtItsDeadline) {
  ThreadScheduler scheduler;
  const Time start = scheduler.now();
  while (scheduler.now() < start + milliseconds(20)) EXPECT_FALSE(scheduler.park(start + milliseconds(20)));
  EXPECT_GE(scheduler.now() - start, milliseconds(20));
}

TEST(ThreadScheduler, DeadlineInThePastReturnsAtOnce) {
  ThreadScheduler scheduler;
  EXPECT_FALSE(scheduler.park(Time(0)));
  EXPECT_FALSE(scheduler.park(Time(-5)));
}

TEST(ThreadScheduler, UnparkWakesAParkedThreadThatItDidNotCreate) {
  ThreadScheduler scheduler;
  std::atomic<std::uint64_t> id{0};
  std::atomic<bool> go{false};
  bool seen = false;
  std::thread stranger([&] {
    id = scheduler.current().value;
    while (!go) scheduler.park(kForever);
    seen = true;
  });
  while (id == 0) scheduler.relax(20);
  std::this_thread::sleep_for(milliseconds(10));  // most likely parked by now
  go = true;
  scheduler.unpark({id});
  stranger.join();
  EXPECT_TRUE(seen);
}

TEST(ThreadScheduler, EachThreadIsATaskOfItsOwn) {
  ThreadScheduler scheduler;
  const TaskId here = scheduler.current();
  EXPECT_NE(here.value, 0u);
  EXPECT_EQ(here, scheduler.current());
  TaskId there{};
  std::thread([&] { there = scheduler.current(); }).join();
  EXPECT_NE(here, there);
}

TEST(ThreadScheduler, SpawnReturnsWhatCurrentSaysInside) {
  ThreadScheduler scheduler;
  TaskId inside{};
  const TaskId task = scheduler.spawn("a name of more than fifteen characters", [&] { inside = scheduler.current(); });
  scheduler.join(task);
  EXPECT_EQ(task, inside);
}

TEST(ThreadScheduler, TheLowHalvesOfLiveTasksDiffer) {
  ThreadScheduler scheduler;
  std::atomic<bool> stop{false};
  std::vector<TaskId> tasks;
  for (int i = 0; i < 50; ++i) {
    tasks.push_back(scheduler.spawn("alive", [&] {
      for (unsigned attempt = 0; !stop; ++attempt) scheduler.relax(attempt);
    }));
  }
  std::set<std::uint32_t> halves{static_cast<std::uint32_t>(scheduler.current().value)};
  for (const TaskId task : tasks) halves.insert(static_cast<std::uint32_t>(task.value));
  EXPECT_EQ(halves.size(), 51u);
  EXPECT_FALSE(halves.contains(0));
  stop = true;
  for (const TaskId task : tasks) scheduler.join(task);
}

// A task of one scheduler is a stranger to another one, also to one that got the key of one that is gone.
TEST(ThreadScheduler, EachSchedulerKnowsAThreadByItself) {
  ThreadScheduler scheduler;
  bool stranger = true;
  bool own = true;
  const TaskId task = scheduler.spawn("both", [&] {
    for (int i = 0; i < 3; ++i) {
      ThreadScheduler other;
      const TaskId inner = other.spawn("inner", [&] { own = own && other.current().value >> 32 == 1; });
      other.join(inner);
      stranger = stranger && other.current().value >> 32 == 0 && other.current() == other.current();
    }
    own = own && scheduler.current().value >> 32 != 0;
  });
  scheduler.join(task);
  EXPECT_TRUE(stranger);
  EXPECT_TRUE(own);
}

TEST(ThreadScheduler, WorksWithoutAKey) {
  std::vector<pthread_key_t> keys;
  for (pthread_key_t key{}; pthread_key_create(&key, nullptr) == 0;) keys.push_back(key);
  EXPECT_GT(keys.size(), 100u);
  {
    ThreadScheduler scheduler;
    TaskId inside{};
    bool unparked = false;
    const TaskId task = scheduler.spawn("keyless", [&] {
      inside = scheduler.current();
      unparked = scheduler.park(kForever);
    });
    scheduler.unpark(task);
    scheduler.join(task);
    EXPECT_EQ(task, inside);
    EXPECT_TRUE(unparked);
    EXPECT_EQ(scheduler.current(), scheduler.current());
  }
  for (const pthread_key_t key : keys) pthread_key_delete(key);
}

TEST(ThreadScheduler, EndedTasksThatAreNotJoinedKeepTheirIdentity) {
  ThreadScheduler scheduler;
  std::vector<TaskId> tasks;
  std::atomic<int> ran{0};
  for (int i = 0; i < 200; ++i) tasks.push_back(scheduler.spawn("short", [&] { ++ran; }));
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) ASSERT_NE(tasks[i], tasks[j]);
  }
  for (const TaskId task : tasks) scheduler.join(task);
  EXPECT_EQ(ran, 200);
}

TEST(ThreadScheduler, JoinMakesTheTasksWorkVisible) {
  ThreadScheduler scheduler;
  std::vector<int> numbers;  // no atomics: ThreadSanitizer judges
  const TaskId task = scheduler.spawn("worker", [&] {
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
  });
  scheduler.join(task);
  EXPECT_EQ(numbers.size(), 1000u);
}

TEST(ThreadScheduler, UnparkPublishesWhatCameBeforeIt) {
  ThreadScheduler scheduler;
  constexpr int kRounds = 20000;
  int ball = 0;  // handed back and forth by park and unpark alone: ThreadSanitizer judges
  const TaskId here = scheduler.current();
  const auto wait = [&] {
    while (!scheduler.park(kForever)) continue;
  };
  const TaskId there = scheduler.spawn("ping", [&] {
    for (int i = 0; i < kRounds; ++i) {
      wait();
      ++ball;
      scheduler.unpark(here);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    ++ball;
    scheduler.unpark(there);
    wait();
  }
  scheduler.join(there);
  EXPECT_EQ(ball, 2 * kRounds);
}

TEST(ThreadScheduler, NoUnparkIsLostAmongManyThreads) {
  ThreadScheduler scheduler;
  constexpr int kThreads = 8;
  constexpr int kRounds = 500;
  std::atomic<int> tokens[kThreads] = {};
  std::vector<TaskId> tasks(kThreads);
  std::atomic<bool> started{false};
  for (int t = 0; t < kThreads; ++t) {
    tasks[static_cast<std::size_t>(t)] = scheduler.spawn("ring", [&, t] {
      while (!started) scheduler.relax(20);
      const std::size_t next = static_cast<std::size_t>(t + 1) % kThreads;
      for (int round = 0; round < kRounds; ++round) {
        while (tokens[t] == 0) scheduler.park(kForever);
        --tokens[t];
        ++tokens[next];
        scheduler.unpark(tasks[next]);
      }
    });
  }
  started = true;
  ++tokens[0];
  scheduler.unpark(tasks[0]);
  for (const TaskId task : tasks) scheduler.join(task);
  EXPECT_EQ(tokens[0], 1);
}

TEST(ThreadScheduler, RelaxLengthens) {
  ThreadScheduler scheduler;
  for (unsigned attempt = 0; attempt < 16; ++attempt) scheduler.relax(attempt);
  const Time start = scheduler.now();
  scheduler.relax(16);
  EXPECT_GE(scheduler.now() - start, std::chrono::microseconds(50));
  const Time later = scheduler.now();
  scheduler.relax(4'000'000'000u);
  EXPECT_GE(scheduler.now() - later, std::chrono::microseconds(1600));
}

TEST(ThreadSchedulerDeathTest, RefusedThreadIsTaskZero) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // In a child process, whose threads would need a larger stack than there is address space.
  EXPECT_EXIT(
      {
        ThreadScheduler scheduler;
        std::atomic<bool> stop{false};
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, std::size_t{1} << 46);  // more than there is
        pthread_setattr_default_np(&attributes);
        const TaskId task = scheduler.spawn("refused", [&] { stop = true; });
        std::_Exit(task == TaskId{} && !stop ? 7 : 1);
      },
      testing::ExitedWithCode(7), "");
}

TEST(ThreadSchedulerDeathTest, BrokenContractsAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadScheduler scheduler;
        scheduler.join({12345});
      },
      "join a task once");
  EXPECT_DEATH(
      {
        ThreadScheduler scheduler;
        scheduler.unpark({});
      },
      "not a task");
  EXPECT_DEATH(
      {
        ThreadScheduler scheduler;
        static_cast<void>(scheduler.spawn("left", [] {}));
      },
      "must be joined");
  EXPECT_DEATH(
      {
        ThreadScheduler scheduler;
        scheduler.join(scheduler.current());
      },
      "cannot join itself");
}

}  // namespace
}  // namespace pagedb
