// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The three summaries of one made-up campaign.
#include "reports/summary.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "faults/fault.h"
#include "reports/text.h"

namespace pagedb::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Summary clean() {
  Summary summary;
  summary.build = {"9.8.7", "GNU 12", "Release", "none"};
  scenarios::CampaignResult& campaign = summary.campaign;
  campaign.totals.seeds = 1000;
  campaign.totals.crashes = 1234567;
  campaign.totals.recoveries_verified = 100000;
  campaign.totals.recoveries_repeated = 5;
  campaign.totals.sim_ios = 3000000;
  campaign.totals.faults[static_cast<std::size_t>(faults::FaultKind::bit_rot)] = 42;
  campaign.totals.fates[static_cast<std::size_t>(faults::Fate::detected)] = 40;
  campaign.scenarios.push_back({"page_file_crash", "nvme-512", campaign.totals, 0});
  campaign.trace_hash = 0xabc;
  campaign.wall_s = 10;
  campaign.core_s = 20;
  return summary;
}

Summary broken() {
  Summary summary = clean();
  scenarios::Violation violation;
  violation.scenario = "page_file_crash";
  violation.seed = 17;
  violation.profile = "nvme-512";
  violation.invariant = scenarios::Invariant::typed_errors;
  violation.branch = 12;
  violation.message = "page 3 <read> \"ok\" & wrong \xff\x01";
  violation.command = "build/pagesim replay page_file_crash:17";
  summary.campaign.violations.push_back(violation);
  summary.campaign.violations_found = 1;
  summary.campaign.scenarios[0].violations = 1;
  return summary;
}

