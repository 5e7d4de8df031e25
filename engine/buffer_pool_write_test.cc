// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Tests of how BufferPool writes: flush, sync, evictions that must write, the background writer, the log barrier, and
// what is left after an error.
#include <algorithm>

#include "engine/buffer_pool.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

class PoolWrites : public PoolTest {
 protected:
  void remake(BufferPoolOptions options) {
    pool->abandon();
    pool.reset();
    options.log = &log;
    make(options);
  }
};

// ---- flush and sync

TEST_F(PoolWrites, FlushWritesAndSyncMakesDurable) {
  change(7, 70);
  EXPECT_EQ(state(7), PageState::dirty);
  EXPECT_EQ(store.stored(7), 7u);
  must(pool->flush(PageId{7}));
  EXPECT_EQ(state(7), PageState::unsynced);
  EXPECT_EQ(store.stored(7), 70u);
  EXPECT_EQ(store.durable(7), 7u);
  must(pool->sync());
  EXPECT_EQ(state(7), PageState::clean);
  EXPECT_EQ(store.durable(7), 70u);
  const BufferPoolStats stats = pool->stats();
  EXPECT_EQ(stats.writes, 1u);
  EXPECT_EQ(stats.dirty, 0u);
}

TEST_F(PoolWrites, FlushOfWhatIsNotDirtyWritesNothing) {
  EXPECT_EQ(value(7), 7u);
  must(pool->flush(PageId{7}));
  must(pool->flush(PageId{60}));
  must(pool->flush(PageId{12345}));
  must(pool->flush_all());
  EXPECT_EQ(store.write_count(), 0u);
  EXPECT_EQ(store.reads_of(60), 0);
}

TEST_F(PoolWrites, AnUnsyncedPageThatIsChangedAgainIsDirty) {
  change(7, 70);
  must(pool->flush(PageId{7}));
  change(7, 71);
  EXPECT_EQ(state(7), PageState::dirty);
  must(pool->sync());
  EXPECT_EQ(state(7), PageState::dirty) << "a sync writes nothing";
  EXPECT_EQ(store.durable(7), 70u);
}

TEST_F(PoolWrites, ASyncCoversOnlyWhatWasWrittenBeforeItBegan) {
  change(7, 70);
  must(pool->flush(PageId{7}));
  store.syncs.close();
  std::jthread syncing([&] { must(pool->sync()); });
  store.syncs.await();
  change(8, 80);
  must(pool->flush(PageId{8}));
  store.syncs.open();
  syncing.join();
  EXPECT_EQ(state(7), PageState::clean);
  EXPECT_EQ(state(8), PageState::unsynced);
  EXPECT_EQ(store.durable(8), 8u);
}

TEST_F(PoolWrites, FlushAllWritesInPageOrder) {
  for (const std::uint64_t id : {50u, 3u, 99u, 7u, 51u, 0u}) change(id, id + 1000);
  must(pool->flush_all());
  EXPECT_EQ(store.write_order(), (std::vector<std::uint64_t>{0, 3, 7, 50, 51, 99}));
  EXPECT_EQ(pool->stats().dirty, 0u);
  EXPECT_EQ(store.batches_max(), 6u) << "in one batch";
}

TEST_F(PoolWrites, FlushAllWritesInBatches) {
  BufferPoolOptions options = quiet(100);
  options.write_batch_pages = 8;
  remake(options);
  for (std::uint64_t id = 0; id < 100; ++id) change(id, id + 1000);
  must(pool->flush_all());
  EXPECT_EQ(store.batches_max(), 8u);
  EXPECT_EQ(store.write_count(), 100u);
  for (std::uint64_t id = 0; id < 100; ++id) EXPECT_EQ(store.stored(id), id + 1000);
}

