// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator when the device says no: nodes and slots that cannot be written, failed syncs, reads that fail, and
// files that must not be changed.
#include "engine/page_allocator_test.h"

namespace pagedb::testing_support {
namespace {

class PageAllocatorErrors : public PageAllocatorTest {
 protected:
  static ErrorCode code_of(int error) { return error == EIO ? ErrorCode::io_error : ErrorCode::no_space; }
};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorErrors, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

TEST_P(PageAllocatorErrors, a_node_that_cannot_be_written_fails_the_sync_which_can_be_repeated) {
  for (const int error : {EIO, ENOSPC}) {
    for (const bool opener : {false, true}) {
      make();
      auto taken = take(600);
      const std::uint64_t far = run(pages_->run_max());
      must(pages_->sync());
      if (opener) reopen();
      const auto synced = all();
      give({taken[5], taken[6], far});
      const std::uint64_t also = take();
      const Facts before = facts();
      fail_writes(false, error);
      for (int attempt = 0; attempt < 3; ++attempt) {
        const PageError refused = error_of(pages_->sync());
        EXPECT_EQ(refused.code, code_of(error));
        EXPECT_TRUE(refused.has_page && geometry_.reserved(refused.page.value)) << refused.message();
        EXPECT_EQ(facts(), before);
        EXPECT_FALSE(file_->poisoned());
        EXPECT_EQ(error_of(pages_->free(PageId{taken[5]})).code, ErrorCode::not_allocated);
        // Somebody who only reads finds what was synced.
        const auto reader = opened(kReadOnly);
        const auto seen = must(PageAllocator::open(*reader));
        EXPECT_TRUE(must(seen->is_allocated(PageId{taken[5]})));
        EXPECT_FALSE(must(seen->is_allocated(PageId{also})));
        EXPECT_EQ(seen->free_count() + synced.size(), geometry_.usable(0, seen->high_water().value));
      }
      const auto more = take(600);
      for (const std::uint64_t page : {taken[5], taken[6], far}) EXPECT_EQ(std::ranges::count(more, page), 0) << page;
      failing_ = false;
      must(pages_->sync());
      for (const std::uint64_t page : {taken[5], taken[6], far})
        EXPECT_EQ(must(pages_->allocate_near(PageId{page})).value, page) << "now it is durably free";
      auto expected = before.allocated;
      expected.insert(expected.end(), more.begin(), more.end());
      std::ranges::sort(expected);
      reopen();
      EXPECT_EQ(all(), expected);
      expect_consistent();
    }
  }
}

// Some nodes get to the disk and others not, in every combination that a prefix makes.
TEST_P(PageAllocatorErrors, a_sync_that_stops_anywhere_can_be_repeated) {
  skip_syncs();
  for (int good = 0; good < 12; ++good) {
    make();
    take(600);
    std::vector<std::uint64_t> runs;
    for (int i = 0; i < 4; ++i) runs.push_back(run(pages_->run_max()));
    must(pages_->sync());
    if (good % 2 == 0) reopen();
    const auto synced = all();
    for (const std::uint64_t first : runs) give(first + 7);
    for (std::uint64_t i = 0; i < pages_->run_max(); ++i) {
      if (i != 7) give(runs[1] + i);  // its leaf goes away
    }
    const auto expected = all();
    int writes = 0;
    system_.on_write = [&](off_t, std::size_t) -> FaultySystem::Answer {
      if (writes++ < good) return std::nullopt;
      return -EIO;
    };
    const bool ok = pages_->sync().has_value();
    EXPECT_EQ(ok, writes <= good);
    EXPECT_EQ(all(), expected);
    system_.on_write = nullptr;
    for (const std::uint64_t page : {kFirst + 3, runs[0] + 1}) give(page);
    auto later = expected;
    std::erase_if(later, [&](std::uint64_t page) { return page == kFirst + 3 || page == runs[0] + 1; });
    must(pages_->sync());
    EXPECT_EQ(all(), later);
    reopen();
    EXPECT_EQ(all(), later);
    expect_consistent();
  }
}

TEST_P(PageAllocatorErrors, a_slot_that_cannot_be_written_leaves_either_state_and_can_be_repeated) {
  skip_syncs();
  for (const off_t bad : {off_t{0}, static_cast<off_t>(kTwinOffset)}) {
    for (const int error : {EIO, ENOSPC}) {
      for (int attempts = 1; attempts <= 3; ++attempts) {
        for (const bool goes_on : {false, true}) {
          make();
          auto taken = take(300);
          must(pages_->sync());
          const auto before = all();
          give(taken[9]);
          std::vector<std::vector<std::uint64_t>> states{before};
          failing_ = true;
          system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
            if (failing_ && offset == bad) return -error;
            return std::nullopt;
          };
          for (int attempt = 0; attempt < attempts; ++attempt) {
            take();
            states.push_back(all());
            const PageError refused = error_of(pages_->sync());
            EXPECT_EQ(refused.code, code_of(error));
            EXPECT_EQ(refused.page, PageId{static_cast<std::uint64_t>(bad) / 4096});
            EXPECT_FALSE(file_->poisoned());
            EXPECT_FALSE(has(taken[9]));
          }
          failing_ = false;
          if (goes_on) {
            must(pages_->sync());
            EXPECT_EQ(must(pages_->allocate_near(PageId{taken[9]})).value, taken[9]) << "now it is durably free";
            must(pages_->sync());
            auto expected = states.back();
            expected.push_back(taken[9]);
            std::ranges::sort(expected);
            reopen();
            EXPECT_EQ(all(), expected);
          } else {
            reopen();
            EXPECT_EQ(std::ranges::count(states, all()), 1) << bad << " attempts " << attempts;
          }
          expect_consistent();
          take(5);
          must(pages_->sync());
          const auto last = all();
          reopen();
          EXPECT_EQ(all(), last);
        }
      }
    }
  }
}

// What is in the slots after a failure refers to a tree that must stay whole until both are known again.
TEST_P(PageAllocatorErrors, the_tree_that_a_failed_commit_refers_to_is_not_overwritten) {
  make();
  take(300);
  must(pages_->sync());
  give(10);
  fail_writes(true, EIO);
  EXPECT_FALSE(pages_->sync());
  give(11);
  failing_ = false;
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "sync slot sync twin sync node0.0 sync twin sync slot sync ");
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "sync slot sync twin sync ");
}

