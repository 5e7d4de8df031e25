// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The odometer: every leaf of a tree of decisions, each once, in order; and what it says when it could not.
#include "sim/odometer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>
#include <string>
#include <vector>

namespace pagedb::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Leaf = std::vector<std::uint32_t>;

/// A run: draws, and says where that led.
using Run = std::function<Leaf(Choices&)>;

std::vector<Leaf> leaves_of(OdometerChoices& choices, const Run& run) {
  std::vector<Leaf> leaves;
  do leaves.push_back(run(choices));
  while (choices.next());
  return leaves;
}

/// `length` decisions among `n`.
Run strings(std::size_t length, std::uint32_t n, Site site = Site::plan) {
  return [=](Choices& choices) {
    Span span;
    Leaf leaf;
    for (std::size_t i = 0; i < length; ++i) leaf.push_back(choices.draw(span, site, n));
    return leaf;
  };
}

/// How far each decision reaches depends on those before.
Leaf permutation(Choices& choices) {
  Span span;
  Leaf left(5), made;
  std::iota(left.begin(), left.end(), 0u);
  while (!left.empty()) {
    const std::uint32_t which = choices.draw(span, Site::op_page, static_cast<std::uint32_t>(left.size()));
    made.push_back(left[which]);
    left.erase(left.begin() + which);
  }
  return made;
}

/// Goes on for as long as the decision is not zero, at most four times; each decision is wider than the last one.
Leaf ragged(Choices& choices) {
  Span span;
  Leaf leaf;
  do leaf.push_back(choices.draw(span, Site::op_kind, 2 + static_cast<std::uint32_t>(leaf.size())));
  while (leaf.back() != 0 && leaf.size() < 4);
  return leaf;
}

TEST(Odometer, walks_binary_strings_in_order) {
  OdometerChoices choices;
  const std::vector<Leaf> leaves = leaves_of(choices, strings(10, 2));
  EXPECT_EQ(leaves.size(), 1024u);
  EXPECT_EQ(std::set<Leaf>(leaves.begin(), leaves.end()).size(), leaves.size());
  EXPECT_TRUE(std::is_sorted(leaves.begin(), leaves.end()));
  EXPECT_EQ(leaves.front(), Leaf(10, 0));
  EXPECT_TRUE(choices.complete());
  EXPECT_EQ(choices.runs(), 1024u);
  EXPECT_EQ(choices.statement(), "complete: 1024 runs, at most 10 decisions deep, widest 2");
}

TEST(Odometer, a_width_may_depend_on_what_was_decided) {
  OdometerChoices choices;
  const std::vector<Leaf> leaves = leaves_of(choices, permutation);
  EXPECT_EQ(leaves.size(), 120u);
  EXPECT_EQ(std::set<Leaf>(leaves.begin(), leaves.end()).size(), 120u);
  // The last of the five pages is no decision.
  EXPECT_EQ(choices.statement(), "complete: 120 runs, at most 4 decisions deep, widest 5");
}

TEST(Odometer, a_depth_may_depend_on_what_was_decided) {
  OdometerChoices choices;
  const std::vector<Leaf> leaves = leaves_of(choices, ragged);
  // 1 stops at once, 1 of 1 * 3 after two, 2 of 1 * 2 * 4 after three, the other 2 * 3 draw among five.
  EXPECT_EQ(leaves.size(), 1u + 1u + 2u + 2u * 3u * 5u);
  EXPECT_EQ(std::set<Leaf>(leaves.begin(), leaves.end()).size(), leaves.size());
  EXPECT_TRUE(std::is_sorted(leaves.begin(), leaves.end()));
  EXPECT_EQ(choices.deepest(), 4u);
  EXPECT_EQ(choices.widest(), 5u);
}