TEST_F(PoolWrites, FlushAllGoesOnAfterAnErrorAndReturnsTheFirst) {
  BufferPoolOptions options = quiet(64);
  options.write_batch_pages = 4;
  remake(options);
  for (std::uint64_t id = 0; id < 40; ++id) change(id, id + 1000);
  store.on_write = [](PageId id) {
    return id.value == 13   ? std::optional(ErrorCode::no_space)
           : id.value == 30 ? std::optional(ErrorCode::io_error)
                            : std::nullopt;
  };
  const auto flushed = pool->flush_all();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, ErrorCode::no_space);
  EXPECT_EQ(flushed.error().page, PageId{13});
  for (std::uint64_t id = 0; id < 40; ++id) {
    EXPECT_EQ(state(id), id == 13 || id == 30 ? PageState::dirty : PageState::unsynced) << id;
  }
  EXPECT_EQ(pool->stats().write_failures, 2u);
  EXPECT_EQ(pool->stats().dirty, 2u);
  store.on_write = nullptr;
  must(pool->flush_all());
  EXPECT_EQ(store.stored(13), 1013u);
  EXPECT_EQ(store.stored(30), 1030u);
}

TEST_F(PoolWrites, AFailedWriteLeavesThePageDirty) {
  change(7, 70);
  store.on_write = [](PageId) { return ErrorCode::io_error; };
  const auto flushed = pool->flush(PageId{7});
  EXPECT_EQ(code_of(flushed), ErrorCode::io_error);
  EXPECT_EQ(state(7), PageState::dirty);
  EXPECT_EQ(value(7), 70u);
  store.on_write = nullptr;
  must(pool->flush(PageId{7}));
  EXPECT_EQ(store.stored(7), 70u);
}

TEST_F(PoolWrites, FlushWaitsForWhoeverHoldsThePageExclusively) {
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  put_word(guard, 70);
  for (const bool all : {false, true}) {
    std::jthread flusher([&] { must(all ? pool->flush_all() : pool->flush(PageId{7})); });
    scheduler.await_parked(1);
    EXPECT_EQ(store.write_count(), all ? 1u : 0u);
    put_word(guard, 71);
    guard.release();
    flusher.join();
    EXPECT_EQ(store.stored(7), 71u) << "as it was when nobody changed it";
    guard = must(pool->fetch_exclusive(PageId{7}));
    put_word(guard, 70);
  }
}

TEST_F(PoolWrites, AHeldSharedGuardIsNoObstacle) {
  change(7, 70);
  change(8, 80);
  const SharedGuard mine = must(pool->fetch(PageId{7}));
  must(pool->flush(PageId{7}));
  change(8, 81);
  must(pool->flush_all());
  EXPECT_EQ(must(pool->checkpoint(Lsn{10})), Lsn{10});
  EXPECT_EQ(store.durable(7), 70u);
  EXPECT_EQ(store.durable(8), 81u);
}

// A writer that waits for a page which this task shares must not make this task wait for it: each would wait for the
// other.
TEST_F(PoolWrites, AHeldSharedGuardIsNoObstacleWhileAWriterWaits) {
  for (int what = 0; what < 3; ++what) {
    change(7, 70);
    SharedGuard mine = must(pool->fetch(PageId{7}));
    std::jthread writer([&] { change(7, 71); });
    scheduler.await_parked(1);
    if (what == 0) must(pool->flush(PageId{7}));
    if (what == 1) must(pool->flush_all());
    if (what == 2) must(pool->checkpoint(Lsn{10}));
    EXPECT_EQ(store.stored(7), 70u);
    mine.release();
    writer.join();
  }
}

TEST_F(PoolWrites, AHeldSharedGuardIsNoObstacleWhileAWriterWaitsAndThePageIsBeingWritten) {
  for (int what = 0; what < 3; ++what) {
    change(7, 70);
    SharedGuard mine = must(pool->fetch(PageId{7}));
    store.writes.close();
    std::jthread other_flusher([&] { must(pool->flush(PageId{7})); });
    store.writes.await();
    std::jthread writer([&] { change(7, 71); });
    scheduler.await_parked(1);
    std::jthread opener([&] {
      scheduler.await_parked(2);
      store.writes.open();
    });
    if (what == 0) must(pool->flush(PageId{7}));
    if (what == 1) must(pool->flush_all());
    if (what == 2) must(pool->checkpoint(Lsn{10}));
    EXPECT_EQ(store.stored(7), 70u);
    mine.release();
  }
}

