// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator's syncs: the order of I/O, what the next opener finds after every failure, changes as a whole, the log,
// and commits of others.
#include <atomic>
#include <chrono>
#include <thread>

#include "engine/buffer_pool.h"
#include "engine/page_allocator_test.h"
#include "engine/thread_scheduler.h"

namespace pagedb::testing_support {
namespace {

class PageAllocatorCommit : public PageAllocatorTest {};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorCommit, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

// ---- order and effect

TEST_P(PageAllocatorCommit, nodes_come_before_the_superblock_with_a_barrier_between_all) {
  make();
  take(3);
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "node0.0 sync twin sync slot sync ") << "a file that was just made is known to be durable";
  take(1);
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "node0.0 sync slot sync twin sync ");
}

// The slot that was written last may stand in a cache only, and what is durable there have a root whose home would be
// overwritten.
TEST_P(PageAllocatorCommit, an_opener_makes_both_slots_durable_before_a_home_may_be_overwritten) {
  make();
  take(3);
  must(pages_->sync());
  note_order();
  reopen();
  EXPECT_EQ(order_, "sync slot sync ");
  take(1);
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "node0.0 sync slot sync twin sync ");
}

TEST_P(PageAllocatorCommit, homes_are_written_in_turn) {
  make();
  off_t last = 0;
  for (std::uint64_t commit = 1; commit <= 6; ++commit) {
    take(1);
    off_t home = 0;
    system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
      if (!is_slot(offset)) home = offset;
      return std::nullopt;
    };
    must(pages_->sync());
    EXPECT_EQ(home, static_cast<off_t>(geometry_.home(0, 0, commit) * 4096));
    EXPECT_NE(home, last);
    last = home;
  }
}

TEST_P(PageAllocatorCommit, a_sync_with_nothing_to_write_commits_all_the_same) {
  make();
  take(3);
  must(pages_->sync());
  const std::uint64_t generation = file_->generation();
  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "sync slot sync twin sync ");
  EXPECT_EQ(file_->generation(), generation + 1);
}

TEST_P(PageAllocatorCommit, the_first_sync_gives_a_file_its_map) {
  make();
  must(pages_->sync());
  close();
  file_ = opened();
  EXPECT_TRUE(file_->is_reserved(PageId{258})) << "page_allocator.h: a file gets a map with the first sync";
}

TEST_P(PageAllocatorCommit, the_next_opener_finds_the_state_of_the_last_sync) {
  make();
  auto expected = take(300);
  must(pages_->sync());
  give(expected[9]);
  take(50);
  reopen_allocator();
  EXPECT_EQ(all(), expected) << "an allocator that is destroyed syncs nothing";
  give(expected[9]);
  take(50);
  reopen();
  EXPECT_EQ(all(), expected);
  EXPECT_EQ(pages_->high_water(), PageId{expected.back() + 1});
  give(expected[0]);
  expected.erase(expected.begin());
  must(pages_->sync());
  reopen({}, kReadOnly);
  EXPECT_EQ(all(), expected);
}

TEST_P(PageAllocatorCommit, pages_that_were_written_are_durable_with_it) {
  make();
  const std::uint64_t page = take();
  ASSERT_TRUE(write_version(*file_, page, 4));
  note_order();
  must(pages_->sync());
  EXPECT_TRUE(order_.find("sync ") < order_.find("slot ")) << order_;
  reopen();
  EXPECT_EQ(read_version(*file_, page), 4u);
}

TEST_P(PageAllocatorCommit, whoever_commits_the_file_commits_the_map_too) {
  make();
  const auto taken = take(4);
  must(file_->commit_redo_from(Lsn{9}));
  reopen();
  EXPECT_EQ(all(), taken);
  EXPECT_EQ(file_->redo_from(), Lsn{9});
  give(taken[1]);
  must(pages_->sync());
  EXPECT_EQ(file_->redo_from(), Lsn{9}) << "a sync of the map leaves it";
}

TEST_P(PageAllocatorCommit, commits_of_a_file_whose_allocator_is_gone_keep_the_map) {
  make();
  const auto taken = take(4);
  must(pages_->sync());
  pages_.reset();
  must(file_->commit_redo_from(Lsn{5}));
  reopen();
  EXPECT_EQ(all(), taken);
}

