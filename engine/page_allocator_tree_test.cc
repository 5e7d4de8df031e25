// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator over many regions: growth of the tree, leaves that come and go, redo of a log, what is read and
// written, and what it costs in memory.
#include <limits>

#include "engine/page_allocator_test.h"

namespace pagedb::testing_support {
namespace {

class PageAllocatorTree : public PageAllocatorTest {
 protected:
  static constexpr std::uint64_t kLevel1 = 128 * kRegion;        // what a node of level 1 covers
  static constexpr std::uint64_t kLevel2 = 128 * 128 * kRegion;  // of level 2: 1 TiB of file

  /// The page as it stands in the file.
  std::vector<std::byte> page_bytes(std::uint64_t page) const {
    std::vector<std::byte> found(4096);
    std::ifstream in(path_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(page * 4096));
    in.read(reinterpret_cast<char*>(found.data()), 4096);
    return found;
  }
  AllocationRoot root() const {
    const auto superblock = decode_superblock(page_bytes(0), SuperblockSlot::first);
    EXPECT_TRUE(superblock);
    return superblock ? superblock->allocation : AllocationRoot{};
  }
  unsigned root_level() const { return detail::node_header(page_bytes(root().page.value)).level; }
  /// The entry of child `at` in the root.
  detail::NodeEntry root_entry(std::size_t at) const {
    detail::NodeEntry entry;
    std::memcpy(&entry, page_bytes(root().page.value).data() + detail::kNodeBody + at * sizeof entry, sizeof entry);
    return entry;
  }
  void redo(std::uint64_t page) { must(pages_->redo_allocate(PageId{page})); }
};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorTree, testing::Values(Caching::direct, Caching::buffered), caching_name);

// ---- growth

TEST_P(PageAllocatorTree, grows_as_pages_are_given_out) {
  make();
  auto taken = take(100);
  must(pages_->sync());
  EXPECT_EQ(root_level(), 0u);
  while (taken.back() < 2 * kRegion) taken.push_back(take());
  must(pages_->sync());
  EXPECT_EQ(root_level(), 1u);
  reopen();
  EXPECT_EQ(all(), taken);
  expect_consistent();
}

TEST_P(PageAllocatorTree, what_was_the_root_is_written_again_as_a_common_node) {
  make();
  const auto taken = take(100);
  must(pages_->sync());
  const auto old = detail::node_header(page_bytes(root().page.value));
  EXPECT_EQ(old.high_water, taken.back() + 1);
  const std::uint64_t far = run(pages_->run_max());  // nothing in region 0 changes
  note_order();
  must(pages_->sync());
  EXPECT_NE(order_.find("node0.0 "), std::string::npos) << order_;
  const auto entry = root_entry(0);
  EXPECT_EQ(entry.used, 100u);
  EXPECT_EQ(entry.generation, old.generation + 1);
  const auto now = detail::node_header(page_bytes(geometry_.home(0, 0, entry.generation)));
  EXPECT_EQ(now.high_water, 0u);
  EXPECT_EQ(now.used, 100u);
  reopen();
  EXPECT_EQ(all(far).size(), pages_->run_max());
  EXPECT_EQ(all().size(), 100 + pages_->run_max());
  // Once is enough.
  give(far);
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_.find("node0.0 "), std::string::npos) << order_;
}