TEST(TextSummary, SaysWhatWasDone) {
  const std::string text = text_summary(clean(), false);
  EXPECT_THAT(text, HasSubstr("page-db campaign: clean\n"));
  EXPECT_THAT(text, HasSubstr("1,234,567"));
  EXPECT_THAT(text, ::testing::ContainsRegex("recoveries verified +100,000\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("bit_rot +42\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("detected +40\n"));
  EXPECT_THAT(text, Not(HasSubstr("torn_write")));  // none: no row
  EXPECT_THAT(text, ::testing::ContainsRegex("recoveries verified per core-second +5,000\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("simulated I/Os per core-second +150,000\n"));
  EXPECT_THAT(text, HasSubstr("0x0000000000000abc"));
  EXPECT_THAT(text, HasSubstr("page-db 9.8.7, GNU 12, Release, sanitizer: none"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("real disk")));
}

TEST(TextSummary, GivesTheReplayCommandOfAViolation) {
  const std::string text = text_summary(broken(), false);
  EXPECT_THAT(text, HasSubstr("page-db campaign: 1 violation\n"));
  EXPECT_THAT(text, HasSubstr("page_file_crash:17 typed-errors, crash branch 12\n"));
  EXPECT_THAT(text, HasSubstr("replay: build/pagesim replay page_file_crash:17\n"));
}

std::size_t replays_in(const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find("replay: "); at != std::string::npos; at = text.find("replay: ", at + 1)) ++count;
  return count;
}

TEST(TextSummary, ShowsTwentySeedsAndCountsTheRest) {
  Summary summary = broken();
  summary.campaign.violations.resize(30, summary.campaign.violations.front());
  for (std::size_t i = 0; i < 30; ++i) summary.campaign.violations[i].seed = i;
  summary.campaign.violations_found = 2030;
  const std::string text = text_summary(summary, false);
  EXPECT_EQ(replays_in(text), 20u);
  EXPECT_THAT(text, HasSubstr("2,010 more"));
}

TEST(TextSummary, ShowsASeedOnce) {
  Summary summary = broken();
  summary.campaign.violations.resize(5, summary.campaign.violations.front());
  summary.campaign.violations_found = 5;
  const std::string text = text_summary(summary, false);
  EXPECT_EQ(replays_in(text), 1u);
  EXPECT_THAT(text, HasSubstr("(and 4 more in this seed)"));
  EXPECT_THAT(text, Not(HasSubstr("--out DIR")));
}

TEST(TextSummary, ColoursOnlyWhenAsked) { EXPECT_THAT(text_summary(broken(), true), HasSubstr("\x1b[31m")); }

TEST(TextSummary, TellsOfNondeterminismInfrastructureAndRealDisk) {
  Summary summary = clean();
  summary.campaign.infrastructure_errors.push_back("no worker process");
  EXPECT_THAT(text_summary(summary, false), HasSubstr("page-db campaign: incomplete"));
  summary.campaign.nondeterminism.push_back(
      {"page_file_crash", 63, "two runs differ", "pagesim replay x --check-determinism"});
  summary.real.push_back({"page_file_crash", "/tmp/real", 0.5, ""});
  summary.real.push_back({"redo_full_images", "/tmp/real", 0.5, "page 3 lost"});
  const std::string text = text_summary(summary, false);
  EXPECT_THAT(text, HasSubstr("1 seed did not do the same thing twice"));
  EXPECT_THAT(text, HasSubstr("no worker process"));
  EXPECT_THAT(text, HasSubstr("compare: pagesim replay x --check-determinism"));
  EXPECT_THAT(text, HasSubstr("/tmp/real"));
  EXPECT_THAT(text, HasSubstr("page 3 lost"));
}

TEST(JsonSummary, HasTheKeysOfTheContract) {
  const auto json = nlohmann::json::parse(json_summary(broken()));
  for (const char* key : {"seeds", "crashes", "recoveries_verified", "sim_ios", "faults", "fates", "violations",
                          "wall_s", "recoveries_per_core_s", "sim_ios_per_core_s", "trace_hash", "build"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["seeds"], 1000);
  EXPECT_EQ(json["faults"]["bit_rot"], 42);
  EXPECT_EQ(json["faults"]["torn_write"], 0);
  EXPECT_EQ(json["faults"].size(), faults::kFaultKindCount);
  EXPECT_EQ(json["fates"]["detected"], 40);
  EXPECT_EQ(json["fates"].size(), faults::kFateCount);
  EXPECT_EQ(json["recoveries_per_core_s"], 5000.0);
  EXPECT_EQ(json["sim_ios_per_core_s"], 150000.0);
  EXPECT_EQ(json["trace_hash"], "0x0000000000000abc");
  EXPECT_EQ(json["build"]["compiler"], "GNU 12");
  ASSERT_EQ(json["violations"].size(), 1u);
  const auto& violation = json["violations"][0];
  EXPECT_EQ(violation["scenario"], "page_file_crash");
  EXPECT_EQ(violation["seed"], 17);
  EXPECT_EQ(violation["invariant"], "typed-errors");
  EXPECT_THAT(violation["message"].get<std::string>(), HasSubstr("page 3 <read>"));
  EXPECT_EQ(violation["replay"], "build/pagesim replay page_file_crash:17");
  EXPECT_EQ(json["scenarios"][0]["scenario"], "page_file_crash");
}

TEST(JsonSummary, RatesAreNumbersWithoutTime) {
  Summary summary = clean();
  summary.campaign.core_s = 0;
  EXPECT_EQ(nlohmann::json::parse(json_summary(summary))["recoveries_per_core_s"], 0.0);
}

TEST(JunitSummary, OneCaseAScenarioWithEscapedFailures) {
  EXPECT_THAT(junit_summary(clean()), HasSubstr("tests=\"1\" failures=\"0\" errors=\"0\""));
  const std::string xml = junit_summary(broken());
  EXPECT_THAT(xml, HasSubstr("tests=\"1\" failures=\"1\" errors=\"0\""));
  EXPECT_THAT(xml, HasSubstr("<testcase name=\"page_file_crash\" classname=\"pagesim.nvme-512\">"));
  EXPECT_THAT(
      xml, HasSubstr("<failure type=\"typed-errors\" message=\"page 3 &lt;read&gt; &quot;ok&quot; &amp; wrong ??\">"));
  EXPECT_THAT(xml, HasSubstr("build/pagesim replay page_file_crash:17"));
}

TEST(JunitSummary, ErrorsForNondeterminismAndInfrastructure) {
  Summary summary = clean();
  summary.campaign.infrastructure_errors.push_back("no worker process");
  summary.campaign.nondeterminism.push_back({"page_file_crash", 63, "two runs differ", "pagesim replay"});
  const std::string xml = junit_summary(summary);
  EXPECT_THAT(xml, HasSubstr("tests=\"2\" failures=\"0\" errors=\"2\""));
  EXPECT_THAT(xml, HasSubstr("type=\"nondeterminism\""));
  EXPECT_THAT(xml, HasSubstr("type=\"infrastructure\""));
}

TEST(JunitSummary, ViolationsBeyondTheKeptOnesStillFail) {
  Summary summary = clean();
  summary.campaign.scenarios[0].violations = 1;
  EXPECT_THAT(junit_summary(summary), HasSubstr("failures=\"1\""));
}

TEST(Text, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567890), "1,234,567,890");
}

TEST(Text, TableAlignsColumns) {
  Table table(1);
  table.row({"a", "1"});
  table.row({"long", "1000"});
  EXPECT_EQ(table.text(), "a        1\nlong  1000\n");
}

TEST(Text, NoColourWithoutATerminal) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  EXPECT_FALSE(wants_colour(pipe[1]));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(Text, NoColourOnATerminalWhenNoColorIsSet) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(wants_colour(terminal));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(wants_colour(terminal));
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(wants_colour(terminal));
  ::close(terminal);
}

}  // namespace
}  // namespace pagedb::reports