TEST_P(PageAllocatorCommit, a_checkpoint_commits_pages_map_and_redo_from_at_once) {
  make();
  auto pool = must(
      BufferPool::create(scheduler_, *file_, {.frames = 16, .background_writer = false, .background_reader = false}));
  const auto taken = take(3);
  for (const std::uint64_t page : taken) {
    auto guard = must(pool->new_page(PageId{page}));
    payload(guard.write())[0] = std::byte{7};
    guard.set_lsn(Lsn{1});
  }
  const std::uint64_t generation = file_->generation();
  note_order();
  must(pool->checkpoint(Lsn{2}));
  EXPECT_EQ(file_->generation(), generation + 1) << "one superblock commit";
  const std::size_t slot = order_.find("twin ");
  for (const std::string_view before : {"page2 ", "page3 ", "page4 ", "node0.0 "}) EXPECT_LT(order_.find(before), slot);
  EXPECT_EQ(order_.substr(slot), "twin sync slot sync ");
  EXPECT_TRUE(order_.substr(0, slot).ends_with("sync ")) << order_;

  pool->drop(PageId{taken[1]});
  give(taken[1]);
  must(pool->checkpoint(Lsn{2}));
  must(pool->close());
  pool.reset();
  reopen();
  EXPECT_EQ(all(), (std::vector<std::uint64_t>{taken[0], taken[2]}));
  EXPECT_EQ(file_->redo_from(), Lsn{2});
}

// ---- reserved pages

TEST_P(PageAllocatorCommit, pages_of_the_map_are_reserved_once_there_is_an_allocator_or_a_map) {
  const std::uint64_t reserved[] = {1, 255, 257, 258, 260, 285, kRegion, kRegion + 1, kRegion + 4};
  file_ = created();
  for (const std::uint64_t page : reserved) EXPECT_FALSE(file_->is_reserved(PageId{page})) << page;
  ASSERT_TRUE(write_version(*file_, 260, 1));
  const auto expect_reserved = [&] {
    AlignedBuffer page = page_with(4096, 1, 1);
    for (const std::uint64_t id : reserved) {
      EXPECT_TRUE(file_->is_reserved(PageId{id})) << id;
      EXPECT_EQ(error_of(file_->may_write(PageId{id})).code, ErrorCode::reserved_page);
      EXPECT_EQ(error_of(file_->write(PageId{id}, page.span())).code, ErrorCode::reserved_page);
      EXPECT_EQ(error_of(file_->read(PageId{id}, page.span())).code, ErrorCode::reserved_page);
      std::vector<PageIo> batch{{.id = PageId{id}, .page = page.span()}};
      EXPECT_EQ(error_of(file_->write_batch(batch)).code, ErrorCode::reserved_page);
      EXPECT_EQ(error_of(file_->read_batch(batch)).code, ErrorCode::reserved_page);
    }
    for (const std::uint64_t id : {2u, 254u, 286u, 16383u, 16389u}) EXPECT_FALSE(file_->is_reserved(PageId{id})) << id;
  };
  pages_ = must(PageAllocator::open(*file_));
  expect_reserved();
  take(1);
  must(pages_->sync());
  pages_.reset();
  expect_reserved();
  file_.reset();
  file_ = opened();
  expect_reserved();
  file_.reset();
  file_ = opened(kReadOnly);
  EXPECT_TRUE(file_->is_reserved(PageId{258}));
}

// ---- the log

TEST_P(PageAllocatorCommit, the_log_is_durable_up_to_the_highest_record_before_the_superblock_is_written) {
  NotedLog log;
  make({.log = &log});
  take(1);
  must(pages_->sync());
  EXPECT_EQ(log.asked, std::vector<std::uint64_t>{}) << "no change was logged";
  for (const std::uint64_t lsn : {7u, 30u, 12u}) {
    PageAllocator::Change change(*pages_);
    take(1);
    change.logged(Lsn{lsn});
  }
  note_order();
  log.on_ask = [&] { order_ += "log "; };
  must(pages_->sync());
  ASSERT_FALSE(log.asked.empty());
  EXPECT_EQ(log.asked.back(), 30u);
  EXPECT_LT(order_.find("log "), order_.find("slot ")) << order_;
  // Commits of others ask as well.
  {
    PageAllocator::Change change(*pages_);
    take(1);
    change.logged(Lsn{31});
    change.logged(Lsn{33});
  }
  must(file_->commit_redo_from(Lsn{5}));
  EXPECT_EQ(log.asked.back(), 33u);
}

TEST_P(PageAllocatorCommit, a_log_that_refuses_fails_the_sync_and_leaves_all_as_it_was) {
  NotedLog log;
  make({.log = &log});
  const auto taken = take(300);
  must(pages_->sync());
  {
    PageAllocator::Change change(*pages_);
    give(taken[5]);
    change.logged(Lsn{40});
  }
  const Facts before = facts();
  const Snapshot on_disk = snapshot();
  log.refuses = true;
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_EQ(error_of(pages_->sync()).code, ErrorCode::no_space);
    EXPECT_EQ(error_of(file_->commit_redo_from(Lsn{5})).code, ErrorCode::no_space);
    EXPECT_EQ(snapshot().bytes, on_disk.bytes);
    EXPECT_EQ(facts(), before);
    EXPECT_FALSE(file_->poisoned());
  }
  for (const std::uint64_t page : take(300)) EXPECT_NE(page, taken[5]) << "freed, but not durably";
  log.refuses = false;
  must(pages_->sync());
  EXPECT_EQ(all().size(), 599u);
  reopen();
  EXPECT_FALSE(has(taken[5]));
}