TEST_P(PageAllocatorTree, grows_by_any_number_of_levels_at_once) {
  const std::uint64_t places[] = {5, kRegion + 9, kLevel1 + 777, 127 * kLevel1 + 9, kLevel2 + 20'000};
  for (const bool synced_before : {false, true}) {
    for (const std::uint64_t far : places) {
      make({.redo = true});
      std::vector<std::uint64_t> expected{100, 101};
      for (const std::uint64_t page : expected) redo(page);
      if (synced_before) {
        pages_->redo_done();
        must(pages_->sync());
        reopen({.redo = true});
      }
      redo(far);
      expected.push_back(far);
      std::ranges::sort(expected);
      pages_->redo_done();
      must(pages_->sync());
      reopen();
      EXPECT_EQ(all(), expected) << far;
      EXPECT_EQ(pages_->high_water(), PageId{expected.back() + 1});
      EXPECT_EQ(pages_->free_count() + 3, geometry_.usable(0, expected.back() + 1));
      EXPECT_EQ(root_level(), far < kRegion ? 0u : far < kLevel1 ? 1u : far < kLevel2 ? 2u : 3u);
      EXPECT_EQ(take(), kFirst) << "what lies before is free";
    }
  }
}

TEST_P(PageAllocatorTree, every_step_of_growth_is_found_by_the_next_opener) {
  std::vector<std::uint64_t> expected;
  make();
  for (const std::uint64_t page :
       {std::uint64_t{50}, kRegion + 50, 5 * kRegion + 50, kLevel1 + 50, kLevel1 + kRegion + 50, 3 * kLevel1 + 50,
        kLevel2 + 50, kLevel2 + 3 * kLevel1 + 50}) {
    reopen({.redo = true});
    redo(page);
    expected.push_back(page);
    pages_->redo_done();
    must(pages_->sync());
    ASSERT_EQ(all(), expected);
    reopen();
    ASSERT_EQ(all(), expected);
  }
  // And back: the root stays as high as it is.
  while (!expected.empty()) {
    give(expected.back());
    expected.pop_back();
    must(pages_->sync());
    reopen();
    ASSERT_EQ(all(), expected);
    ASSERT_EQ(root_level(), 3u);
  }
}

TEST_P(PageAllocatorTree, growth_that_was_not_synced_is_forgotten) {
  make();
  take(10);
  must(pages_->sync());
  run(pages_->run_max());
  reopen();
  EXPECT_EQ(all().size(), 10u);
  EXPECT_EQ(root_level(), 0u);
}

TEST_P(PageAllocatorTree, a_leaf_below_which_nothing_is_allocated_has_no_page) {
  make();
  take(10);
  const std::uint64_t first = run(pages_->run_max()), second = run(pages_->run_max());
  ASSERT_EQ(first / kRegion, 1u);
  ASSERT_EQ(second / kRegion, 2u);
  must(pages_->sync());
  for (std::uint64_t i = 0; i < pages_->run_max(); ++i) give(first + i);
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_.find("node0.1 "), std::string::npos) << order_;
  EXPECT_EQ(root_entry(1), detail::NodeEntry{});
  EXPECT_NE(root_entry(2), detail::NodeEntry{});
  for (int opening = 0; opening < 2; ++opening) {
    EXPECT_FALSE(has(first));
    EXPECT_TRUE(has(second));
    EXPECT_EQ(error_of(pages_->free(PageId{first})).code, ErrorCode::not_allocated);
    reopen();
  }
  // It comes back with new contents, whatever stands in its homes.
  EXPECT_EQ(run(1000), 10u + 2 + 273 + 1) << "after the zone of region 0";
  EXPECT_EQ(run(pages_->run_max()), first);
  must(pages_->sync());
  EXPECT_EQ(root_entry(1).used, pages_->run_max());
  reopen();
  EXPECT_EQ(all().size(), 1010 + 2 * pages_->run_max());
  expect_consistent();
}

TEST_P(PageAllocatorTree, a_map_below_which_nothing_is_allocated_any_more_is_still_one) {
  make();
  give(take(5));
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all(), std::vector<std::uint64_t>{});
  EXPECT_EQ(pages_->high_water(), PageId{7});
  EXPECT_EQ(pages_->free_count(), 5u);
  const std::uint64_t far = run(pages_->run_max());
  must(pages_->sync());
  EXPECT_EQ(root_entry(0), detail::NodeEntry{});
  reopen();
  EXPECT_EQ(all(far).size(), pages_->run_max());
  EXPECT_EQ(take(), kFirst);
}

// ---- redo

