// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace pagedb::pagesim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

// What a call says that must fail.
template <class Call>
std::string wrong(Call call) {
  try {
    call();
  } catch (const UsageError& error) {
    EXPECT_FALSE(error.to_do.empty());
    EXPECT_THAT(error.wrong + error.to_do, Not(HasSubstr("\n")));
    return error.wrong;
  }
  return "nothing was wrong";
}

TEST(Seeds, Ranges) {
  EXPECT_EQ(parse_seeds("0..1000").first, 0u);
  EXPECT_EQ(parse_seeds("0..1000").end, 1000u);
  EXPECT_EQ(parse_seeds("7..18446744073709551615").end, 18446744073709551615u);
}

TEST(Seeds, Malformed) {
  for (const char* text : {"", "abc", "5", "..", "5..", "..5", "-1..5", "1..-5", "1...5", "1..5..9", " 1..5", "1..5 ",
                           "0x1..5", "1..18446744073709551616", "1.5..3", "a\n..b"})
    EXPECT_THAT(wrong([&] { (void)parse_seeds(text); }), HasSubstr("is not a range of seeds")) << text;
  for (const char* text : {"5..3", "5..5"})
    EXPECT_THAT(wrong([&] { (void)parse_seeds(text); }), HasSubstr("holds no seed")) << text;
}

TEST(Duration, Units) {
  using std::chrono::milliseconds;
  EXPECT_EQ(parse_duration("500ms"), milliseconds(500));
  EXPECT_EQ(parse_duration("60s"), milliseconds(60'000));
  EXPECT_EQ(parse_duration("10m"), milliseconds(600'000));
  EXPECT_EQ(parse_duration("8h"), milliseconds(28'800'000));
}

TEST(Duration, Malformed) {
  for (const char* text : {"", "60", "s", "0s", "-1s", "1.5h", "60 s", "1d", "99999999999999999h", "9000h"})
    EXPECT_THAT(wrong([&] { (void)parse_duration(text); }), HasSubstr("is not a duration")) << text;
}

TEST(Jobs, Bounds) {
  EXPECT_EQ(parse_jobs("1"), 1u);
  EXPECT_EQ(parse_jobs("1024"), 1024u);
  for (const char* text : {"", "0", "-1", "1025", "two"})
    EXPECT_THAT(wrong([&] { (void)parse_jobs(text); }), HasSubstr("--jobs")) << text;
}

TEST(Shard, Flags) {
  const Shard shard = parse_shard("2", "5", environment({{"GTEST_SHARD_INDEX", "1"}, {"GTEST_TOTAL_SHARDS", "9"}}));
  EXPECT_EQ(shard.index, 2u);
  EXPECT_EQ(shard.count, 5u);
  EXPECT_EQ(parse_shard("", "", environment({})).count, 1u);
  EXPECT_THAT(wrong([] { (void)parse_shard("5", "5", environment({})); }), HasSubstr("shard 5 of 5 does not exist"));
  EXPECT_THAT(wrong([] { (void)parse_shard("1", "", environment({})); }), HasSubstr("shard 1 of 1 does not exist"));
  EXPECT_THAT(wrong([] { (void)parse_shard("", "0", environment({})); }), HasSubstr("does not exist"));
  EXPECT_THAT(wrong([] { (void)parse_shard("x", "5", environment({})); }), HasSubstr("--shard-index"));
}

TEST(Shard, Launchers) {
  const auto check = [](std::map<std::string, std::string> variables, std::uint64_t index, std::uint64_t count) {
    const Shard shard = parse_shard("", "", environment(std::move(variables)));
    EXPECT_EQ(shard.index, index);
    EXPECT_EQ(shard.count, count);
  };
  check({{"GTEST_SHARD_INDEX", "1"}, {"GTEST_TOTAL_SHARDS", "4"}}, 1, 4);
  check({{"SLURM_ARRAY_TASK_ID", "12"}, {"SLURM_ARRAY_TASK_MIN", "10"}, {"SLURM_ARRAY_TASK_COUNT", "3"}}, 2, 3);
  check({{"SLURM_ARRAY_TASK_ID", "14"},
         {"SLURM_ARRAY_TASK_MIN", "10"},
         {"SLURM_ARRAY_TASK_STEP", "2"},
         {"SLURM_ARRAY_TASK_COUNT", "3"}},
        2, 3);
  check({{"JOB_COMPLETION_INDEX", "3"}, {"JOB_COMPLETIONS", "4"}}, 3, 4);
  // The first launcher in the list wins.
  check({{"GTEST_SHARD_INDEX", "0"},
         {"GTEST_TOTAL_SHARDS", "2"},
         {"JOB_COMPLETION_INDEX", "3"},
         {"JOB_COMPLETIONS", "4"}},
        0, 2);
}

TEST(Shard, LaunchersThatDoNotSayEnough) {
  EXPECT_THAT(wrong([] { (void)parse_shard("", "", environment({{"JOB_COMPLETION_INDEX", "3"}})); }),
              HasSubstr("JOB_COMPLETIONS"));
  EXPECT_THAT(
      wrong([] { (void)parse_shard("", "", environment({{"GTEST_SHARD_INDEX", "x"}, {"GTEST_TOTAL_SHARDS", "4"}})); }),
      HasSubstr("GTEST_SHARD_INDEX"));
  EXPECT_THAT(wrong([] {
                (void)parse_shard("", "",
                                  environment({{"SLURM_ARRAY_TASK_ID", "1"},
                                               {"SLURM_ARRAY_TASK_MIN", "2"},
                                               {"SLURM_ARRAY_TASK_COUNT", "4"}}));
              }),
              HasSubstr("below"));
  const Shard shard = parse_shard("", "8", environment({{"JOB_COMPLETION_INDEX", "3"}}));
  EXPECT_EQ(shard.index, 3u);
  EXPECT_EQ(shard.count, 8u);
}

TEST(Suggestion, NearestNameFirst) {
  constexpr std::string_view kNames[] = {"page_file_crash", "page_file_bitrot"};
  EXPECT_EQ(suggestion("page_file_crahs", kNames),
            "did you mean page_file_crash? there are: page_file_crash, page_file_bitrot");
  EXPECT_EQ(suggestion("zzz", kNames), "there are: page_file_crash, page_file_bitrot");
}

}  // namespace
}  // namespace pagedb::pagesim