TEST(Odometer, a_run_without_decisions_is_one_run) {
  OdometerChoices choices;
  const auto run = [](Choices& source) {
    Span span;
    return Leaf{source.draw(span, Site::plan, 1)};
  };
  EXPECT_THAT(leaves_of(choices, run), ElementsAre(Leaf{0}));
  EXPECT_EQ(choices.statement(), "complete: 1 runs, at most 0 decisions deep, widest 0");
  EXPECT_FALSE(choices.next());
  EXPECT_EQ(choices.runs(), 1u);
}

/// A decision that matters between two that do not.
Leaf mixed(Choices& choices) {
  Span span;
  Leaf leaf;
  leaf.push_back(choices.draw(span, Site::io_latency, 1000));
  leaf.push_back(choices.draw(span, Site::op_kind, 3));
  leaf.push_back(choices.draw(span, Site::io_latency, 1000));
  return leaf;
}

TEST(Odometer, other_sites_are_zero) {
  OdometerChoices choices({.sites = {Site::op_kind}});
  EXPECT_THAT(leaves_of(choices, mixed), ElementsAre(Leaf{0, 0, 0}, Leaf{0, 1, 0}, Leaf{0, 2, 0}));
  EXPECT_EQ(choices.deepest(), 1u);
}

TEST(Odometer, other_sites_are_asked_of_another_source) {
  PrngChoices prng(5);
  Span span;
  const std::uint32_t first = prng.draw(span, Site::io_latency, 1000);
  const std::uint32_t second = prng.draw(span, Site::io_latency, 1000);
  ASSERT_NE(first, 0u);
  OdometerChoices choices({.sites = {Site::op_kind}, .others = &prng});
  EXPECT_THAT(leaves_of(choices, mixed),
              ElementsAre(Leaf{first, 0, second}, Leaf{first, 1, second}, Leaf{first, 2, second}));
}

TEST(Odometer, representatives_stand_for_the_others) {
  OdometerChoices choices({.representatives = {{Site::unit_fate, 16, {7, 0}}, {Site::crash_mode, 8, {5}}}});
  const auto run = [](Choices& source) {
    Span span;
    Leaf leaf;
    leaf.push_back(source.draw(span, Site::crash_mode, 8));
    leaf.push_back(source.draw(span, Site::unit_fate, 16));
    leaf.push_back(source.draw(span, Site::unit_fate, 2));  // another n: nothing is said of it
    return leaf;
  };
  EXPECT_THAT(leaves_of(choices, run), ElementsAre(Leaf{5, 7, 0}, Leaf{5, 7, 1}, Leaf{5, 0, 0}, Leaf{5, 0, 1}));
  EXPECT_EQ(choices.widest(), 2u);
}

TEST(Odometer, a_limit_is_told) {
  OdometerChoices choices({.runs_max = 7});
  EXPECT_EQ(leaves_of(choices, strings(3, 2)).size(), 7u);
  EXPECT_FALSE(choices.complete());
  EXPECT_FALSE(choices.next());
  EXPECT_EQ(choices.statement(), "not complete: stopped after 7 runs, at most 3 decisions deep, widest 2");
  OdometerChoices enough({.runs_max = 8});
  EXPECT_EQ(leaves_of(enough, strings(3, 2)).size(), 8u);
  EXPECT_TRUE(enough.complete());
}

TEST(Odometer, is_under_way_until_the_last_run_has_ended) {
  OdometerChoices choices;
  (void)strings(1, 2)(choices);
  ASSERT_TRUE(choices.next());
  (void)strings(1, 2)(choices);
  EXPECT_FALSE(choices.complete());
  EXPECT_EQ(choices.statement(), "not complete: under way after 1 runs, at most 1 decisions deep, widest 2");
  EXPECT_FALSE(choices.next());
  EXPECT_TRUE(choices.complete());
}

