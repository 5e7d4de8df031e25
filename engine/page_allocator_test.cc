// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator: which pages it gives out, takes back and refuses, and what it says of them.
#include "engine/page_allocator_test.h"

#include <limits>
#include <numeric>

namespace pagedb::testing_support {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

class PageAllocatorUse : public PageAllocatorTest {};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorUse, testing::Values(Caching::direct, Caching::buffered), caching_name);

// ---- giving out

TEST_P(PageAllocatorUse, a_file_without_a_map_has_nothing_allocated) {
  file_ = created();
  ASSERT_TRUE(write_version(*file_, 5, 1));
  pages_ = must(PageAllocator::open(*file_));
  EXPECT_FALSE(has(5));
  EXPECT_EQ(all(), std::vector<std::uint64_t>{});
  EXPECT_EQ(pages_->high_water(), PageId{0});
  EXPECT_EQ(pages_->free_count(), 0u);
  EXPECT_EQ(take(), kFirst);
}

TEST_P(PageAllocatorUse, gives_out_every_page_once_and_none_that_is_reserved) {
  for (const std::uint64_t page_bytes : {4096u, 65536u, 1u << 20}) {
    make({}, page_bytes);
    const detail::MapGeometry geometry(size_of(page_bytes));
    std::vector<std::uint64_t> taken = take(page_bytes == 4096 ? 2 * kRegion + 5 : 3000);
    std::ranges::sort(taken);
    std::vector<std::uint64_t> usable;
    for (std::uint64_t page = 0; usable.size() < taken.size(); ++page) {
      if (!geometry.reserved(page)) usable.push_back(page);
    }
    EXPECT_EQ(taken, usable) << "the first that users can have, each once";
    EXPECT_EQ(all(), taken);
    for (const std::uint64_t page : taken) ASSERT_TRUE(has(page)) << page;
    EXPECT_EQ(pages_->high_water(), PageId{taken.back() + 1});
    EXPECT_EQ(pages_->free_count(), 0u);
  }
}

TEST_P(PageAllocatorUse, a_page_that_was_given_out_can_be_written_and_read) {
  make();
  for (const std::uint64_t page : take(20)) {
    ASSERT_TRUE(write_version(*file_, page, 3));
    EXPECT_EQ(read_version(*file_, page), 3u);
  }
}

TEST_P(PageAllocatorUse, what_was_freed_is_given_out_after_a_sync_and_not_before) {
  make();
  take(1000);
  const std::set<std::uint64_t> before = [&] {
    const auto pages = all();
    return std::set(pages.begin(), pages.end());
  }();
  std::set<std::uint64_t> freed;
  for (std::uint64_t page = 10; page < 900; page += 3) {
    if (geometry_.reserved(page)) continue;
    give(page);
    freed.insert(page);
    EXPECT_FALSE(has(page));
  }
  for (const std::uint64_t page : take(1000)) ASSERT_FALSE(before.contains(page)) << page;
  must(pages_->sync());
  std::set<std::uint64_t> found;
  // Whoever has a chunk of 512 pages uses it up first.
  for (const std::uint64_t page : take(freed.size() + 512)) {
    if (freed.contains(page)) found.insert(page);
  }
  EXPECT_EQ(found, freed);
}

TEST_P(PageAllocatorUse, what_was_freed_is_given_out_by_the_next_opener) {
  make();
  const auto taken = take(700);
  must(pages_->sync());
  for (std::size_t i = 0; i < taken.size(); i += 7) give(taken[i]);
  must(pages_->sync());
  reopen();
  EXPECT_EQ(pages_->free_count(), 100u);
  for (std::size_t i = 0; i < taken.size(); i += 7) EXPECT_EQ(take(), taken[i]);
  EXPECT_EQ(take(), taken.back() + 1);
}

TEST_P(PageAllocatorUse, whoever_has_a_log_may_have_freed_pages_at_once) {
  make({.reuse_before_sync = true});
  const auto taken = take(600);
  give({taken[3], taken[300], taken[599]});
  EXPECT_EQ(pages_->free_count(), 3u);
  EXPECT_EQ(pages_->high_water(), PageId{taken[599] + 1}) << "it was allocated once";
  const auto again = take(3 + 512);
  for (const std::size_t i : {3u, 300u, 599u}) EXPECT_EQ(std::ranges::count(again, taken[i]), 1) << taken[i];
  must(pages_->sync());
  expect_consistent();
}

// ---- near

