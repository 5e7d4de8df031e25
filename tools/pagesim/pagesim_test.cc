// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The program as scripts see it: exit codes, what goes to which stream, files written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "scenarios/result.h"

namespace pagedb::pagesim {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Ended {
  int code = -1;
  std::string out, err;
};

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Pagesim : public ::testing::Test {
 protected:
  Pagesim() : directory_(fs::temp_directory_path() / ("pagesim_test." + std::to_string(::getpid()))) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    for (const char* name : {"GTEST_SHARD_INDEX", "GTEST_TOTAL_SHARDS"}) ::unsetenv(name);  // are for this program
  }
  ~Pagesim() override { fs::remove_all(directory_); }

  // Runs pagesim through the shell, `before` being what stands before the program.
  Ended pagesim(const std::string& arguments, const std::string& before = "") const {
    const std::string errors = path("stderr");
    const std::string line =
        before + " " + scenarios::shell_quoted(PAGESIM) + " " + arguments + " 2>" + scenarios::shell_quoted(errors);
    Ended ended;
    std::FILE* pipe = ::popen(line.c_str(), "r");
    char buffer[4096];
    for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) ended.out.append(buffer, got);
    const int status = ::pclose(pipe);
    ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ended.err = text_of(errors);
    return ended;
  }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  // A usage error: exit 2, nothing on stdout, two lines on stderr, the first of which says what is wrong.
  void expect_usage(const std::string& arguments, const std::string& says, const std::string& before = "") const {
    const Ended ended = pagesim(arguments, before);
    EXPECT_EQ(ended.code, 2) << arguments;
    EXPECT_EQ(ended.out, "") << arguments;
    EXPECT_EQ(std::ranges::count(ended.err, '\n'), 2) << ended.err;
    EXPECT_THAT(ended.err.substr(0, ended.err.find('\n')), HasSubstr(says)) << arguments;
  }

 private:
  fs::path directory_;
};

TEST_F(Pagesim, UsageErrorsOfFlags) {
  expect_usage("", "no command given");
  expect_usage("fly", "fly");
  expect_usage("run --sceanrio all", "--sceanrio");
  expect_usage("run --jobs", "--jobs");
  expect_usage("replay", "target");
}

TEST_F(Pagesim, UsageErrorsOfRun) {
  expect_usage("run --scenario page_file_crahs", "there is no scenario 'page_file_crahs'");
  expect_usage("run --seeds 5..3", "holds no seed");
  expect_usage("run --seeds abc", "is not a range of seeds");
  expect_usage("run --seeds=-1..4", "is not a range of seeds");
  expect_usage("run --seeds 0..99999999999999999999", "is not a range of seeds");
  expect_usage("run --seeds 0..4 --for 1s", "exclude each other");
  expect_usage("run --for soon", "is not a duration");
  expect_usage("run --jobs 0", "--jobs");
  expect_usage("run --format xml", "there is no format 'xml'");
  expect_usage("run --shard-index 4 --shard-count 4", "shard 4 of 4 does not exist");
  expect_usage("run", "JOB_COMPLETIONS", "JOB_COMPLETION_INDEX=1");
  expect_usage("run --out /dev/null/x", "--out: cannot write to '/dev/null/x'");
  expect_usage("run --real /dev/null/x", "--real: cannot write to '/dev/null/x'");
}

TEST_F(Pagesim, UsageErrorsSuggestTheNearestName) {
  EXPECT_THAT(pagesim("run --scenario page_file_crahs").err, HasSubstr("did you mean page_file_crash?"));
  EXPECT_THAT(pagesim("run --profile nvme-521").err, HasSubstr("did you mean nvme-512?"));
}

TEST_F(Pagesim, UsageErrorsOfProfiles) {
  expect_usage("run --profile no-such", "neither a built-in profile nor a file");
  std::ofstream(path("bad.toml")) << "queue_dept = 3\n";
  expect_usage("run --profile " + path("bad.toml"), "unknown key \"queue_dept\"");
}

TEST_F(Pagesim, UsageErrorsOfReplay) {
  expect_usage("replay page_file_crash", "neither SCENARIO:SEED nor a file");
  expect_usage("replay page_file_crash:x", "is not a number");
  expect_usage("replay nothing:3", "there is no scenario 'nothing'");
  expect_usage("replay missing.choices", "cannot be read");
  std::ofstream(path("bad.choices")) << "hello\n";
  expect_usage("replay " + path("bad.choices"), "line 1");
  expect_usage("replay page_file_crash:0 --branch x", "--branch");
  expect_usage("replay page_file_crash:0 --branch 999999999", "has no crash branch 999999999");
  expect_usage("replay page_file_crash:0 --trace /dev/null/x", "--trace: cannot write");
}