TEST_P(PageAllocatorErrors, a_failed_sync_poisons_and_looking_goes_on) {
  for (int survivors = 0; survivors < 3; ++survivors) {
    make();
    const auto taken = take(300);
    must(pages_->sync());
    reopen();
    give(taken[7]);
    const auto after = all();
    int syncs = 0;
    system_.on_sync = [&]() -> FaultySystem::Answer {
      if (syncs++ == survivors) return -EIO;
      return std::nullopt;
    };
    EXPECT_EQ(error_of(pages_->sync()).code, ErrorCode::io_error) << survivors;
    EXPECT_TRUE(file_->poisoned());
    const Facts before = facts();
    const Snapshot on_disk = snapshot();
    EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::poisoned);
    EXPECT_EQ(error_of(pages_->allocate_near(PageId{9})).code, ErrorCode::poisoned);
    EXPECT_EQ(error_of(pages_->allocate_run(9)).code, ErrorCode::poisoned);
    EXPECT_EQ(error_of(pages_->free(PageId{taken[8]})).code, ErrorCode::poisoned);
    EXPECT_EQ(error_of(pages_->sync()).code, ErrorCode::poisoned);
    EXPECT_EQ(error_of(pages_->shrink_to_fit()).code, ErrorCode::poisoned);
    EXPECT_TRUE(has(taken[8]));
    EXPECT_FALSE(has(taken[7]));
    EXPECT_EQ(facts(), before);
    EXPECT_EQ(snapshot(), on_disk);
    EXPECT_EQ(syncs, survivors + 1);
    no_faults();
    reopen();
    EXPECT_TRUE(all() == taken || all() == after);
    take(1);
    must(pages_->sync());
  }
}

TEST_P(PageAllocatorErrors, a_failed_sync_of_somebody_else_poisons_too) {
  make();
  take(3);
  system_.on_sync = [] { return -EIO; };
  EXPECT_FALSE(file_->sync());
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::poisoned);
  EXPECT_EQ(error_of(pages_->sync()).code, ErrorCode::poisoned);
}