TEST_P(PageAllocatorUse, allocate_near_gives_a_page_as_near_as_there_is) {
  make();
  take(6000);
  for (std::uint64_t page = 300; page < 6000; page += 97) give(page);
  must(pages_->sync());
  std::set<std::uint64_t> available;
  for (std::uint64_t page = 300; page < 6000; page += 97) available.insert(page);
  std::uint64_t hint = 1;
  while (available.size() > 5) {
    hint = (hint * 2654435761u + 17) % 5900;
    std::uint64_t best = kMax;
    for (const std::uint64_t page : available) best = std::min(best, page > hint ? page - hint : hint - page);
    const std::uint64_t got = must(pages_->allocate_near(PageId{hint})).value;
    ASSERT_TRUE(available.erase(got) == 1 || got > 6000) << got;
    const std::uint64_t away = got > hint ? got - hint : hint - got;
    EXPECT_LE(away, best + 64) << "hint " << hint << ", got " << got << ", which is two words of states off at most";
  }
}

TEST_P(PageAllocatorUse, allocate_near_gives_the_very_page_when_it_can) {
  make();
  take(2000);
  for (const std::uint64_t page : {700u, 735u, 1999u}) give(page);
  must(pages_->sync());
  for (const std::uint64_t page : {735u, 1999u, 700u}) EXPECT_EQ(pages_->allocate_near(PageId{page}), PageId{page});
}

TEST_P(PageAllocatorUse, allocate_near_goes_elsewhere_when_the_region_is_full_or_there_is_none) {
  make();
  for (const std::uint64_t hint : {std::uint64_t{0}, std::uint64_t{256}, std::uint64_t{1} << 40, kMax}) {
    const auto page = pages_->allocate_near(PageId{hint});
    ASSERT_TRUE(page) << hint;
    EXPECT_TRUE(has(page->value));
  }
  take(kInRegion0 - 4);
  EXPECT_EQ(must(pages_->allocate_near(PageId{5000})).value / kRegion, 1u);
}

// ---- runs

TEST_P(PageAllocatorUse, runs_stay_in_one_region_and_pass_by_no_reserved_page) {
  make();
  std::set<std::uint64_t> taken;
  const std::uint64_t counts[] = {1, 2, 31, 32, 33, 64, 253, 254, 1000, 5000, 8192, 10000, pages_->run_max(), 255, 3};
  for (int round = 0; round < 3; ++round) {
    for (const std::uint64_t count : counts) {
      const std::uint64_t first = run(count);
      EXPECT_EQ(first / kRegion, (first + count - 1) / kRegion) << first << "+" << count;
      for (std::uint64_t page = first; page < first + count; ++page) {
        ASSERT_FALSE(geometry_.reserved(page)) << page;
        ASSERT_TRUE(taken.insert(page).second) << page << " was given out twice";
      }
      taken.insert(take());
    }
  }
  EXPECT_EQ(all(), std::vector(taken.begin(), taken.end()));
  expect_consistent();
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all(), std::vector(taken.begin(), taken.end()));
}

TEST_P(PageAllocatorUse, the_longest_run_is_what_a_region_has_and_no_longer_one_is_found) {
  for (const std::uint64_t page_bytes : {4096u, 8192u}) {
    make({}, page_bytes);
    EXPECT_EQ(pages_->run_max(), 4 * page_bytes - 5);
    const std::uint64_t first = run(pages_->run_max());
    EXPECT_EQ(first, 4 * page_bytes + 5) << "region 1, after its zone";
    const Facts before = facts();
    for (const std::uint64_t count : {pages_->run_max() + 1, 4 * page_bytes, kMax}) {
      const PageError error = error_of(pages_->allocate_run(count));
      EXPECT_EQ(error.code, ErrorCode::no_free_page);
      EXPECT_EQ(error.expected, count);
    }
    EXPECT_EQ(facts(), before);
  }
}

TEST_P(PageAllocatorUse, a_run_is_found_where_pages_were_freed) {
  make();
  take(5000);
  for (std::uint64_t page = 1000; page < 1100; ++page) give(page);
  for (std::uint64_t page = 3000; page < 3200; ++page) give(page);
  EXPECT_GE(run(50), 5000u) << "not before a sync";
  must(pages_->sync());
  EXPECT_EQ(run(101), 3000u);
  EXPECT_EQ(run(100), 1000u);
  EXPECT_EQ(run(99), 3101u);
  EXPECT_GE(run(2), 5000u);
}

TEST_P(PageAllocatorUse, each_page_of_a_run_is_freed_by_itself) {
  make();
  const std::uint64_t first = run(100);
  give(first + 50);
  EXPECT_TRUE(has(first + 49));
  EXPECT_FALSE(has(first + 50));
  EXPECT_TRUE(has(first + 51));
  EXPECT_EQ(error_of(pages_->free(PageId{first + 50})).code, ErrorCode::not_allocated);
}