// ---- changes while a write is under way

TEST_F(PoolWrites, AChangeDuringAWriteKeepsThePageDirty) {
  change(7, 70);
  store.writes.close();
  std::jthread flusher([&] { must(pool->flush(PageId{7})); });
  store.writes.await();
  change(7, 71);  // the latch is free while the write is under way
  store.writes.open();
  flusher.join();
  EXPECT_EQ(store.stored(7), 70u) << "the copy, whole";
  EXPECT_EQ(state(7), PageState::dirty);
  must(pool->flush(PageId{7}));
  EXPECT_EQ(store.stored(7), 71u);
}

TEST_F(PoolWrites, TwoFlushesOfOnePageTakeTurns) {
  change(7, 70);
  store.writes.close();
  std::jthread first([&] { must(pool->flush(PageId{7})); });
  store.writes.await();
  change(7, 71);
  std::jthread second([&] {
    must(pool->flush(PageId{7}));
    EXPECT_EQ(store.stored(7), 71u);
  });
  scheduler.await_parked(1);
  EXPECT_EQ(store.writes_of(7), 1) << "a second copy could land before the first";
  store.writes.open();
  second.join();
  EXPECT_EQ(store.writes_of(7), 2);
}

TEST_F(PoolWrites, DroppingWaitsForAWriteUnderWay) {
  change(7, 70);
  store.writes.close();
  std::jthread flusher([&] { static_cast<void>(pool->flush(PageId{7})); });
  store.writes.await();
  std::atomic<bool> dropped{false};
  std::jthread dropper([&] {
    pool->drop(PageId{7});
    dropped = true;
  });
  scheduler.await_parked(1);
  EXPECT_FALSE(dropped);
  store.writes.open();
  dropper.join();
  EXPECT_EQ(state(7), PageState::absent);
}

// ---- evictions

TEST_F(PoolWrites, AnEvictionTakesACleanPageAndWaitsForNoWrite) {
  remake(quiet(4));
  for (std::uint64_t id = 0; id < 3; ++id) change(id, id + 1000);
  EXPECT_EQ(value(50), 50u);
  for (std::uint64_t id = 51; id < 90; ++id) EXPECT_EQ(value(id), id);
  EXPECT_EQ(store.write_count(), 0u);
  EXPECT_EQ(pool->stats().eviction_writes, 0u);
  EXPECT_EQ(pool->stats().dirty, 3u);
}

TEST_F(PoolWrites, WhenAllAreDirtyAnEvictionWrites) {
  remake(quiet(4));
  for (std::uint64_t id = 0; id < 4; ++id) change(id, id + 1000);
  EXPECT_EQ(value(50), 50u);
  EXPECT_GE(pool->stats().eviction_writes, 1u);
  for (std::uint64_t id = 0; id < 4; ++id) EXPECT_EQ(value(id), id + 1000);
}

TEST_F(PoolWrites, AnEvictionThatCannotWriteSaysSo) {
  remake(quiet(2));
  change(0, 1000);
  change(1, 1001);
  store.on_write = [](PageId) { return ErrorCode::no_space; };
  EXPECT_EQ(code_of(pool->fetch(PageId{50})), ErrorCode::no_space);
  EXPECT_EQ(value(0), 1000u);
  EXPECT_EQ(value(1), 1001u);
  store.on_write = nullptr;
  EXPECT_EQ(value(50), 50u);
}

// Dirty pages between held ones, in each order, with batches as small as can be.
TEST_F(PoolWrites, ADirtyPageIsFoundAmongHeldOnes) {
  for (std::uint32_t frames = 2; frames <= 9; ++frames) {
    for (std::uint32_t held = 0; held < (1u << frames) - 1; ++held) {
      BufferPoolOptions options = quiet(frames);
      options.write_batch_pages = 1;
      remake(options);
      std::vector<SharedGuard> guards;
      for (std::uint64_t id = 0; id < frames; ++id) {
        change(id, id + 1000);
        if ((held >> id & 1) != 0) guards.push_back(must(pool->fetch(PageId{id})));
      }
      ASSERT_EQ(value(50), 50u) << frames << " frames, held " << held;
    }
  }
}

