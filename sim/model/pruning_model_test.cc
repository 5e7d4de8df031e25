// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Pruning leaves out no partial order of the engine's own operations: scenarios of the buffer pool and of SyncGate are
// explored with and without it, and the sets of partial orders at their ends compared. (Small random programs:
// tiny_programs_test.cc.)
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "engine/internal/sync_gate.h"
#include "sim/model/exhaustive.h"
#include "sim/model/explore.h"
#include "sim/model/testing/pool_model.h"
#include "sim/model/trace_hash.h"

namespace pagedb::sim::model {
namespace {

/// Explores as Exhaustive does, and keeps the partial order of each schedule that it ran to its end.
class Traced final : public Policy {
 public:
  Traced(unsigned preemptions_max, Pruning pruning) : policy_(preemptions_max, pruning) {}

  bool next() override {
    if (!trace_is_fresh_ && !policy_.given_up()) ends.insert(trace_.value());
    trace_.clear();
    trace_is_fresh_ = true;
    return policy_.next();
  }
  TaskIndex choose(const Choice& choice) override { return policy_.choose(choice); }
  void executed(const Event& event) override {
    trace_.add(event);
    trace_is_fresh_ = false;
    policy_.executed(event);
  }
  [[nodiscard]] std::string summary() const override { return policy_.summary(); }
  [[nodiscard]] std::uint64_t schedules() const { return policy_.schedules(); }

  std::set<std::uint64_t> ends;

 private:
  Exhaustive policy_;
  TraceHash trace_;
  bool trace_is_fresh_ = true;
};

void compare(unsigned preemptions_max, const Execution::Body& body) {
  Traced all(preemptions_max, Pruning::none);
  Traced pruned(preemptions_max, Pruning::all);
  for (Traced* policy : {&all, &pruned}) {
    const Outcome outcome = explore(*policy, {.name = "pruning", .steps_max = 20'000, .quiet = true}, body);
    ASSERT_FALSE(outcome.failed) << outcome.failure;
  }
  EXPECT_EQ(all.ends, pruned.ends);
  EXPECT_LT(pruned.schedules(), all.schedules());
  std::printf("  %zu partial orders; %s; with pruning %s\n", all.ends.size(), all.summary().c_str(),
              pruned.summary().c_str());
}

#if defined(PAGEDB_MODEL_BRIEF)
constexpr unsigned kBound = 1;
#else
constexpr unsigned kBound = 3;
#endif

TEST(PruningModelTest, two_misses_on_one_page) {
  compare(kBound, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto fetch = [&] { world.fetch_and_expect(1, 100); };
    model.run_tasks({{"a", fetch}, {"b", fetch}});
    world.close();
  });
}

TEST(PruningModelTest, a_change_races_a_flush) {
  compare(kBound, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.change(1, 101);
    model.run_tasks(
        {{"writer", [&] { world.change(1, 102); }}, {"flusher", [&] { world.must(world.pool->flush({1})); }}});
    world.close_and_expect(1, 102);
  });
}

TEST(PruningModelTest, three_tasks_at_one_gate) {
  compare(kBound, [](Execution& model) {
    SyncGate gate(model);
    const auto sync = [&] {
      const auto result = gate.run([]() -> Result<void> { return {}; });
      model.expect(result.has_value(), "the sync was fine");
    };
    model.run_tasks({{"a", sync}, {"b", sync}, {"c", sync}});
  });
}

}  // namespace
}  // namespace pagedb::sim::model