TEST_P(PageAllocatorUse, what_a_run_leaves_behind_is_given_out_as_single_pages) {
  make();
  const std::uint64_t first = run(pages_->run_max());
  EXPECT_EQ(first / kRegion, 1u);
  for (std::uint64_t i = 0; i < kInRegion0; ++i) ASSERT_LT(take(), kRegion);
  EXPECT_EQ(take() / kRegion, 2u);
}

// ---- refusing

TEST_P(PageAllocatorUse, what_must_not_be_freed_is_refused_and_nothing_changes) {
  make();
  const auto taken = take(400);
  const std::uint64_t far = run(pages_->run_max());
  give(taken[7]);
  must(pages_->sync());
  give(taken[8]);
  const Facts before = facts();
  const auto refused = [&](std::uint64_t page, ErrorCode code) {
    const PageError error = error_of(pages_->free(PageId{page}));
    EXPECT_EQ(name(error.code), name(code)) << page;
    EXPECT_EQ(error.page, PageId{page});
    EXPECT_TRUE(error.has_page);
  };
  for (const std::uint64_t page : {taken[7], taken[8]}) refused(page, ErrorCode::not_allocated);
  for (const std::uint64_t page : {taken.back() + 1, far - 10, far + pages_->run_max() + 5, 9 * kRegion + 9,
                                   std::uint64_t{1} << 40, geometry_.page_limit() - 1}) {
    refused(page, geometry_.reserved(page) ? ErrorCode::reserved_page : ErrorCode::not_allocated);
  }
  for (const std::uint64_t page : {0u, 1u, 255u, 256u, 257u, 258u, 259u, 285u, 16384u, 16388u, 128u * 16384 + 8})
    refused(page, ErrorCode::reserved_page);
  for (const std::uint64_t page : {geometry_.page_limit(), std::uint64_t{1} << 62, kMax})
    refused(page, ErrorCode::page_id_overflow);
  EXPECT_EQ(facts(), before);
  must(pages_->sync());
  EXPECT_EQ(facts(), before);
}

TEST_P(PageAllocatorUse, pages_that_nobody_has_are_not_allocated) {
  make();
  take(300);
  for (const std::uint64_t page :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{255}, std::uint64_t{256}, std::uint64_t{258},
        std::uint64_t{400}, kRegion, kRegion + 5, std::uint64_t{1} << 50, geometry_.page_limit(), kMax}) {
    EXPECT_FALSE(has(page)) << page;
  }
}

TEST_P(PageAllocatorUse, next_allocated_is_the_first_from_a_page_on) {
  make();
  take(600);
  const std::uint64_t far = run(pages_->run_max());
  for (std::uint64_t page = 40; page < 500; page += page % 7 + 1) {
    if (has(page)) give(page);
  }
  for (std::uint64_t page = far + 3; page < far + pages_->run_max() - 3; ++page) give(page);
  const auto allocated = all();
  EXPECT_EQ(allocated.back(), far + pages_->run_max() - 1);
  auto next = allocated.begin();
  for (std::uint64_t from = 0; from < 2 * kRegion + 10; ++from) {
    while (next != allocated.end() && *next < from) ++next;
    const auto found = must(pages_->next_allocated(PageId{from}));
    ASSERT_EQ(found ? found->value : kMax, next != allocated.end() ? *next : kMax) << from;
  }
  for (const std::uint64_t from : {geometry_.page_limit(), kMax})
    EXPECT_FALSE(must(pages_->next_allocated(PageId{from})));
}

TEST_P(PageAllocatorUse, high_water_stays_and_free_pages_are_counted) {
  make();
  const auto taken = take(400);
  EXPECT_EQ(pages_->high_water(), PageId{taken.back() + 1});
  give({taken[399], taken[0], taken[200]});
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(pages_->high_water(), PageId{taken.back() + 1});
    EXPECT_EQ(pages_->free_count(), 3u) << "also those that wait for a sync";
    if (step == 0) must(pages_->sync());
    if (step == 1) reopen();
  }
  const std::uint64_t far = run(pages_->run_max());
  EXPECT_EQ(pages_->high_water(), PageId{far + pages_->run_max()});
  expect_consistent();
}

// ---- an end

/// A scheduler whose task is whichever the test says.
class AnyTaskScheduler final : public IdleScheduler {
 public:
  TaskId current() noexcept override { return {who}; }
  std::uint64_t who = 1;
};