TEST_F(PoolWrites, AFrameIsNotGivenAwayWhileItIsBeingWritten) {
  remake(quiet(2));
  change(0, 1000);
  const SharedGuard other = must(pool->fetch(PageId{1}));
  store.writes.close();
  std::jthread flusher([&] { must(pool->flush(PageId{0})); });
  store.writes.await();
  std::jthread reader([&] { EXPECT_EQ(value(50), 50u); });
  scheduler.await_parked(1);
  EXPECT_EQ(state(0), PageState::dirty);
  EXPECT_EQ(state(50), PageState::absent);
  store.writes.open();
  reader.join();
  flusher.join();
  EXPECT_EQ(store.stored(0), 1000u);
}

// ---- the background writer

TEST_F(PoolWrites, TheBackgroundWriterCleansWhatWouldGoNext) {
  remake({.frames = 32, .background_reader = false, .write_batch_pages = 8});
  std::uint64_t next = 0;
  eventually([&] {
    for (int i = 0; i < 4; ++i, ++next) change(next % kPages, next + 1000);
    return pool->stats().writes > pool->stats().eviction_writes;
  });
  std::uint64_t first = next > kPages ? next - kPages : 0;
  for (; first < next; ++first) EXPECT_EQ(value(first % kPages), first + 1000);
}

TEST_F(PoolWrites, AFailingBackgroundWriterLosesNothing) {
  store.on_write = [](PageId) { return ErrorCode::io_error; };
  remake({.frames = 8, .background_reader = false, .write_batch_pages = 2});
  for (std::uint64_t id = 0; id < 8; ++id) change(id, id + 1000);
  EXPECT_EQ(code_of(pool->fetch(PageId{50})), ErrorCode::io_error);
  for (std::uint64_t id = 0; id < 8; ++id) EXPECT_EQ(value(id), id + 1000);
  EXPECT_EQ(pool->stats().dirty, 8u);
}

// ---- the log barrier

TEST_F(PoolWrites, TheLogIsAskedForTheHighestLsnBeforeTheWrite) {
  for (std::uint64_t id = 0; id < 5; ++id) change(id, id + 1000);
  log.asks.close();
  std::jthread flusher([&] { must(pool->flush_all()); });
  log.asks.await();
  EXPECT_EQ(store.write_count(), 0u);
  log.asks.open();
  flusher.join();
  EXPECT_EQ(log.durable(), Lsn{5});
  EXPECT_EQ(log.asked, 1) << "once a batch";
  EXPECT_EQ(pool->stats().barrier_waits, 1u);
  EXPECT_EQ(store.write_count(), 5u);
}

TEST_F(PoolWrites, AFailingLogLeavesThePagesDirty) {
  change(7, 70);
  change(8, 80);
  log.fail = true;
  EXPECT_EQ(code_of(pool->flush(PageId{7})), ErrorCode::io_error);
  EXPECT_EQ(code_of(pool->flush_all()), ErrorCode::io_error);
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{10})), ErrorCode::io_error);
  EXPECT_EQ(code_of(pool->close()), ErrorCode::io_error);
  EXPECT_EQ(store.write_count(), 0u);
  EXPECT_EQ(state(7), PageState::dirty);
  EXPECT_EQ(state(8), PageState::dirty);
  EXPECT_EQ(store.redo_from(), Lsn{0});
  log.fail = false;
  must(pool->close());
  EXPECT_EQ(store.durable(7), 70u);
}

