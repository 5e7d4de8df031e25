// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Two bits a page: each state in each place, masks of a word, and what a snapshot makes of one.
#include "engine/alloc/page_states.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace pagedb::detail::page_states {
namespace {

constexpr std::uint64_t kStates[] = {kAvailable, kFreed, kCommitting, kAllocated};

/// A word with these states, put together by arithmetic.
std::uint64_t word_of(const std::array<std::uint64_t, kPagesPerWord>& states) {
  std::uint64_t word = 0;
  for (unsigned page = kPagesPerWord; page-- > 0;) word = word * 4 + states[page];
  return word;
}

/// The words of the tests: all pages in one state, one page in another, and many at random. Fixed seed.
template <class Visit>
void for_words(const Visit& visit) {
  std::array<std::uint64_t, kPagesPerWord> states{};
  for (const std::uint64_t all : kStates) {
    for (unsigned page = 0; page < kPagesPerWord; ++page) {
      for (const std::uint64_t one : kStates) {
        states.fill(all);
        states[page] = one;
        visit(states);
      }
    }
  }
  std::mt19937_64 draw(7);
  for (int round = 0; round < 2000; ++round) {
    for (std::uint64_t& state : states) state = draw() % 4;
    visit(states);
  }
}

TEST(PageStates, a_word_gives_back_what_was_put_in) {
  for_words([](const auto& states) {
    const std::uint64_t word = word_of(states);
    for (unsigned page = 0; page < kPagesPerWord; ++page) {
      ASSERT_EQ(of(word, page), states[page]) << page;
      for (const std::uint64_t state : kStates) {
        auto changed = states;
        changed[page] = state;
        ASSERT_EQ(with(word, page, state), word_of(changed)) << "the others stay";
      }
    }
  });
}

TEST(PageStates, masks_have_the_low_bit_of_each_page_in_the_state) {
  for_words([](const auto& states) {
    const std::uint64_t word = word_of(states);
    const auto mask_of = [&](std::uint64_t state) {
      std::uint64_t mask = 0;
      for (unsigned page = 0; page < kPagesPerWord; ++page) mask |= std::uint64_t{states[page] == state} << 2 * page;
      return mask;
    };
    ASSERT_EQ(available(word), mask_of(kAvailable));
    ASSERT_EQ(freed(word), mask_of(kFreed));
    ASSERT_EQ(committing(word), mask_of(kCommitting));
    ASSERT_EQ(allocated(word), mask_of(kAllocated));
    ASSERT_EQ(available(word) | freed(word) | committing(word) | allocated(word), kLow)
        << "each page is in one of them";
  });
}

TEST(PageStates, a_mask_is_a_bit_a_page_and_back) {
  for_words([](const auto& states) {
    const std::uint64_t mask = allocated(word_of(states));
    std::uint32_t pages = 0;
    for (unsigned page = 0; page < kPagesPerWord; ++page) pages |= std::uint32_t{states[page] == kAllocated} << page;
    ASSERT_EQ(compress(mask), pages);
    ASSERT_EQ(spread(pages), mask);
  });
  EXPECT_EQ(compress(kLow), 0xFFFFFFFF);
  EXPECT_EQ(spread(0xFFFFFFFF), kLow);
  EXPECT_EQ(compress(0), 0u);
  EXPECT_EQ(spread(0), 0u);
}

TEST(PageStates, a_snapshot_turns_freed_into_committing_and_nothing_else) {
  for_words([](const auto& states) {
    auto after = states;
    for (std::uint64_t& state : after) state = state == kFreed ? kCommitting : state;
    ASSERT_EQ(commit_freed(word_of(states)), word_of(after));
  });
}

// A snapshot that failed is taken again; what it had freed stays away from those who allocate.
TEST(PageStates, a_second_snapshot_changes_nothing) {
  for_words([](const auto& states) {
    const std::uint64_t once = commit_freed(word_of(states));
    ASSERT_EQ(commit_freed(once), once);
    ASSERT_EQ(available(once), available(word_of(states)));
    ASSERT_EQ(allocated(once), allocated(word_of(states)));
  });
}

TEST(PageStates, setting_both_bits_allocates_from_any_state) {
  for_words([](const auto& states) {
    for (unsigned page = 0; page < kPagesPerWord; ++page)
      ASSERT_EQ(word_of(states) | kAllocated << 2 * page, with(word_of(states), page, kAllocated));
  });
}

}  // namespace
}  // namespace pagedb::detail::page_states