/// Every leaf, again from its log, and what the log of the last run is.
void expect_logs_replay(const OdometerOptions& options, const Run& run) {
  OdometerChoices choices(options);
  do {
    const Leaf leaf = run(choices);
    ReplayChoices replay(choices.log());
    EXPECT_EQ(run(replay), leaf);
    replay.finish();
    EXPECT_EQ(replay.mismatch(), "");
  } while (choices.next());
  EXPECT_TRUE(choices.complete());
  ReplayChoices last(choices.log());
  (void)run(last);
  last.finish();
  EXPECT_EQ(last.mismatch(), "");
}

TEST(Odometer, a_log_replays_to_the_same_leaf) {
  PrngChoices prng(5);
  expect_logs_replay({}, permutation);
  expect_logs_replay({}, ragged);
  expect_logs_replay({.sites = {Site::op_kind}, .others = &prng}, mixed);
  expect_logs_replay({.sites = {Site::op_kind}}, mixed);
  expect_logs_replay({.representatives = {{Site::plan, 6, {4, 1}}}}, strings(3, 6));
}

/// Enumerates runs of two decisions, but in run `number` the second one is what `draw` makes of it.
void change_run(OdometerChoices& choices, std::uint64_t number, const std::function<void(Choices&, Span&)>& draw) {
  do {
    Span span;
    (void)choices.draw(span, Site::plan, 2);
    if (choices.runs() + 1 == number) {
      draw(choices, span);
    } else {
      (void)choices.draw(span, Site::op_kind, 3);
    }
  } while (choices.next());
}

TEST(Odometer, another_site_after_the_same_prefix_is_a_mismatch) {
  OdometerChoices choices;
  change_run(choices, 2, [](Choices& source, Span& span) { EXPECT_EQ(source.draw(span, Site::op_page, 3), 0u); });
  EXPECT_EQ(choices.mismatch(),
            "run 2, decision 1: an earlier run drew op_kind number 0 of span 9e3779b97f4a7c15 among 3, "
            "this one op_page number 0 of span 9e3779b97f4a7c15 among 3");
  EXPECT_FALSE(choices.complete());
  EXPECT_FALSE(choices.next());
  EXPECT_EQ(choices.statement(),
            "not complete: " + choices.mismatch() + "; 2 runs, at most 2 decisions deep, widest 3");
}

TEST(Odometer, another_range_after_the_same_prefix_is_a_mismatch) {
  OdometerChoices choices;
  change_run(choices, 3, [](Choices& source, Span& span) { (void)source.draw(span, Site::op_kind, 4); });
  EXPECT_THAT(choices.mismatch(), HasSubstr("run 3, decision 1"));
  EXPECT_THAT(choices.mismatch(), HasSubstr("among 4"));
}

TEST(Odometer, another_span_after_the_same_prefix_is_a_mismatch) {
  OdometerChoices choices;
  change_run(choices, 2, [](Choices& source, Span& span) {
    Span child(span, 1, 1);
    (void)source.draw(child, Site::op_kind, 3);
  });
  EXPECT_THAT(choices.mismatch(), HasSubstr("this one op_kind number 0 of span"));
}

TEST(Odometer, a_run_that_ends_within_its_prefix_is_a_mismatch) {
  OdometerChoices choices;
  change_run(choices, 2, [](Choices&, Span&) {});
  EXPECT_EQ(choices.mismatch(),
            "run 2, decision 1: an earlier run drew op_kind number 0 of span 9e3779b97f4a7c15 among 3, "
            "this one has ended");
  EXPECT_FALSE(choices.complete());
  EXPECT_EQ(choices.runs(), 2u);
}

TEST(Odometer, the_first_mismatch_is_the_one_that_is_told) {
  OdometerChoices choices;
  change_run(choices, 2, [](Choices& source, Span& span) {
    (void)source.draw(span, Site::op_page, 3);
    EXPECT_EQ(source.draw(span, Site::op_size, 9), 0u);  // zeros follow
  });
  EXPECT_THAT(choices.mismatch(), HasSubstr("op_page"));
  EXPECT_THAT(choices.mismatch(), Not(HasSubstr("op_size")));
}

}  // namespace
}  // namespace pagedb::sim