TEST_F(Pagesim, HelpAndVersionAndList) {
  EXPECT_EQ(pagesim("--help").code, 0);
  EXPECT_THAT(pagesim("run --help").out, HasSubstr("--shard-count"));
  EXPECT_THAT(pagesim("--version").out, StartsWith("pagesim "));
  const Ended listed = pagesim("list");
  EXPECT_EQ(listed.code, 0);
  EXPECT_THAT(listed.out, HasSubstr("page_file_crash"));
  EXPECT_THAT(listed.out, HasSubstr("sata-512e-misaligned"));
}

TEST_F(Pagesim, JsonHasTheContractsKeysAndDoesNotDependOnJobs) {
  const Ended one = pagesim("run --scenario page_file_crash --seeds 0..65 --jobs 1 --format json");
  ASSERT_EQ(one.code, 0) << one.out << one.err;
  EXPECT_EQ(one.err, "");
  const auto json = nlohmann::json::parse(one.out);
  for (const char* key : {"seeds", "crashes", "recoveries_verified", "sim_ios", "faults", "fates", "violations",
                          "wall_s", "recoveries_per_core_s", "sim_ios_per_core_s", "trace_hash", "build"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["seeds"], 65);
  EXPECT_GT(json["crashes"], 0);
  const Ended two = pagesim("run --scenario page_file_crash --seeds 0..65 --jobs 2 --format json");
  EXPECT_EQ(nlohmann::json::parse(two.out)["trace_hash"], json["trace_hash"]);
}

TEST_F(Pagesim, OutHoldsTheThreeSummaries) {
  const std::string out = path("new/out");
  const Ended ended = pagesim("run --scenario page_file_crash --seeds 0..2 --out " + out);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("page-db campaign: clean"));
  EXPECT_EQ(nlohmann::json::parse(text_of(out + "/summary.json"))["seeds"], 2);
  EXPECT_THAT(text_of(out + "/junit.xml"), HasSubstr("<testcase name=\"page_file_crash\""));
  EXPECT_EQ(text_of(out + "/summary.txt"), ended.out);
}

TEST_F(Pagesim, ShardsComeFromTheEnvironment) {
  const Ended none =
      pagesim("run --scenario page_file_crash --seeds 0..2 --format json", "GTEST_SHARD_INDEX=1 GTEST_TOTAL_SHARDS=2");
  EXPECT_EQ(none.code, 0);
  EXPECT_EQ(nlohmann::json::parse(none.out)["seeds"], 0);
}

TEST_F(Pagesim, ReplayTellsTimelineAndVerdictAndIsDeterministic) {
  const std::string trace = path("trace.json");
  const Ended ended = pagesim("replay page_file_crash:3 --check-determinism --trace " + trace);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("page_file_crash:3 on "));
  EXPECT_THAT(ended.out, HasSubstr("submit_write"));
  EXPECT_THAT(ended.out, HasSubstr("verdict: clean"));
  EXPECT_THAT(ended.out, HasSubstr("determinism: a second run"));
  EXPECT_FALSE(nlohmann::json::parse(text_of(trace))["traceEvents"].empty());
}

TEST_F(Pagesim, ARecordingThatDoesNotFitIsNondeterminism) {
  std::ofstream(path("x.choices"))
      << "pagedb-choices 1\nscenario page_file_crash\nseed 3\nprofile nvme-512\nbranch all\nchoices\n";
  const Ended ended = pagesim("replay " + path("x.choices"));
  EXPECT_EQ(ended.code, 4) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("does not fit"));
}

TEST_F(Pagesim, RealRunIsReported) {
  // Beside the program: build trees stand on file systems with direct I/O more often than /tmp does.
  const fs::path real = fs::path(PAGESIM).parent_path() / "pagesim_test_real";
  const Ended ended =
      pagesim("run --scenario page_file_crash --seeds 0..1 --real " + scenarios::shell_quoted(real.string()));
  fs::remove_all(real);
  if (ended.code == 3) {
    EXPECT_THAT(ended.out, HasSubstr("no direct I/O in"));
    return;
  }
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("on a real disk"));
}

}  // namespace
}  // namespace pagedb::pagesim
