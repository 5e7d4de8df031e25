// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Defects that a published paging layer was shown to have, each by the number of its row in the list that this project
// keeps, and each shown absent here. (The others concern the allocator and the file.)
#include <algorithm>
#include <array>
#include <chrono>

#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/io/real_file_test.h"
#include "engine/page_file.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

// "Dirty bit set before the page latch is held, cleared before it is released: 118 to 126 of 500 two-thread trials lost
// the last update after a checkpoint that said Ok."
TEST(PeerDefect01, NoUpdateIsLostWhenMarkingRacesWithFlushing) {
  PoolWorld world(4);
  for (std::uint64_t trial = 1; trial <= 500; ++trial) {
    std::atomic<bool> written{false};
    std::jthread writer([&] {
      world.change(7, trial);
      written = true;
    });
    while (!written) {
      must(world.pool->flush(PageId{7}));
      std::this_thread::yield();
    }
    writer.join();
    must(world.pool->checkpoint(Lsn{world.last_lsn + 1}));
    ASSERT_EQ(world.store.durable(7), trial);
  }
}

// "flush_all latches pages while holding the pool's lock; a thread holding a guard fetches another page: deadlock,
// every time."
TEST(PeerDefect02, AFlushAllThatWaitsForAGuardLetsItsHolderFetch) {
  PoolWorld world(4);
  ExclusiveGuard guard = must(world.pool->fetch_exclusive(PageId{7}));
  put_word(guard, 70);
  std::jthread flusher([&] { must(world.pool->flush_all()); });
  world.scheduler.await_parked(1);
  for (std::uint64_t id = 20; id < 60; ++id) EXPECT_EQ(world.value(id), id) << "hits, misses and evictions go on";
  world.change(8, 80);
  guard.release();
  flusher.join();
  EXPECT_EQ(world.store.stored(7), 70u);
}

// "Dirty cleared at write, sync fails, retry says Ok: the old page is what is durable."
TEST(PeerDefect03, ARetryAfterAFailedSyncDoesNotSayOk) {
  PoolWorld world;
  world.change(7, 70);
  world.store.on_sync = [] { return ErrorCode::io_error; };
  must(world.pool->flush_all());
  EXPECT_EQ(code_of(world.pool->sync()), ErrorCode::io_error);
  world.store.on_sync = nullptr;  // the device would answer Ok now, and has forgotten the page
  EXPECT_EQ(code_of(world.pool->sync()), ErrorCode::poisoned);
  EXPECT_EQ(code_of(world.pool->close()), ErrorCode::poisoned);
  EXPECT_EQ(code_of(world.pool->checkpoint(Lsn{10})), ErrorCode::poisoned);
  EXPECT_EQ(world.store.durable(7), 7u);
  EXPECT_EQ(world.state(7), PageState::unsynced);
}

// "No way to discard a page from the pool: a freed page's late write-back overwrites allocator state."
TEST(PeerDefect08, ADroppedPageIsNotWrittenLate) {
  PoolWorld world({.frames = 4, .background_reader = false, .write_batch_pages = 1});
  for (std::uint64_t round = 0; round < 50; ++round) {
    for (std::uint64_t id = 0; id < 4; ++id) world.change(id, 1000 + round);
    std::jthread flusher([&] { static_cast<void>(world.pool->flush_all()); });
    world.pool->drop(PageId{2});
    const auto as_dropped = world.store.stored(2);
    const int writes = world.store.writes_of(2);
    // Everything that could write does so.
    for (std::uint64_t id = 20; id < 30; ++id) world.change(id, 1);
    flusher.join();
    must(world.pool->flush_all());
    ASSERT_EQ(world.store.writes_of(2), writes);
    ASSERT_EQ(world.store.stored(2), as_dropped);
  }
}

// "Dropping the pool discards dirty pages silently; guards outlive the pool."
TEST(PeerDefect12DeathTest, EndingWithDirtyPagesOrGuardsIsLoud) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        world.change(7, 70);
        world.pool.reset();
      },
      "dirty pages");
  EXPECT_DEATH(
      {
        PoolWorld world;
        const SharedGuard guard = must(world.pool->fetch(PageId{7}));
        world.pool.reset();
      },
      "guard outlives its pool");
}

TEST(PeerDefect12, EndingOnPurposeIsQuiet) {
  PoolWorld closed;
  closed.change(7, 70);
  must(closed.pool->close());
  closed.pool.reset();
  EXPECT_EQ(closed.store.durable(7), 70u);
  PoolWorld abandoned;
  abandoned.change(7, 70);
  EXPECT_EQ(abandoned.pool->abandon(), 1u);
  abandoned.pool.reset();
}

// "One mutex across hits, miss reads, eviction writes."
TEST(PeerDefect13, HitsAndOtherMissesGoOnWhileAReadIsUnderWay) {
  PoolWorld world;
  for (std::uint64_t id = 0; id < 8; ++id) EXPECT_EQ(world.value(id), id);
  world.store.reads.close();
  std::jthread missing([&] { EXPECT_EQ(world.value(50), 50u); });
  world.store.reads.await();
  for (int round = 0; round < 100; ++round) {
    for (std::uint64_t id = 0; id < 8; ++id) ASSERT_EQ(world.value(id), id);
    world.change(3, 3);
    ASSERT_EQ(world.state(50), PageState::loading);
  }
  std::jthread missing_too([&] { EXPECT_EQ(world.value(51), 51u); });
  world.store.reads.await(2);  // both reads are at the device at once
  world.store.reads.open();
}