TEST_P(PageAllocatorTree, redoing_sets_a_state_however_often) {
  make();
  const auto taken = take(400);
  must(pages_->sync());
  // Records of the log, and the state that they leave.
  struct Record {
    bool allocates;
    std::uint64_t page;
  };
  const std::vector<Record> log{{false, taken[3]}, {false, taken[4]}, {true, taken[3]},    {true, 5000},
                                {true, 5001},      {false, 5001},     {true, kRegion + 6}, {false, taken[399]}};
  std::set<std::uint64_t> expected(taken.begin(), taken.end());
  for (const Record& record : log) {
    if (record.allocates) expected.insert(record.page);
    if (!record.allocates) expected.erase(record.page);
  }
  for (int crashes = 0; crashes < 4; ++crashes) {
    reopen({.redo = true});
    for (int times = 0; times <= crashes; ++times) {
      // A recovery that was cut off has done a part of it.
      for (std::size_t i = 0; i < log.size() * static_cast<std::size_t>(times) / 4; ++i)
        must(log[i].allocates ? pages_->redo_allocate(PageId{log[i].page}) : pages_->redo_free(PageId{log[i].page}));
      for (const Record& record : log)
        must(record.allocates ? pages_->redo_allocate(PageId{record.page}) : pages_->redo_free(PageId{record.page}));
    }
    pages_->redo_done();
    EXPECT_EQ(all(), std::vector(expected.begin(), expected.end()));
    EXPECT_EQ(pages_->high_water(), PageId{kRegion + 7});
    if (crashes >= 2) must(pages_->sync());
  }
  expect_consistent();
  for (const std::uint64_t page : take(1000)) EXPECT_TRUE(expected.insert(page).second) << page << " was redone";
}

TEST_P(PageAllocatorTree, what_redo_freed_waits_for_a_sync_like_anything_freed) {
  make();
  const auto taken = take(5);
  must(pages_->sync());
  reopen({.redo = true});
  must(pages_->redo_free(PageId{taken[2]}));
  pages_->redo_done();
  EXPECT_EQ(take(), taken[4] + 1);
  must(pages_->sync());
  EXPECT_EQ(take(), taken[2]);
}

TEST_P(PageAllocatorTree, pages_past_the_end_are_redone_too) {
  make({.end = PageId{300}, .redo = true});
  redo(5);
  redo(400);
  redo(kRegion + 400);
  pages_->redo_done();
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all(), (std::vector<std::uint64_t>{5, 400, kRegion + 400}));
}

TEST_P(PageAllocatorTree, what_cannot_be_redone_is_refused) {
  make({.redo = true});
  const auto both = [&](std::uint64_t page, ErrorCode code) {
    EXPECT_EQ(error_of(pages_->redo_allocate(PageId{page})).code, code) << page;
    EXPECT_EQ(error_of(pages_->redo_free(PageId{page})).code, code) << page;
  };
  for (const std::uint64_t page : {0u, 1u, 255u, 256u, 258u, 16384u}) both(page, ErrorCode::reserved_page);
  for (const std::uint64_t page : {geometry_.page_limit(), ~std::uint64_t{0}}) both(page, ErrorCode::page_id_overflow);
  must(pages_->redo_free(PageId{777}));
  must(pages_->redo_free(PageId{(std::uint64_t{1} << 40) + 777}));
  EXPECT_EQ(all(), std::vector<std::uint64_t>{});
  EXPECT_EQ(pages_->high_water(), PageId{0});
}

using PageAllocatorTreeDeathTest = PageAllocatorTree;
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorTreeDeathTest, testing::Values(Caching::buffered), caching_name);

TEST_P(PageAllocatorTreeDeathTest, nothing_is_changed_before_redo_is_done) {
  make({.redo = true});
  redo(5);
  EXPECT_DEATH(static_cast<void>(pages_->allocate()), "redo_done");
  EXPECT_DEATH(static_cast<void>(pages_->allocate_near(PageId{9})), "redo_done");
  EXPECT_DEATH(static_cast<void>(pages_->allocate_run(3)), "redo_done");
  EXPECT_DEATH(static_cast<void>(pages_->free(PageId{5})), "redo_done");
  EXPECT_DEATH(static_cast<void>(pages_->sync()), "redo_done");
  EXPECT_DEATH(static_cast<void>(pages_->shrink_to_fit()), "redo_done");
  EXPECT_TRUE(has(5)) << "looking is free";
}