TEST_P(PageAllocatorErrors, a_read_only_file_is_looked_at) {
  make();
  auto taken = take(400);
  give(taken[3]);
  must(pages_->sync());
  const Facts before = facts();
  close();
  const Snapshot on_disk = snapshot();
  reopen({}, kReadOnly);
  EXPECT_EQ(facts(), before);
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::read_only);
  EXPECT_EQ(error_of(pages_->allocate_near(PageId{9})).code, ErrorCode::read_only);
  EXPECT_EQ(error_of(pages_->allocate_run(9)).code, ErrorCode::read_only);
  EXPECT_EQ(error_of(pages_->free(PageId{taken[8]})).code, ErrorCode::read_only);
  EXPECT_EQ(error_of(pages_->sync()).code, ErrorCode::read_only);
  EXPECT_EQ(error_of(pages_->shrink_to_fit()).code, ErrorCode::read_only);
  EXPECT_EQ(facts(), before);
  EXPECT_EQ(snapshot(), on_disk);
  // A recovery may look at what it would have found.
  reopen({.redo = true}, kReadOnly);
  must(pages_->redo_free(PageId{taken[8]}));
  pages_->redo_done();
  EXPECT_FALSE(has(taken[8]));
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::read_only);
  EXPECT_EQ(snapshot(), on_disk);
}

TEST_P(PageAllocatorErrors, a_headerless_file_has_no_allocator) {
  put_bytes(headerless_file(4096, 3));
  file_ = opened(legacy(4096));
  const Snapshot before = snapshot();
  EXPECT_EQ(error_of(PageAllocator::open(*file_)).code, ErrorCode::no_allocation);
  EXPECT_EQ(snapshot(), before);
  EXPECT_EQ(read_version(*file_, 1), 1u) << "and reserves no page";
}

TEST_P(PageAllocatorErrors, a_root_that_cannot_be_read_is_an_io_error) {
  make();
  const auto taken = take(3);
  must(pages_->sync());
  close();
  file_ = opened();
  system_.on_read = [](off_t, std::size_t) { return -EIO; };
  const PageError error = error_of(PageAllocator::open(*file_));
  EXPECT_EQ(error.code, ErrorCode::io_error);
  EXPECT_EQ(error.page, PageId{geometry_.home(0, 0, 1)});
  EXPECT_EQ(error.sys_errno, EIO);
  no_faults();
  pages_ = must(PageAllocator::open(*file_));
  EXPECT_EQ(all(), taken);
}

TEST_P(PageAllocatorErrors, a_leaf_that_cannot_be_read_hides_its_region_only) {
  make();
  take(10);
  const std::uint64_t far = run(pages_->run_max());
  give(far + 3);
  must(pages_->sync());
  reopen();
  const auto leaf_home = static_cast<off_t>(geometry_.home(0, 1, 1) * 4096);
  failing_ = true;
  system_.on_read = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (failing_ && offset == leaf_home) return -EIO;
    return std::nullopt;
  };
  for (const PageError& error : {error_of(pages_->free(PageId{far})), error_of(pages_->is_allocated(PageId{far})),
                                 error_of(pages_->next_allocated(PageId{kRegion}))}) {
    EXPECT_EQ(error.code, ErrorCode::io_error);
    EXPECT_EQ(error.page, PageId{geometry_.home(0, 1, 1)});
  }
  EXPECT_TRUE(has(5));
  const auto others = take(kInRegion0);
  EXPECT_EQ(std::ranges::count_if(others, [](std::uint64_t page) { return page / kRegion == 1; }), 0);
  EXPECT_EQ(must(pages_->allocate_near(PageId{far})).value / kRegion, 2u);
  must(pages_->sync());
  // The device comes to its senses.
  failing_ = false;
  EXPECT_TRUE(has(far));
  give(far);
  EXPECT_EQ(must(pages_->allocate_near(PageId{far + 3})).value, far + 3);
  must(pages_->sync());
  reopen();
  EXPECT_FALSE(has(far));
  EXPECT_TRUE(has(far + 3));
  expect_consistent();
}

TEST_P(PageAllocatorErrors, when_the_only_room_cannot_be_read_that_is_what_allocate_says) {
  make({.end = PageId{2 * kRegion}});
  const std::uint64_t far = run(pages_->run_max());
  give(far + 3);
  take(kInRegion0);
  must(pages_->sync());
  reopen({.end = PageId{2 * kRegion}});
  failing_ = true;
  system_.on_read = [&](off_t, std::size_t) -> FaultySystem::Answer {
    if (failing_) return -EIO;
    return std::nullopt;
  };
  for (int attempt = 0; attempt < 3; ++attempt) {
    const PageError error = error_of(pages_->allocate());
    EXPECT_EQ(error.code, ErrorCode::io_error) << "attempt " << attempt;
    EXPECT_EQ(error.page, PageId{geometry_.home(0, 1, 1)});
  }
  // The device comes to its senses.
  failing_ = false;
  EXPECT_EQ(take(), far + 3);
  EXPECT_EQ(error_of(pages_->allocate()).code, ErrorCode::no_free_page);
}

}  // namespace
}  // namespace pagedb::testing_support
