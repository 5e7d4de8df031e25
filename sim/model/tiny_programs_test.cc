// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Pruning leaves out nothing: for hundreds of small random programs, the states that can be reached with and without it
// are the same, for every preemption bound.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "engine/sync.h"
#include "sim/model/draw.h"
#include "sim/model/exhaustive.h"
#include "sim/model/explore.h"

namespace pagedb::sim::model {
namespace {

enum class Op : std::uint8_t { load, store, add, exchange_if, locked_add, plain_in_lock, signal, await };
constexpr std::uint64_t kOps = 8;

struct Step {
  Op op;
  unsigned word;
  std::uint64_t value;
};
using Program = std::vector<std::vector<Step>>;

Program random_program(std::uint64_t seed) {
  std::uint32_t number = 0;
  const auto pick = [&](std::uint64_t bound) { return draw(seed, 0, 9, number++, bound); };
  const std::uint64_t tasks = 2 + pick(2);
  Program program(tasks);
  for (auto& steps : program) {
    const std::uint64_t count = tasks == 2 ? 2 + pick(3) : 1 + pick(2);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto op = static_cast<Op>(pick(kOps));
      const auto word = static_cast<unsigned>(pick(2));
      steps.push_back({op, word, 1 + pick(3)});
    }
  }
  return program;
}

// Everything the program could tell: what each task saw, and what is left.
using Final = std::vector<std::uint64_t>;

void run_program(const Program& program, Execution& model, std::set<Final>& finals) {
  std::array<sync::Atomic<std::uint64_t>, 2> words;
  std::array<sync::SpinLock, 2> locks;
  std::uint64_t plain = 0;
  std::vector<Final> seen(program.size());
  std::vector<std::pair<std::string_view, std::function<void()>>> bodies;
  for (std::size_t i = 0; i < program.size(); ++i) {
    bodies.emplace_back("t", [&, i] {
      for (const Step& step : program[i]) {
        auto& word = words[step.word];
        std::uint64_t value = 0;
        switch (step.op) {
          case Op::load:
            value = word.load();
            break;
          case Op::store:
            word.store(step.value);
            break;
          case Op::add:
            value = word.fetch_add(step.value);
            break;
          case Op::exchange_if: {
            std::uint64_t expected = step.value;
            value = (word.compare_exchange_strong(expected, 7) ? 100 : 0) + expected;
            break;
          }
          case Op::locked_add: {
            const sync::SpinGuard guard(locks[step.word], model);
            value = word.load();
            word.store(value + step.value);
            break;
          }
          case Op::plain_in_lock: {
            const sync::SpinGuard guard(locks[0], model);
            value = plain;
            plain = plain * 5 + step.value;
            break;
          }
          case Op::signal:
            model.unpark({2 + (i + 1) % program.size()});
            break;
          case Op::await:
            value = model.park(Time(static_cast<std::int64_t>(10 * (i + 1)))) ? 1 : 2;
            break;
        }
        seen[i].push_back(value);
      }
    });
  }
  model.run_tasks(bodies, Execution::Ids::of_joined_tasks);
  Final final{words[0].load(), words[1].load(), plain};
  for (const Final& values : seen) final.insert(final.end(), values.begin(), values.end());
  finals.insert(final);
}

std::string text_of(const Program& program) {
  static constexpr const char* kNames[kOps] = {"load",       "store",         "add",    "exchange_if",
                                               "locked_add", "plain_in_lock", "signal", "await"};
  std::string text;
  for (const auto& steps : program) {
    text += "\n  task:";
    for (const Step& step : steps)
      text += std::string(" ") + kNames[static_cast<std::size_t>(step.op)] + '(' + std::to_string(step.word) + ',' +
              std::to_string(step.value) + ')';
  }
  return text;
}

struct Explored {
  std::set<Final> finals;
  std::uint64_t schedules = 0;
};

Explored explored(const Program& program, unsigned bound, Pruning pruning) {
  Explored result;
  Exhaustive policy(bound, pruning);
  const Outcome outcome = explore(policy, {.name = "tiny", .steps_max = 500, .quiet = true},
                                  [&](Execution& model) { run_program(program, model, result.finals); });
  EXPECT_FALSE(outcome.failed) << outcome.failure << text_of(program);
  EXPECT_TRUE(policy.complete());
  result.schedules = policy.schedules();
  return result;
}

TEST(TinyProgramsTest, pruning_loses_no_final_state) {
#if defined(PAGEDB_MODEL_BRIEF)
  constexpr std::uint64_t kPrograms = 40;
#elif defined(PAGEDB_MODEL_LONG)
  constexpr std::uint64_t kPrograms = 3000;
#else
  constexpr std::uint64_t kPrograms = 300;
#endif
  std::uint64_t all = 0;
  std::uint64_t some = 0;
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Program program = random_program(seed);
    for (const unsigned bound : {0u, 1u, 2u, 3u}) {
      const Explored full = explored(program, bound, Pruning::none);
      const Explored pruned = explored(program, bound, Pruning::all);
      ASSERT_EQ(full.finals, pruned.finals) << "bound " << bound << ", program " << seed << text_of(program);
      ASSERT_LE(pruned.schedules, full.schedules);
      all += full.schedules;
      some += pruned.schedules;
    }
    const Explored unbounded = explored(program, Exhaustive::kNoBound, Pruning::all);
    const Explored bounded = explored(program, 12, Pruning::all);
    ASSERT_EQ(unbounded.finals, bounded.finals) << "no bound, program " << seed << text_of(program);
  }
  EXPECT_LT(some * 3, all) << "pruning is there to save schedules";
  std::printf("  %llu schedules, %llu with pruning\n", static_cast<unsigned long long>(all),
              static_cast<unsigned long long>(some));
}

}  // namespace
}  // namespace pagedb::sim::model