TEST_P(PageAllocatorTreeDeathTest, a_file_has_one_allocator_and_a_run_a_page) {
  make();
  EXPECT_DEATH(static_cast<void>(PageAllocator::open(*file_)), "one allocator");
  EXPECT_DEATH(static_cast<void>(pages_->allocate_run(0)), "at least one page");
  reopen_allocator();
  EXPECT_EQ(take(), kFirst) << "one after another is fine";
}

// ---- cost

TEST_P(PageAllocatorTree, opening_reads_one_page_whatever_is_free) {
  make();
  std::vector<std::uint64_t> runs;
  for (int i = 0; i < 70; ++i) runs.push_back(run(pages_->run_max()));
  const std::uint64_t last = runs.back() + pages_->run_max() - 1;
  for (const std::uint64_t first : runs) {
    for (std::uint64_t page = first; page < first + pages_->run_max(); ++page) {
      if (page != last && page != first) give(page);
    }
  }
  must(pages_->sync());
  close();
  file_ = opened();
  count_reads();
  pages_ = must(PageAllocator::open(*file_));
  EXPECT_EQ(reads_, 1);
  EXPECT_GE(pages_->free_count(), 1'000'000u);
  EXPECT_EQ(pages_->high_water(), PageId{last + 1});
  EXPECT_EQ(reads_, 1);
  EXPECT_TRUE(has(last));
  EXPECT_EQ(reads_, 2) << "the leaf";
  EXPECT_TRUE(has(last));
  give(last);
  EXPECT_EQ(reads_, 2) << "is read once";
  EXPECT_EQ(all().size(), 70u);
  EXPECT_EQ(reads_, 1 + 70);
}

TEST_P(PageAllocatorTree, a_sync_writes_what_changed_and_what_is_above) {
  make();
  std::vector<std::uint64_t> runs;
  for (int i = 0; i < 140; ++i) runs.push_back(run(pages_->run_max()));  // a root of level 2
  must(pages_->sync());
  ASSERT_EQ(root_level(), 2u);
  for (const std::size_t changes : {1u, 2u, 5u, 20u}) {
    for (std::size_t i = 0; i < changes; ++i) give(runs[i] + changes);
    note_order();
    must(pages_->sync());
    // Two nodes of level 1 cover all of it.
    const auto written = static_cast<std::size_t>(std::ranges::count(order_, '.'));
    EXPECT_EQ(written, changes + 2) << order_;
  }
  for (const std::size_t i : {3u, 139u}) give(runs[i]);
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "node0.4 node0.141 node1.0 node1.1 node2.0 sync slot sync twin sync ");
}

TEST_P(PageAllocatorTree, many_leaves_are_written_in_one_sync) {
  make();
  for (int i = 0; i < 200; ++i) run(pages_->run_max());
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all().size(), 200 * pages_->run_max());
  for (const std::uint64_t page : all()) give(page);
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all(), std::vector<std::uint64_t>{});
  EXPECT_EQ(pages_->free_count(), geometry_.usable(0, pages_->high_water().value));
}

TEST_P(PageAllocatorTree, memory_is_two_bits_a_page_of_what_was_touched) {
  make();
  EXPECT_LE(pages_->memory_bytes(), 2.1 / 8 * kRegion + 7168);
  for (int i = 0; i < 100; ++i) run(pages_->run_max());
  EXPECT_LE(pages_->memory_bytes(), 2.1 / 8 * kRegion * 101 + 16384);
  EXPECT_GE(pages_->memory_bytes(), 2.0 / 8 * kRegion * 101);
  must(pages_->sync());
  const std::size_t before = pages_->memory_bytes();
  give(kRegion + 5);
  must(pages_->sync());
  EXPECT_EQ(pages_->memory_bytes(), before) << "a sync leaves nothing behind";
  reopen();
  EXPECT_LE(pages_->memory_bytes(), 16384u) << "nothing was touched";
}

}  // namespace
}  // namespace pagedb::testing_support
