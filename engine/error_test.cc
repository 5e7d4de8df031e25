// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Names and messages: every code has its own, on one line, with the facts in it.
#include "engine/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/check.h"

namespace pagedb {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<ErrorCode> all_codes() {
  std::vector<ErrorCode> codes;
  for (int i = 0; i <= static_cast<int>(ErrorCode::allocation_damaged); ++i) codes.push_back(static_cast<ErrorCode>(i));
  return codes;
}

TEST(ErrorTest, every_code_has_its_own_name_and_message) {
  std::set<std::string_view> names;
  std::set<std::string> messages;
  for (const ErrorCode code : all_codes()) {
    names.insert(name(code));
    const std::string message = PageError{.code = code}.message();
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    EXPECT_GE(message.size(), 10u);
    messages.insert(message);
  }
  EXPECT_EQ(names.size(), all_codes().size());
  EXPECT_EQ(messages.size(), all_codes().size());
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(name(ErrorCode::bad_checksum), "bad_checksum");
}

TEST(ErrorTest, messages_carry_the_facts) {
  const PageError checksum{.code = ErrorCode::bad_checksum, .stored_crc = 0x0000beef, .computed_crc = 0x12345678};
  EXPECT_THAT(checksum.about(PageId{42}).message(), HasSubstr("page 42: "));
  EXPECT_THAT(checksum.message(), HasSubstr("stored 0x0000beef, computed 0x12345678"));
  EXPECT_THAT(checksum.message(), Not(HasSubstr("page 0")));

  const PageError size{.code = ErrorCode::wrong_page_size, .expected = 16384, .actual = 4096};
  EXPECT_THAT(size.message(), HasSubstr("4096 bytes, not 16384"));

  const PageError headerless{.code = ErrorCode::headerless_file, .actual = 8192};
  EXPECT_THAT(headerless.message(), HasSubstr("`legacy` and page size 8192"));

  const PageError device{.code = ErrorCode::io_error, .sys_errno = EIO};
  EXPECT_THAT(device.message(), HasSubstr("[Input/output error]"));
}

TEST(ErrorTest, about_changes_only_the_page) {
  const PageError error{.code = ErrorCode::beyond_end, .actual = 9};
  const PageError about = error.about(PageId{11});
  EXPECT_FALSE(error.has_page);
  EXPECT_TRUE(about.has_page);
  EXPECT_EQ(about.page, PageId{11});
  EXPECT_EQ(about.code, ErrorCode::beyond_end);
  EXPECT_EQ(about.actual, 9u);
}

TEST(CheckDeathTest, a_broken_contract_says_where_and_why) {
  EXPECT_DEATH(PAGEDB_CHECK(1 == 2, "numbers differ"),
               "error_test.cc:[0-9]+: contract broken: 1 == 2 \\(numbers differ\\)");
}

}  // namespace
}  // namespace pagedb
