// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Timeline and Chrome trace of a made-up run with two crash branches.
#include "reports/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace pagedb::reports {
namespace {

using sim::Event;
using sim::EventKind;
using ::testing::HasSubstr;
using ::testing::Not;

Event at(std::uint64_t time_ns, EventKind kind, std::uint8_t depth, std::uint64_t a, std::uint16_t fiber = 0) {
  Event event;
  event.kind = kind;
  event.depth = depth;
  event.fiber = fiber;
  event.file = 1;
  event.time_ns = time_ns;
  event.a = a;
  return event;
}

// Two overlapping writes of fiber 1; a branch hangs at each completion.
std::vector<Event> run() {
  return {
      at(0, EventKind::submit_write, 0, 101, 1),  at(1000, EventKind::submit_write, 0, 102, 1),
      at(2000, EventKind::done_write, 0, 101, 1), at(2000, EventKind::crash, 1, 1),
      at(2500, EventKind::submit_read, 1, 201),   at(2600, EventKind::done_read, 1, 201),
      at(2700, EventKind::page_ok, 1, 55),        at(3000, EventKind::done_write, 0, 102, 1),
      at(3000, EventKind::crash, 1, 2),           at(3100, EventKind::submit_read, 1, 201),
      at(3150, EventKind::crash, 2, 1),           at(3200, EventKind::page_error, 2, 66),
      at(4000, EventKind::resize, 0, 77, 1),
  };
}

std::size_t lines_of(const std::string& text) { return static_cast<std::size_t>(std::ranges::count(text, '\n')); }

TEST(Timeline, FindsTheLastBranch) {
  EXPECT_EQ(last_branch(run()), 2u);
  EXPECT_EQ(last_branch(std::vector<Event>{at(0, EventKind::resize, 0, 1)}), std::nullopt);
}

TEST(Timeline, ShowsTheTrunkAndOneBranchInOrder) {
  const std::string text = timeline(run(), 2, false);
  EXPECT_EQ(lines_of(text), 5u + 4u);  // the trunk and branch 2
  EXPECT_THAT(text, HasSubstr("  [crash branch 1]\n"));
  EXPECT_THAT(text, HasSubstr("page_error"));
  EXPECT_THAT(text, Not(HasSubstr("page_ok")));
  EXPECT_LT(text.find("[crash branch 1]"), text.find("page_error"));
  EXPECT_LT(text.find("page_error"), text.find("resize"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Timeline, NamesBranchesThatFollowEachOtherAsOneRange) {
  std::vector<Event> events = run();
  events.erase(events.begin() + 7);  // the trunk event between the branches
  const std::string text = timeline(events, std::nullopt, false);
  EXPECT_THAT(text, HasSubstr("  [crash branches 1-2]\n"));
  EXPECT_EQ(lines_of(text), 4u);
}

TEST(Timeline, WhatACrashLeftBelongsToItsBranch) {
  const std::vector<Event> events = {
      at(0, EventKind::submit_write, 0, 101), at(0, EventKind::lost, 1, 0),    at(0, EventKind::crash, 1, 1),
      at(0, EventKind::page_ok, 1, 55),       at(0, EventKind::resize, 0, 77), at(0, EventKind::survived, 1, 0),
      at(0, EventKind::crash, 1, 2),
  };
  const std::string text = timeline(events, 2, false);
  EXPECT_THAT(text, HasSubstr("survived"));
  EXPECT_THAT(text, Not(HasSubstr("lost")));
  EXPECT_EQ(lines_of(text), 4u);
}

TEST(Timeline, AVerdictStandsInItsOwnBranch) {
  std::vector<Event> events = run();
  Event verdict = at(2800, EventKind::verdict, 0, 1);
  verdict.b = 1;
  events.insert(events.begin() + 7, verdict);
  EXPECT_THAT(timeline(events, 1, false), HasSubstr("verdict"));
  EXPECT_THAT(timeline(events, 2, false), Not(HasSubstr("verdict")));
}

TEST(Timeline, ColoursWhenAsked) { EXPECT_THAT(timeline(run(), 2, true), HasSubstr("\x1b[31m")); }

TEST(Timeline, EmptyRun) { EXPECT_EQ(timeline({}, std::nullopt, false), ""); }

TEST(ChromeTrace, PairsTransfersAndKeepsOverlappingOnesApart) {
  const auto json = nlohmann::json::parse(chrome_trace(run(), 1));
  std::vector<nlohmann::json> slices;
  for (const auto& event : json["traceEvents"])
    if (event["ph"] == "X") slices.push_back(event);
  ASSERT_EQ(slices.size(), 3u);
  EXPECT_EQ(slices[0]["name"], "write");
  EXPECT_EQ(slices[0]["ts"], 0.0);
  EXPECT_EQ(slices[0]["dur"], 2.0);
  EXPECT_EQ(slices[1]["name"], "read");
  EXPECT_EQ(slices[1]["pid"], 1);
  EXPECT_EQ(slices[2]["ts"], 1.0);
  EXPECT_EQ(slices[2]["dur"], 2.0);
  EXPECT_NE(slices[0]["tid"], slices[2]["tid"]);
}

TEST(ChromeTrace, UnfinishedTransfersAndOtherEventsAreInstants) {
  const auto json = nlohmann::json::parse(chrome_trace(run(), 2));
  std::vector<std::string> instants;
  for (const auto& event : json["traceEvents"])
    if (event["ph"] == "i") instants.push_back(event["name"]);
  EXPECT_THAT(instants, ::testing::UnorderedElementsAre("crash", "crash", "page_error", "resize", "submit_read"));
}

}  // namespace
}  // namespace pagedb::reports