TEST_F(PoolWrites, AnEvictionNeedsTheLogToo) {
  remake(quiet(2));
  change(0, 1000);
  change(1, 1001);
  log.fail = true;
  EXPECT_EQ(code_of(pool->fetch(PageId{50})), ErrorCode::io_error);
  EXPECT_EQ(store.write_count(), 0u);
  log.fail = false;
  EXPECT_EQ(value(50), 50u);
  EXPECT_GE(log.durable(), Lsn{1});
}

TEST_F(PoolWrites, NoLatchIsHeldWhileTheLogIsAsked) {
  change(7, 70);
  log.asks.close();
  std::jthread flusher([&] { must(pool->flush(PageId{7})); });
  log.asks.await();
  change(7, 71);
  EXPECT_EQ(value(7), 71u);
  log.asks.open();
  flusher.join();
  EXPECT_EQ(store.stored(7), 70u) << "the log was asked for this one's LSN only";
  EXPECT_EQ(state(7), PageState::dirty);
}

TEST_F(PoolWrites, PagesThatWereNeverLoggedNeedNoLog) {
  {
    ExclusiveGuard guard = must(pool->new_page(PageId{500}));
  }
  log.fail = true;
  must(pool->flush(PageId{500}));
  EXPECT_EQ(log.asked, 0);
}

// ---- poison

TEST_F(PoolWrites, AfterAFailedSyncOnlyPagesInMemoryCanBeRead) {
  change(7, 70);
  change(8, 80);
  EXPECT_EQ(value(9), 9u);
  must(pool->flush(PageId{7}));
  SharedGuard shared = must(pool->fetch(PageId{9}));
  store.on_sync = [] { return ErrorCode::io_error; };
  EXPECT_EQ(code_of(pool->sync()), ErrorCode::io_error);
  store.on_sync = nullptr;

  EXPECT_EQ(state(7), PageState::unsynced) << "never clean on account of that sync";
  EXPECT_EQ(value(7), 70u);
  EXPECT_EQ(value(8), 80u);
  EXPECT_EQ(value(9), 9u);
  EXPECT_TRUE(must(pool->fetch_optimistic(PageId{9})).valid());
  EXPECT_EQ(code_of(pool->fetch(PageId{50})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->fetch_optimistic(PageId{50})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->fetch_exclusive(PageId{9})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->new_page(PageId{500})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->flush(PageId{8})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->flush_all()), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->sync()), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{10})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->close()), ErrorCode::poisoned);
  EXPECT_FALSE(shared.try_upgrade());
  EXPECT_EQ(state(7), PageState::unsynced);
  EXPECT_EQ(state(8), PageState::dirty);
  EXPECT_EQ(store.stored(8), 8u) << "nothing is written any more";
  pool->drop(PageId{8});
  EXPECT_EQ(pool->abandon(), 0u);
}

TEST_F(PoolWrites, AfterAFailedSyncNothingThatIsInMemoryLeaves) {
  remake({.frames = 4, .background_writer = false});
  for (std::uint64_t id = 0; id < 4; ++id) EXPECT_EQ(value(id), id);
  store.on_sync = [] { return ErrorCode::io_error; };
  EXPECT_EQ(code_of(pool->sync()), ErrorCode::io_error);
  for (std::uint64_t id = 50; id < 60; ++id) EXPECT_EQ(code_of(pool->fetch(PageId{id})), ErrorCode::poisoned);
  std::vector<PageId> ids;
  for (std::uint64_t id = 50; id < 90; ++id) ids.push_back(PageId{id});
  for (int i = 0; i < 100; ++i) {
    static_cast<void>(pool->prefetch(ids));
    std::this_thread::yield();
  }
  for (std::uint64_t id = 0; id < 4; ++id) EXPECT_EQ(value(id), id);
}

TEST_F(PoolWrites, AGuardFromBeforeTheFailureMayGoOn) {
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  store.on_sync = [] { return ErrorCode::io_error; };
  EXPECT_EQ(code_of(pool->sync()), ErrorCode::io_error);
  put_word(guard, 70);
  guard.release();
  EXPECT_EQ(value(7), 70u);
  EXPECT_EQ(pool->abandon(), 1u);
}

}  // namespace
}  // namespace pagedb