TEST_P(PageAllocatorUse, no_page_from_the_end_on_is_given_out) {
  for (const std::uint64_t end : {0u, 2u, 3u, 200u, 257u, 300u, 512u, 16384u, 16384u + 5, 16384u + 777}) {
    make({.end = PageId{end}});
    const std::uint64_t usable = geometry_.usable(0, end);
    const auto taken = take(usable);
    for (const std::uint64_t page : taken) ASSERT_LT(page, end);
    const Facts before = facts();
    for (const auto& refused : {pages_->allocate(), pages_->allocate_near(PageId{5}), pages_->allocate_run(1)}) {
      const PageError error = error_of(refused);
      EXPECT_EQ(error.code, ErrorCode::no_free_page);
      EXPECT_EQ(error.actual, end);
    }
    EXPECT_EQ(facts(), before);
    if (taken.empty()) continue;
    give(taken[taken.size() / 2]);
    EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page) << "not before a sync";
    must(pages_->sync());
    EXPECT_EQ(take(), taken[taken.size() / 2]);
    EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page);
  }
}

TEST_P(PageAllocatorUse, runs_end_where_the_end_is) {
  make({.end = PageId{kRegion + 100}});
  EXPECT_EQ(error_of(pages_->allocate_run(kRegion - 285)).code, ErrorCode::no_free_page);
  EXPECT_EQ(run(kRegion - 286), 286u);
  EXPECT_EQ(run(253), 2u);
  EXPECT_EQ(error_of(pages_->allocate_run(96)).code, ErrorCode::no_free_page);
  EXPECT_EQ(run(95), kRegion + 5);
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page);
  expect_consistent();
}

TEST_P(PageAllocatorUse, the_last_pages_are_found_in_chunks_of_tasks_that_went_away) {
  AnyTaskScheduler tasks;
  auto made = PageFile::create(tasks, backend_, path_, PageSize(), kId);
  ASSERT_TRUE(made);
  constexpr std::uint64_t kEnd = 10'000;
  pages_ = must(PageAllocator::open(**made, {.end = PageId{kEnd}}));
  std::set<std::uint64_t> taken;
  for (int round = 0; round < 3; ++round) {
    for (tasks.who = 1; tasks.who <= 40; ++tasks.who) taken.insert(take());
  }
  tasks.who = 7;
  while (const auto page = pages_->allocate()) EXPECT_TRUE(taken.insert(page->value).second);
  EXPECT_EQ(taken.size(), geometry_.usable(0, kEnd));
  // And what any of them frees is found by all.
  for (const std::uint64_t page : {2u, 5000u, 9999u}) give(page);
  must(pages_->sync());
  std::vector<std::uint64_t> again;
  for (tasks.who = 3; tasks.who <= 5; ++tasks.who) again.push_back(take());
  EXPECT_EQ(again, (std::vector<std::uint64_t>{2, 5000, 9999}));
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page);
  pages_.reset();
}

// A search has found every region full, some of them without reading their leaves.
TEST_P(PageAllocatorUse, what_is_freed_where_everything_was_full_is_found) {
  constexpr std::uint64_t kEnd = 4 * kRegion;
  for (const bool sync_first : {false, true}) {
    make({.end = PageId{kEnd}});
    take(kInRegion0);
    for (int i = 0; i < 3; ++i) run(pages_->run_max());
    must(pages_->sync());
    reopen({.end = PageId{kEnd}});
    EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page);
    if (sync_first) must(pages_->sync());
    give(3 * kRegion + 100);
    EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page) << "not before a sync";
    must(pages_->sync());
    EXPECT_EQ(take(), 3 * kRegion + 100);
    reopen();  // without an end: it is found before new pages are
    give(kRegion + 100);
    must(pages_->sync());
    EXPECT_EQ(take(), kRegion + 100);
  }
}

TEST_P(PageAllocatorUse, pages_past_an_end_that_came_later_keep_their_state) {
  make();
  const auto taken = take(1000);
  const std::uint64_t far = run(pages_->run_max());
  must(pages_->sync());
  const Facts before = facts();
  reopen({.end = PageId{500}});
  EXPECT_TRUE(has(700));
  EXPECT_TRUE(has(far));
  EXPECT_EQ(facts(), before);
  give(5);  // in the region that the end cuts
  must(pages_->sync());
  give(far);
  EXPECT_EQ(take(), 5u);
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page);
  must(pages_->sync());
  reopen();
  EXPECT_TRUE(has(700));
  EXPECT_EQ(all().size(), before.allocated.size() - 1);
}

TEST_P(PageAllocatorUse, an_end_that_no_file_can_have_is_none) {
  make({.end = PageId{kMax}});
  EXPECT_EQ(take(), kFirst);
  EXPECT_EQ(error_of(pages_->free(PageId{geometry_.page_limit()})).code, ErrorCode::page_id_overflow);
}

}  // namespace
}  // namespace pagedb::testing_support
