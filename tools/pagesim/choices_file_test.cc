// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/choices_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pagedb::pagesim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ChoicesFile example() {
  ChoicesFile file;
  file.scenario = "page_file_crash";
  file.seed = 17;
  file.profile = "my profiles/odd one.toml";
  file.branch = 12;
  file.log = {{{0x1234, 2, sim::Site::op_page}, 64, 3}};
  return file;
}

std::string error_of(std::string_view text) {
  std::string error;
  EXPECT_FALSE(parse_choices_file(text, error)) << text;
  EXPECT_THAT(error, Not(HasSubstr("\n")));
  return error;
}

TEST(ChoicesFile, SurvivesItsText) {
  for (const std::optional<std::uint64_t> branch : {std::optional<std::uint64_t>(12), std::optional<std::uint64_t>()}) {
    ChoicesFile file = example();
    file.branch = branch;
    std::string error;
    const auto back = parse_choices_file(to_text(file), error);
    ASSERT_TRUE(back) << error;
    EXPECT_EQ(back->scenario, file.scenario);
    EXPECT_EQ(back->seed, file.seed);
    EXPECT_EQ(back->profile, file.profile);
    EXPECT_EQ(back->branch, branch);
    ASSERT_EQ(back->log.size(), 1u);
    EXPECT_EQ(back->log[0].key, file.log[0].key);
    EXPECT_EQ(back->log[0].value, 3u);
  }
}

TEST(ChoicesFile, EveryHeaderLineIsChecked) {
  EXPECT_EQ(error_of(""), "line 1: expected 'pagedb-choices 1'");
  EXPECT_EQ(error_of("pagedb-choices 2\n"), "line 1: expected 'pagedb-choices 1'");
  std::string text = "pagedb-choices 1\n";
  EXPECT_EQ(error_of(text + "scenario \n"), "line 2: expected 'scenario NAME'");
  text += "scenario s\n";
  EXPECT_EQ(error_of(text + "seed -1\n"), "line 3: expected 'seed NUMBER'");
  text += "seed 1\n";
  EXPECT_EQ(error_of(text + "profil p\n"), "line 4: expected 'profile NAME'");
  text += "profile p\n";
  EXPECT_EQ(error_of(text + "branch some\n"), "line 5: expected 'branch NUMBER' or 'branch all'");
  text += "branch all\n";
  EXPECT_EQ(error_of(text), "line 6: expected 'choices'");
  text += "choices\n";
  EXPECT_THAT(error_of(text + "not a choice\n"), HasSubstr("after the 'choices' line"));
}

TEST(ChoicesFile, EveryPrefixIsRefusedOrWhole) {
  const std::string text = to_text(example());
  for (std::size_t size = 0; size < text.find("choices\n", 20); ++size)
    (void)error_of(std::string_view(text).substr(0, size));
}

}  // namespace
}  // namespace pagedb::pagesim