// ---- changes

TEST_P(PageAllocatorCommit, a_change_is_covered_as_a_whole) {
  ThreadScheduler threads;
  NotedLog log;
  auto made = PageFile::create(threads, backend_, path_, PageSize(), kId);
  ASSERT_TRUE(made);
  pages_ = must(PageAllocator::open(**made, {.log = &log}));
  system_.on_sync = [] { return 0; };  // not what is tested
  // Each change takes a page, marks it in the "log", and gives another one back: there are always 2 pages, but within.
  std::vector<std::uint64_t> mine = take(2);
  must(pages_->sync());
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> appended{0};
  const TaskId changer = threads.spawn("changer", [&] {
    for (std::uint64_t i = 0; !done; ++i) {
      PageAllocator::Change change(*pages_);
      const auto page = pages_->allocate();
      ASSERT_TRUE(page);
      for (int spin = 0; spin < 20; ++spin) threads.relax(0);
      ASSERT_TRUE(pages_->free(PageId{mine[i % 2]}));
      mine[i % 2] = page->value;
      change.logged(Lsn{i + 1});
      appended = i + 1;
    }
  });
  for (int syncs = 0; syncs < 50; ++syncs) {
    const std::uint64_t before = appended;
    ASSERT_TRUE(pages_->sync());
    EXPECT_GE(log.asked.empty() ? 0 : log.asked.back(), before);
    // What a reader finds now is what that sync committed: this thread makes them all.
    auto reader = open(kReadOnly);
    ASSERT_TRUE(reader);
    const auto seen = PageAllocator::open(**reader);
    ASSERT_TRUE(seen);
    EXPECT_EQ((*seen)->free_count() + 2, geometry_.usable(0, (*seen)->high_water().value));
  }
  done = true;
  threads.join(changer);
  pages_.reset();
}

TEST_P(PageAllocatorCommit, a_sync_waits_for_a_change_and_a_change_for_no_write) {
  ThreadScheduler threads;
  auto made = PageFile::create(threads, backend_, path_, PageSize(), kId);
  ASSERT_TRUE(made);
  pages_ = must(PageAllocator::open(**made));
  std::atomic<bool> synced{false};
  TaskId syncer;
  {
    PageAllocator::Change change(*pages_);
    take(1);
    syncer = threads.spawn("syncer", [&] {
      EXPECT_TRUE(pages_->sync());
      synced = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(synced);
  }
  threads.join(syncer);
  // While nodes are written, changes go on.
  std::atomic<int> changes{0};
  take(1);
  system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (is_slot(offset)) return std::nullopt;
    const PageAllocator::Change change(*pages_);
    EXPECT_TRUE(pages_->allocate());
    ++changes;
    return std::nullopt;
  };
  must(pages_->sync());
  EXPECT_EQ(changes, 1);
  system_.on_write = nullptr;
  pages_.reset();
  made->reset();
  reopen();
  EXPECT_EQ(all().size(), 2u) << "what came after the snapshot is the next sync's";
}

// ---- crashes

// What a crash can leave of a commit: nodes and slots, each old, new or torn, as far as the barriers allow.
TEST_P(PageAllocatorCommit, every_crash_in_a_sync_leaves_one_of_the_two_states) {
  for (const bool fresh : {true, false}) {  // an opener's first commit, and one after it
    for (int survivors = 0; survivors < 12; ++survivors) {
      for (const bool torn : {false, true}) {
        skip_syncs();
        make();
        auto before = take(300);
        must(pages_->sync());
        reopen();
        if (!fresh) {
          before.push_back(take());
          must(pages_->sync());
        }
        give(before[3]);
        auto after = all();
        int writes = 0;
        bool reached = false;
        // After some writes nothing gets to the disk any more, but the last one may in half.
        system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
          if (writes++ < survivors) return std::nullopt;
          reached = true;
          if (torn && writes == survivors + 1) poke(static_cast<std::uint64_t>(offset) + 2048, std::string(512, 'x'));
          return -EIO;
        };
        const auto synced = pages_->sync();
        EXPECT_EQ(synced.has_value(), !reached);
        no_faults();
        skip_syncs();
        reopen();
        const auto found = all();
        EXPECT_TRUE(found == after || (!synced && found == before)) << survivors << torn;
        expect_consistent();
        take(3);
        must(pages_->sync());
        reopen();
        EXPECT_EQ(all().size(), found.size() + 3);
      }
    }
  }
}

}  // namespace
}  // namespace pagedb::testing_support
