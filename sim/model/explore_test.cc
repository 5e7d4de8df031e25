// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The checker finds what it is there to find, says how to see it again, and counts right.
#include "sim/model/explore.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "engine/sync.h"
#include "sim/model/exhaustive.h"
#include "sim/model/pct.h"
#include "sim/model/random_policy.h"
#include "sim/model/replay.h"

// Of LeakSanitizer, where there is one: what lives on the stacks of tasks that never end cannot be released.
extern "C" {
[[gnu::weak]] void __lsan_disable();
[[gnu::weak]] void __lsan_enable();
}

namespace pagedb::sim::model {
namespace {

using Word = sync::Atomic<int>;

Outcome run(Policy& policy, const Execution::Body& body, std::uint64_t steps_max = 2000) {
  if (__lsan_disable != nullptr) __lsan_disable();
  Outcome outcome = explore(policy, {.name = "ExploreTest.inner", .steps_max = steps_max, .quiet = true}, body);
  if (__lsan_enable != nullptr) __lsan_enable();
  return outcome;
}

// Two tasks add one to a counter, each with a load and a store.
void lost_update(Execution& model) {
  Word counter{0};
  const auto add = [&] { counter.store(counter.load() + 1); };
  model.run_tasks({{"a", add}, {"b", add}});
  model.expect(counter.load() == 2, "an update was lost");
}

// Two tasks take two locks in opposite orders.
void inverted_locks(Execution& model) {
  sync::SpinLock first;
  sync::SpinLock second;
  const auto both = [&](sync::SpinLock& outer, sync::SpinLock& inner) {
    const sync::SpinGuard guard(outer, model);
    const sync::SpinGuard another(inner, model);
  };
  model.run_tasks({{"a", [&] { both(first, second); }}, {"b", [&] { both(second, first); }}});
}

// A stack of two nodes, popped by compare-exchange without a version: between the load of `next` and the exchange the
// node may be popped, another one with it, and the first be pushed again.
void aba(Execution& model) {
  constexpr int kNone = -1;
  Word top{0};
  Word next[2] = {Word(1), Word(kNone)};
  int taken[2] = {0, 0};  // plain: who pops a node owns it
  const auto pop = [&]() -> int {
    while (true) {
      int node = top.load();
      if (node == kNone) return kNone;
      if (top.compare_exchange_strong(node, next[node].load())) return node;
    }
  };
  const auto push = [&](int node) {
    int old = top.load();
    do {
      next[node].store(old);
    } while (!top.compare_exchange_strong(old, node));
  };
  const auto take = [&](int node) {
    if (node == kNone) return;
    model.expect(++taken[node] == 1, "a node has two owners");
  };
  model.run_tasks({{"popper", [&] { take(pop()); }}, {"shuffler", [&] {
                                                        const int first = pop();
                                                        take(pop());
                                                        if (first != kNone) push(first);
                                                        take(pop());
                                                      }}});
  // Whoever pops after the mistake gets a node that somebody owns.
  take(pop());
}

// Checks that a page is there, then uses it: it may be gone in between.
void stale_check(Execution& model) {
  sync::Atomic<bool> there{true};
  bool memory_is_live = true;
  const auto reader = [&] {
    if (!there.load()) return;
    model.read(&memory_is_live);
    model.expect(memory_is_live, "used after it was given away");
  };
  const auto evictor = [&] {
    there.store(false);
    model.write(&memory_is_live);
    memory_is_live = false;
  };
  model.run_tasks({{"reader", reader}, {"evictor", evictor}});
}

TEST(ExploreTest, finds_a_lost_update_with_one_preemption) {
  Exhaustive none(0);
  EXPECT_FALSE(run(none, lost_update).failed);
  EXPECT_TRUE(none.complete());
  Exhaustive one(1);
  const Outcome outcome = run(one, lost_update);
  EXPECT_TRUE(outcome.failed);
  EXPECT_NE(outcome.failure.find("an update was lost"), std::string::npos) << outcome.failure;
}

TEST(ExploreTest, finds_a_deadlock) {
  Exhaustive policy(1);
  const Outcome outcome = run(policy, inverted_locks);
  EXPECT_TRUE(outcome.failed);
  EXPECT_NE(outcome.failure.find("deadlock"), std::string::npos) << outcome.failure;
  EXPECT_NE(outcome.failure.find("held by task 2"), std::string::npos) << outcome.failure;
}

TEST(ExploreTest, finds_aba_and_a_stale_check) {
  Exhaustive for_aba(2);
  EXPECT_TRUE(run(for_aba, aba).failed);
  Exhaustive for_stale(1);
  EXPECT_TRUE(run(for_stale, stale_check).failed);
}

TEST(ExploreTest, random_and_pct_find_them_too) {
  for (const auto& body : {lost_update, inverted_locks, aba, stale_check}) {
    Random random(7, 2000);
    EXPECT_TRUE(run(random, body).failed);
    Pct pct(7, 2000, 3);
    EXPECT_TRUE(run(pct, body).failed);
  }
}

TEST(ExploreTest, finds_a_livelock_and_a_task_that_never_ends) {
  Exhaustive livelock(0);
  const Outcome paused = run(
      livelock,
      [](Execution& model) {
        Word never{0};
        model.run_tasks({{"waiter", [&] {
                            for (unsigned i = 0; never.load() == 0; ++i) model.relax(i);
                          }}});
      },
      20'000);
  EXPECT_NE(paused.failure.find("livelock"), std::string::npos) << paused.failure;
  Exhaustive endless(0);
  const Outcome spun = run(endless, [](Execution& model) {
    Word never{0};
    model.run_tasks({{"spinner", [&] {
                        while (never.load() == 0) {
                        }
                      }}});
  });
  EXPECT_NE(spun.failure.find("step limit"), std::string::npos) << spun.failure;
}

TEST(ExploreTest, the_printed_schedule_replays_the_failure) {
  for (const auto& body : {lost_update, aba, stale_check}) {
    Exhaustive policy(2);
    const Outcome first = run(policy, body);
    ASSERT_TRUE(first.failed);
    ASSERT_NE(first.failure.find("MODEL_SCHEDULE='" + text_of(first.schedule) + "'"), std::string::npos);
    const auto pasted = schedule_of(text_of(first.schedule));
    ASSERT_TRUE(pasted);
    Replay replay(*pasted);
    const Outcome again = run(replay, body);
    EXPECT_TRUE(again.failed);
    EXPECT_TRUE(replay.fits());
    EXPECT_EQ(again.schedule, first.schedule);
    EXPECT_EQ(again.failure, first.failure);
  }
}

TEST(ExploreTest, schedules_that_are_none_are_refused) {
  EXPECT_TRUE(schedule_of(""));
  EXPECT_TRUE(schedule_of("0x2.1x3"));
  for (const char* text : {"0", "0x", "x1", "0x0", "16x1", "0x1.", ".0x1", "0x1,1x1", "0x-1", "0x99999999999"})
    EXPECT_FALSE(schedule_of(text)) << text;
}

TEST(ExploreTest, an_abort_in_the_middle_prints_the_schedule) {
  const auto abort_on_lost_update = [] {
    Exhaustive policy(1);
    static_cast<void>(explore(policy, {.name = "Some.test", .steps_max = 100, .quiet = true}, [](Execution& model) {
      Word counter{0};
      const auto add = [&] { counter.store(counter.load() + 1); };
      model.run_tasks({{"a", add}, {"b", add}});
      if (counter.load() != 2) std::abort();
    }));
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(abort_on_lost_update(), "aborted in Some.test.*\n.*MODEL_SCHEDULE='0x.*--gtest_filter='Some.test'");
}

// ---- counts

// `tasks` tasks make `steps` loads of one word each.
Execution::Body loads(int tasks, int steps) {
  return [=](Execution& model) {
    Word word{0};
    std::vector<std::pair<std::string_view, std::function<void()>>> bodies;
    for (int i = 0; i < tasks; ++i) {
      bodies.emplace_back("t", [&, steps] {
        for (int k = 0; k < steps; ++k) static_cast<void>(word.load());
      });
    }
    model.run_tasks(bodies);
  };
}

TEST(ExploreTest, counts_all_interleavings_of_a_tiny_program) {
  // A task that makes n operations has n + 1 steps: the first ends before its first operation. Two tasks with two loads
  // interleave in C(6, 3) = 20 ways, three with one in 6! / (2! 2! 2!) = 90.
  Exhaustive two(Exhaustive::kNoBound, Pruning::none);
  run(two, loads(2, 2));
  EXPECT_TRUE(two.complete());
  EXPECT_EQ(two.schedules(), 20);
  Exhaustive three(Exhaustive::kNoBound, Pruning::none);
  run(three, loads(3, 1));
  EXPECT_EQ(three.schedules(), 90);
}

TEST(ExploreTest, counts_schedules_within_a_preemption_bound) {
  // Without preemptions only who comes first is open: 2. With one, the first task stops at one of its two operations
  // (2 places), the other one runs to its end: 2 x 2 more. With two, the second task stops after its first or second
  // step as well: of the 20, those in which blocks alternate at most four times.
  const std::uint64_t expected[] = {2, 6, 14, 18, 20};
  for (unsigned bound = 0; bound < 5; ++bound) {
    Exhaustive policy(bound, Pruning::none);
    run(policy, loads(2, 2));
    EXPECT_EQ(policy.schedules(), expected[bound]) << "bound " << bound;
    EXPECT_TRUE(policy.complete());
  }
}

TEST(ExploreTest, what_commutes_is_run_once) {
  Exhaustive policy(Exhaustive::kNoBound);
  run(policy, loads(3, 3));
  EXPECT_TRUE(policy.complete());
  EXPECT_EQ(policy.schedules(), 1) << "loads order nothing";
}

// ---- the scheduler's own operations

TEST(ExploreTest, an_unpark_is_remembered_and_a_deadline_comes_only_when_nobody_can_go) {
  Exhaustive policy(Exhaustive::kNoBound);
  std::set<bool> ways;
  const Outcome outcome = run(policy, [&](Execution& model) {
    TaskId sleeper{};
    bool unparked = false;
    const TaskId task = model.spawn("sleeper", [&] {
      sleeper = model.current();
      unparked = model.park(Time(1000));
    });
    model.run_tasks({{"waker", [&] { model.unpark(task); }}});
    model.join(task);
    model.expect(model.now() == Time(0), "time stands still while somebody can go");
    model.expect(sleeper == task, "a task knows its id");
    ways.insert(unparked);
    model.expect(!model.park(Time(5000)), "nobody unparks the last task");
    model.expect(model.now() == Time(5000), "then the deadline has come");
  });
  EXPECT_FALSE(outcome.failed) << outcome.failure;
  EXPECT_EQ(ways, std::set<bool>({true}));
}

TEST(ExploreTest, pausing_lets_everybody_else_make_a_step) {
  Exhaustive policy(2);
  const Outcome outcome = run(policy, [](Execution& model) {
    Word door{0};
    const auto waiter = [&] {
      for (unsigned i = 0; door.load() == 0; ++i) model.relax(i);
    };
    model.run_tasks({{"a", waiter}, {"b", waiter}, {"c", [&] {
                                                      static_cast<void>(door.load());
                                                      door.store(1);
                                                    }}});
  });
  EXPECT_FALSE(outcome.failed) << outcome.failure;
  EXPECT_TRUE(policy.complete()) << policy.summary();
}

TEST(ExploreTest, a_racy_copy_is_torn_between_its_words) {
  const auto body = [](std::set<std::pair<std::uint64_t, std::uint64_t>>& seen) {
    return [&seen](Execution& model) {
      alignas(8) std::uint64_t page[2] = {1, 1};
      const auto writer = [&] {
        for (std::uint64_t& word : page) {
          model.write(&word);
          word = 2;
        }
      };
      const auto reader = [&] {
        std::uint64_t copy[2];
        sync::racy_copy(reinterpret_cast<std::byte*>(copy), reinterpret_cast<const std::byte*>(page), sizeof page);
        seen.emplace(copy[0], copy[1]);
      };
      model.run_tasks({{"writer", writer}, {"reader", reader}});
    };
  };
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  Exhaustive policy(2);
  EXPECT_FALSE(run(policy, body(seen)).failed);
  EXPECT_EQ(seen, (std::set<std::pair<std::uint64_t, std::uint64_t>>{{1, 1}, {1, 2}, {2, 1}, {2, 2}}));
}

TEST(ExploreTest, random_policies_repeat_themselves) {
  const auto trail = [](Policy& policy) {
    std::vector<int> values;
    run(policy, [&](Execution& model) {
      Word word{0};
      const auto mix = [&](int by) { word.store(word.load() * 3 + by); };
      model.run_tasks({{"a", [&] { mix(1); }}, {"b", [&] { mix(2); }}, {"c", [&] { mix(5); }}});
      values.push_back(word.load());
    });
    return values;
  };
  Random a(3, 50);
  Random b(3, 50);
  Random other(4, 50);
  const auto first = trail(a);
  EXPECT_EQ(first, trail(b));
  EXPECT_NE(first, trail(other));
}

}  // namespace
}  // namespace pagedb::sim::model