TEST(PeerDefect13, HitsAndMissesGoOnWhileAWriteIsUnderWay) {
  PoolWorld world(8);
  for (std::uint64_t id = 0; id < 4; ++id) world.change(id, 1000 + id);
  world.store.writes.close();
  std::jthread flusher([&] { must(world.pool->flush_all()); });
  world.store.writes.await();
  for (std::uint64_t id = 0; id < 4; ++id) EXPECT_EQ(world.value(id), 1000 + id);
  for (std::uint64_t id = 20; id < 60; ++id) EXPECT_EQ(world.value(id), id);
  world.store.writes.open();
}

TEST(PeerDefect13, AnEvictionThatMustWriteStopsNobodyElse) {
  PoolWorld world(4);
  for (std::uint64_t id = 0; id < 4; ++id) world.change(id, 1000 + id);
  world.store.writes.close();
  std::jthread missing([&] { EXPECT_EQ(world.value(50), 50u); });
  world.store.writes.await();
  for (std::uint64_t id = 0; id < 4; ++id) EXPECT_EQ(world.value(id), 1000 + id);
  world.store.writes.open();
}

// "100,000 referenced frames, one miss: 1.03 ms clock sweep under the mutex." The bound on the work is tested in
// engine/pool/replacement_test.cc; here, that a miss in such a pool is not much slower than in one a hundredth of the
// size.
TEST(PeerDefect15, AMissInALargeHotPoolIsNotSlow) {
  const auto miss_time = [](std::uint32_t frames) {
    PoolWorld world(frames);
    for (std::uint64_t id = 0; id < frames; ++id) {
      static_cast<void>(must(world.pool->new_page(PageId{id})));
    }
    must(world.pool->flush_all());
    for (int use = 0; use < 4; ++use) {
      for (std::uint64_t id = 0; id < frames; ++id) static_cast<void>(must(world.pool->fetch(PageId{id})));
    }
    Time best = kForever;
    for (std::uint64_t miss = 0; miss < 50; ++miss) {
      std::vector<std::byte> page(4096);
      world.store.put(PageId{1'000'000 + miss}, page);
      const Time before = world.scheduler.now();
      static_cast<void>(must(world.pool->fetch(PageId{1'000'000 + miss})));
      best = std::min(best, world.scheduler.now() - before);
    }
    return best;
  };
  const Time small = miss_time(100), large = miss_time(10'000);
  EXPECT_LT(large, 10 * small + std::chrono::microseconds(100));
}

// "A file shared by pool and allocator: each consumes the other's one-shot sync error."
TEST(PeerDefect16, ThePoisonBelongsToTheFile) {
  const TempPath path;
  FaultySystem system;
  ThreadScheduler scheduler;
  DirectIo disk({.caching = Caching::buffered}, system);
  auto file = must(PageFile::create(scheduler, disk, path.str(), PageSize(), FileId{std::byte{1}}));
  auto pool = must(BufferPool::create(scheduler, *file, quiet(4)));
  auto other_user = must(BufferPool::create(scheduler, *file, quiet(4)));
  const auto change = [](BufferPool& in, std::uint64_t id) {
    ExclusiveGuard guard = must(in.new_page(PageId{id}));
    guard.set_lsn(Lsn{1});
  };
  change(*pool, 10);
  change(*other_user, 20);
  must(pool->flush_all());
  must(other_user->flush_all());

  system.fail_fdatasync = -EIO;
  EXPECT_EQ(code_of(other_user->sync()), ErrorCode::io_error);
  system.fail_fdatasync = 0;  // the error was reported; the kernel says Ok from now on
  EXPECT_EQ(code_of(pool->sync()), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{2})), ErrorCode::poisoned);
  EXPECT_EQ(code_of(pool->close()), ErrorCode::poisoned);
  EXPECT_EQ(code_of(file->sync()), ErrorCode::poisoned);
  EXPECT_EQ(pool->state_of(PageId{10}), PageState::unsynced);
  EXPECT_EQ(must(pool->fetch(PageId{10})).lsn(), Lsn{1});
}

// "LSN never compared before write-back: a page can reach the disk before its log record."
TEST(PeerDefect17, NoWayToWriteComesBeforeTheLog) {
  enum Way { flush, flush_all, checkpoint, close, eviction };
  for (const Way way : {flush, flush_all, checkpoint, close, eviction}) {
    PoolWorld world(2);
    world.change(0, 1000);
    world.change(1, 1001);
    world.log.asks.close();
    std::jthread writer([&] {
      switch (way) {
        case flush:
          must(world.pool->flush(PageId{0}));
          break;
        case flush_all:
          must(world.pool->flush_all());
          break;
        case checkpoint:
          static_cast<void>(must(world.pool->checkpoint(Lsn{10})));
          break;
        case close:
          must(world.pool->close());
          break;
        case eviction:
          EXPECT_EQ(world.value(50), 50u);
          break;
      }
    });
    world.log.asks.await();
    EXPECT_EQ(world.store.write_count(), 0u);
    world.log.asks.open();
    writer.join();
    EXPECT_GT(world.store.write_count(), 0u);
    for (const std::uint64_t id : world.store.write_order()) EXPECT_GE(world.log.durable(), Lsn{id + 1});
  }
}

TEST(PeerDefect17, TheBackgroundWriterAsksTheLogToo) {
  PoolWorld world({.frames = 8, .background_reader = false, .write_batch_pages = 2});
  world.log.fail = true;
  for (std::uint64_t id = 0; id < 7; ++id) world.change(id, 1000 + id);
  for (std::uint64_t id = 20; id < 60; ++id) EXPECT_EQ(world.value(id), id) << "one clean frame is left";
  eventually([&] { return world.log.asked > 0; });
  EXPECT_EQ(world.store.write_count(), 0u);
}

}  // namespace
}  // namespace pagedb
