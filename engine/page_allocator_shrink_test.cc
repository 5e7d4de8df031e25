// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator::shrink_to_fit: what it gives back, in which order, and what it leaves alone.
#include "engine/page_allocator_test.h"

namespace pagedb::testing_support {
namespace {

class PageAllocatorShrink : public PageAllocatorTest {
 protected:
  std::uint64_t file_pages() const { return std::filesystem::file_size(path_) / 4096; }
  /// Writes the page, so that the file reaches at least there.
  void extend_to(std::uint64_t page) { ASSERT_TRUE(write_version(*file_, page, 1)); }
};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorShrink, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

TEST_P(PageAllocatorShrink, trailing_free_pages_go_back_to_the_file_system) {
  make();
  const auto taken = take(2000);
  extend_to(taken.back());
  must(pages_->sync());
  for (std::size_t i = 500; i < taken.size(); ++i) give(taken[i]);
  must(pages_->sync());
  EXPECT_EQ(pages_->high_water(), PageId{taken.back() + 1});
  must(pages_->shrink_to_fit());
  EXPECT_EQ(pages_->high_water(), PageId{taken[499] + 1});
  EXPECT_EQ(file_pages(), taken[499] + 1);
  EXPECT_EQ(file_->page_count(), taken[499] + 1);
  EXPECT_EQ(pages_->free_count(), 0u);
  EXPECT_EQ(read_error(*file_, taken.back()), ErrorCode::beyond_end);
  for (int opening = 0; opening < 2; ++opening) {
    EXPECT_EQ(all(), std::vector(taken.begin(), taken.begin() + 500));
    reopen();
    EXPECT_EQ(pages_->high_water(), PageId{taken[499] + 1});
  }
  EXPECT_EQ(take(), taken[500]) << "and come again";
  extend_to(taken[500]);
  must(pages_->sync());
  EXPECT_EQ(file_pages(), taken[500] + 1);
}

TEST_P(PageAllocatorShrink, pages_that_were_just_freed_are_part_of_it) {
  make();
  const auto taken = take(1000);
  extend_to(taken.back());
  must(pages_->sync());
  for (std::size_t i = 400; i < taken.size(); ++i) give(taken[i]);
  give(taken[3]);
  must(pages_->shrink_to_fit());
  EXPECT_EQ(pages_->high_water(), PageId{taken[399] + 1});
  EXPECT_EQ(file_pages(), taken[399] + 1);
  EXPECT_EQ(pages_->free_count(), 1u);
  EXPECT_EQ(must(pages_->allocate_near(PageId{taken[3]})).value, taken[3]) << "it is durably free";
  EXPECT_EQ(take(), taken[400]);
  expect_consistent();
}

TEST_P(PageAllocatorShrink, syncs_what_else_there_is) {
  make();
  const auto taken = take(10);
  must(pages_->shrink_to_fit());
  reopen();
  EXPECT_EQ(all(), taken);
}

TEST_P(PageAllocatorShrink, with_nothing_to_give_back_nothing_is_lost) {
  for (const bool opener : {false, true}) {
    make();
    const auto taken = take(700);
    extend_to(taken.back());
    must(pages_->sync());
    if (opener) reopen();
    const std::uint64_t length = file_pages();
    for (int times = 0; times < 3; ++times) {
      must(pages_->shrink_to_fit());
      EXPECT_EQ(all(), taken);
      EXPECT_EQ(pages_->high_water(), PageId{taken.back() + 1});
      EXPECT_EQ(file_pages(), length);
    }
    reopen();
    EXPECT_EQ(all(), taken);
    EXPECT_EQ(take(), taken.back() + 1);
  }
}

TEST_P(PageAllocatorShrink, the_maps_own_first_pages_stay) {
  make();
  const auto taken = take(2000);
  extend_to(taken.back());
  give(taken);
  must(pages_->shrink_to_fit());
  EXPECT_EQ(pages_->high_water(), PageId{0});
  EXPECT_EQ(pages_->free_count(), 0u);
  EXPECT_EQ(file_pages(), kZoneEnd);
  reopen();
  EXPECT_EQ(all(), std::vector<std::uint64_t>{});
  EXPECT_EQ(take(), kFirst);
  must(pages_->shrink_to_fit());
  EXPECT_EQ(file_pages(), kZoneEnd);
  reopen();
  EXPECT_EQ(all(), std::vector<std::uint64_t>{kFirst});
}

TEST_P(PageAllocatorShrink, a_file_that_is_empty_or_shorter_than_its_pages_is_not_extended) {
  make();
  must(pages_->shrink_to_fit());
  EXPECT_LE(file_pages(), kZoneEnd);
  const auto taken = take(2000);  // never written
  must(pages_->sync());
  const std::uint64_t length = file_pages();
  give(taken.back());
  must(pages_->shrink_to_fit());
  EXPECT_EQ(file_pages(), length);
  EXPECT_EQ(pages_->high_water(), PageId{taken.back()});
}

TEST_P(PageAllocatorShrink, whole_regions_go_and_come_again) {
  make();
  const auto taken = take(300);
  std::vector<std::uint64_t> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(run(pages_->run_max()));
  extend_to(runs.back() + 100);
  must(pages_->sync());
  for (const std::uint64_t first : runs) {
    for (std::uint64_t i = first == runs[0] ? 5 : 0; i < pages_->run_max(); ++i) give(first + i);
  }
  must(pages_->shrink_to_fit());
  EXPECT_EQ(pages_->high_water(), PageId{runs[0] + 5});
  EXPECT_EQ(file_pages(), runs[0] + 5);
  reopen();
  EXPECT_EQ(all().size(), 305u);
  for (std::size_t i = 1; i < runs.size(); ++i) EXPECT_EQ(run(pages_->run_max()), runs[i]);
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all().size(), 305 + 3 * pages_->run_max());
  expect_consistent();
}

TEST_P(PageAllocatorShrink, allocating_after_it_gives_each_page_once) {
  make();
  const auto taken = take(3000);
  must(pages_->sync());
  for (std::size_t i = 0; i < taken.size(); ++i) {
    if (i % 5 != 0 || i > 1500) give(taken[i]);
  }
  must(pages_->sync());  // there are open chunks behind what stays
  must(pages_->shrink_to_fit());
  std::set<std::uint64_t> seen;
  for (const std::uint64_t page : all()) seen.insert(page);
  EXPECT_EQ(pages_->high_water(), PageId{*seen.rbegin() + 1});
  for (int i = 0; i < 20; ++i) {
    for (const std::uint64_t page : take(100)) ASSERT_TRUE(seen.insert(page).second) << page;
    const std::uint64_t first = run(70);
    for (std::uint64_t page = first; page < first + 70; ++page) ASSERT_TRUE(seen.insert(page).second) << page;
  }
  EXPECT_EQ(all(), std::vector(seen.begin(), seen.end()));
  expect_consistent();
  EXPECT_LT(pages_->high_water().value, 5100u) << "what was free is used before new pages are";
}

TEST_P(PageAllocatorShrink, the_file_is_cut_when_nothing_durable_refers_to_what_goes) {
  make();
  const auto taken = take(2000);
  extend_to(taken.back());
  must(pages_->sync());
  for (std::size_t i = 500; i < taken.size(); ++i) give(taken[i]);
  note_order();
  system_.on_truncate = [this](off_t bytes) -> FaultySystem::Answer {
    order_ += "cut" + std::to_string(bytes / 4096) + " ";
    return std::nullopt;
  };
  must(pages_->shrink_to_fit());
  EXPECT_EQ(order_, "node0.0 sync slot sync twin sync cut" + std::to_string(taken[499] + 1) + " sync ");
}

TEST_P(PageAllocatorShrink, a_cut_that_fails_is_reported_and_can_be_repeated) {
  make();
  const auto taken = take(2000);
  extend_to(taken.back());
  must(pages_->sync());
  const std::uint64_t length = file_pages();
  for (std::size_t i = 500; i < taken.size(); ++i) give(taken[i]);
  system_.on_truncate = [](off_t) { return -EIO; };
  for (int attempt = 0; attempt < 2; ++attempt) {
    const PageError error = error_of(pages_->shrink_to_fit());
    EXPECT_EQ(error.code, ErrorCode::io_error);
    EXPECT_EQ(error.sys_errno, EIO);
    EXPECT_FALSE(file_->poisoned());
    EXPECT_EQ(file_pages(), length);
    EXPECT_EQ(all(), std::vector(taken.begin(), taken.begin() + 500));
  }
  // One interruption is nothing.
  int calls = 0;
  system_.on_truncate = [&](off_t) -> FaultySystem::Answer {
    if (calls++ == 0) return -EINTR;
    return std::nullopt;
  };
  must(pages_->shrink_to_fit());
  EXPECT_EQ(file_pages(), taken[499] + 1);
  reopen();
  EXPECT_EQ(all(), std::vector(taken.begin(), taken.begin() + 500));
}

TEST_P(PageAllocatorShrink, after_a_failed_cut_allocating_goes_on) {
  make();
  const auto taken = take(2000);
  extend_to(taken.back());
  for (std::size_t i = 500; i < taken.size(); ++i) give(taken[i]);
  system_.on_truncate = [](off_t) { return -EIO; };
  EXPECT_FALSE(pages_->shrink_to_fit());
  system_.on_truncate = nullptr;
  EXPECT_EQ(take(), taken[500]);
  must(pages_->sync());
  EXPECT_EQ(file_pages(), taken.back() + 1) << "a sync cuts nothing";
  reopen();
  EXPECT_EQ(all().size(), 501u);
}

TEST_P(PageAllocatorShrink, when_its_commit_fails_the_pages_stay_and_counts_stay_right) {
  skip_syncs();
  for (const bool slots : {false, true}) {
    for (const bool pending : {false, true}) {
      make();
      const auto taken = take(2000);
      extend_to(taken.back());
      must(pages_->sync());
      for (std::size_t i = 500; i < taken.size(); ++i) give(taken[i]);
      if (!pending) must(pages_->sync());
      const std::uint64_t high_water = pages_->high_water().value;
      const std::uint64_t length = file_pages();
      fail_writes(slots, EIO);
      for (int attempt = 0; attempt < 2; ++attempt) {
        EXPECT_EQ(error_of(pages_->shrink_to_fit()).code, ErrorCode::io_error);
        EXPECT_EQ(file_pages(), length);
        EXPECT_EQ(all(), std::vector(taken.begin(), taken.begin() + 500));
        EXPECT_LE(pages_->high_water().value, high_water) << "no page was allocated";
        expect_consistent();
      }
      failing_ = false;
      must(pages_->sync());
      // Where a slot was to blame, the commit that repeats it may finish what was begun.
      EXPECT_TRUE(file_pages() == length || (slots && file_pages() == taken[499] + 1)) << file_pages();
      EXPECT_LE(pages_->high_water().value, high_water);
      expect_consistent();
      reopen();
      EXPECT_EQ(all(), std::vector(taken.begin(), taken.begin() + 500));
      EXPECT_LE(pages_->high_water().value, high_water);
      must(pages_->shrink_to_fit());
      EXPECT_EQ(file_pages(), taken[499] + 1);
      EXPECT_EQ(take(), taken[500]);
    }
  }
}

TEST_P(PageAllocatorShrink, every_page_is_available_again_after_one_that_failed) {
  constexpr std::uint64_t kEnd = 1500;
  for (const bool slots : {false, true}) {
    make({.end = PageId{kEnd}});
    const auto taken = take(geometry_.usable(0, kEnd));
    must(pages_->sync());
    for (std::size_t i = 100; i < taken.size(); ++i) give(taken[i]);
    fail_writes(slots, EIO);
    EXPECT_FALSE(pages_->shrink_to_fit());
    EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page) << "nothing is durably free";
    failing_ = false;
    must(pages_->sync());
    auto again = take(taken.size() - 100);
    std::ranges::sort(again);
    EXPECT_EQ(again, std::vector(taken.begin() + 100, taken.end()));
  }
}

