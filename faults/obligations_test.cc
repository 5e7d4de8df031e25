// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Obligations: the table says what the design says: recover whenever a legal source exists, else detect, and excuse
// only where no evidence is left.
#include "faults/obligations.h"

#include <gtest/gtest.h>

#include <set>

namespace pagedb::faults {
namespace {

struct Row {
  PageState state;
  Obligation alone, with_images;
};

TEST(Obligations, EachRow) {
  using enum Obligation;
  const Row rows[] = {
      {PageState::intact, must_recover, must_recover}, {PageState::torn, must_detect, must_recover},
      {PageState::damaged, must_detect, must_recover}, {PageState::unreadable, must_detect, must_recover},
      {PageState::foreign, must_detect, must_recover}, {PageState::stale, excused, must_recover},
      {PageState::absent, must_detect, must_recover},
  };
  static_assert(std::size(rows) == static_cast<std::size_t>(PageState::count_), "a state has no row here");
  for (const Row& row : rows) {
    EXPECT_EQ(obligation(row.state, Protection::none), row.alone) << name(row.state);
    EXPECT_EQ(obligation(row.state, Protection::full_images), row.with_images) << name(row.state);
  }
}

TEST(Obligations, NamesAreTheirOwn) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < static_cast<std::size_t>(PageState::count_); ++i)
    names.insert(name(static_cast<PageState>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(PageState::count_));
  EXPECT_EQ(name(PageState::intact), "intact");
  EXPECT_EQ(name(PageState::foreign), "foreign");
  EXPECT_EQ(name(PageState::absent), "absent");
}

}  // namespace
}  // namespace pagedb::faults