// Who needs pages while it runs gets some, and what is written there is not cut off.
TEST_P(PageAllocatorShrink, whoever_extends_the_file_meanwhile_keeps_what_was_written) {
  for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {
    const bool in_slot = (variant & 1) != 0, synced = (variant & 2) != 0;
    const std::size_t count = (variant & 4) != 0 ? 300 : 3;
    SCOPED_TRACE(variant);
    make();
    const auto taken = take(2000);
    extend_to(taken.back());
    must(pages_->sync());
    for (std::size_t i = 500; i < taken.size(); ++i) give(taken[i]);
    if (synced) must(pages_->sync());
    std::vector<std::uint64_t> meanwhile;
    bool once = true;
    system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
      if (!once || is_slot(offset) != in_slot) return std::nullopt;
      once = false;
      meanwhile = take(count);
      for (const std::uint64_t page : meanwhile) EXPECT_TRUE(write_version(*file_, page, 9));
      return std::nullopt;
    };
    must(pages_->shrink_to_fit());
    system_.on_write = nullptr;
    ASSERT_EQ(meanwhile.size(), count);
    for (const std::uint64_t page : meanwhile) {
      EXPECT_TRUE(synced || std::ranges::count(taken, page) == 0) << page << " was not durably free";
      EXPECT_EQ(read_version(*file_, page), 9u);
    }
    EXPECT_EQ(all().size(), 500 + count);
    must(pages_->sync());
    reopen();
    EXPECT_EQ(all().size(), 500 + count);
    expect_consistent();
  }
}

}  // namespace
}  // namespace pagedb::testing_support
