// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Tests of BufferPool: fetching, new pages, exhaustion, dropping, ending, and what it tells about itself. Writing,
// checkpoints, prefetch and misses by several tasks have files of their own.
#include "engine/buffer_pool.h"

#include <algorithm>
#include <array>
#include <bit>

#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

class Pool : public PoolTest {
 protected:
  void remake(const BufferPoolOptions& options) {
    pool->abandon();
    pool.reset();
    make(options);
  }
  std::uint64_t word_by_read(std::uint64_t id) {
    std::array<std::byte, 8> bytes{};
    must(pool->read(PageId{id}, kPageHeaderBytes, bytes));
    return std::bit_cast<std::uint64_t>(bytes);
  }
};

// ---- fetching

TEST_F(Pool, AMissReadsAndAHitDoesNot) {
  EXPECT_EQ(state(7), PageState::absent);
  EXPECT_EQ(value(7), 7u);
  EXPECT_EQ(state(7), PageState::clean);
  EXPECT_EQ(value(7), 7u);
  EXPECT_EQ(word_by_read(7), 7u);
  EXPECT_EQ(store.reads_of(7), 1);
  const BufferPoolStats stats = pool->stats();
  EXPECT_EQ(stats.misses, 1u);
  EXPECT_EQ(stats.reads, 1u);
  EXPECT_EQ(stats.resident, 1u);
}

TEST_F(Pool, EveryWayToAskBringsThePageIn) {
  EXPECT_EQ(word_by_read(1), 1u);
  EXPECT_EQ(word_of(must(pool->fetch_exclusive(PageId{2})).page()), 2u);
  EXPECT_TRUE(must(pool->fetch_optimistic(PageId{3})).valid());
  FrameHint hint;
  EXPECT_EQ(word_of(must(pool->fetch(PageId{4}, hint)).page()), 4u);
  EXPECT_EQ(pool->stats().misses, 4u);
  EXPECT_EQ(pool->stats().resident, 4u);
}

TEST_F(Pool, MorePagesThanFrames) {
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t id = 0; id < kPages; ++id) ASSERT_EQ(value(id), id);
  }
  const BufferPoolStats stats = pool->stats();
  EXPECT_EQ(stats.resident, 16u);
  EXPECT_EQ(stats.evictions, stats.misses - 16);
  EXPECT_EQ(stats.reads, stats.misses);
  EXPECT_EQ(stats.writes, 0u) << "clean pages are not written";
}

TEST_F(Pool, PagesOfAnySize) {
  for (const std::size_t bytes : {4096u, 16384u, 1048576u}) {
    MemoryStore large(bytes);
    large.fill(8);
    auto small_pool = must(BufferPool::create(scheduler, large, quiet(4)));
    EXPECT_EQ(small_pool->page_size().bytes(), bytes);
    for (std::uint64_t id = 0; id < 8; ++id) {
      ExclusiveGuard guard = must(small_pool->fetch_exclusive(PageId{id}));
      EXPECT_EQ(guard.page().size(), bytes);
      guard.write().back() = std::byte{0xAB};
      put_word(guard, id + 100);
    }
    for (std::uint64_t id = 0; id < 8; ++id) {
      const SharedGuard guard = must(small_pool->fetch(PageId{id}));
      EXPECT_EQ(word_of(guard.page()), id + 100);
      EXPECT_EQ(guard.page().back(), std::byte{0xAB});
    }
    must(small_pool->close());
  }
}

TEST_F(Pool, AHintIsNotedAndUsed) {
  FrameHint hint;
  EXPECT_EQ(must(pool->fetch(PageId{7}, hint)).id(), PageId{7});
  const std::uint32_t where = hint.frame;
  EXPECT_NE(where, FrameHint().frame);
  EXPECT_EQ(must(pool->fetch(PageId{7}, hint)).hint().frame, where);
  EXPECT_EQ(must(pool->fetch_optimistic(PageId{7}, hint)).hint().frame, where);
}

TEST_F(Pool, AWrongHintIsOnlySlow) {
  FrameHint of_another = must(pool->fetch(PageId{8})).hint();
  EXPECT_EQ(must(pool->fetch(PageId{7}, of_another)).id(), PageId{7});
  EXPECT_EQ(of_another.frame, must(pool->fetch(PageId{7})).hint().frame) << "noted anew";
  FrameHint stale = of_another;
  pool->drop(PageId{7});
  EXPECT_EQ(must(pool->fetch(PageId{7}, stale)).id(), PageId{7});
  for (const std::uint32_t nonsense : {16u, 17u, 0xFFFFFFFEu}) {
    FrameHint hint{nonsense};
    EXPECT_EQ(must(pool->fetch(PageId{9}, hint)).id(), PageId{9});
    hint.frame = nonsense;
    std::array<std::byte, 8> bytes{};
    must(pool->read(PageId{9}, kPageHeaderBytes, bytes, hint));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(bytes), 9u);
    EXPECT_EQ(hint.frame, must(pool->fetch(PageId{9})).hint().frame);
  }
}

TEST_F(Pool, ReadCopiesAnyPart) {
  change(7, 70);
  const SharedGuard guard = must(pool->fetch(PageId{7}));
  std::vector<std::byte> whole(4096);
  must(pool->read(PageId{7}, 0, whole));
  EXPECT_TRUE(std::ranges::equal(whole, guard.page()));
  must(pool->read(PageId{7}, 4096, {}));
}

TEST_F(Pool, ReadWaitsForAChangeAndSeesAllOfIt) {
  ExclusiveGuard writer = must(pool->fetch_exclusive(PageId{7}));
  put_word(writer, 70);
  std::atomic<std::uint64_t> seen{0};
  std::jthread reader([&] { seen = word_by_read(7); });
  scheduler.await_parked(1);
  put_word(writer, 71);
  writer.release();
  eventually([&] { return seen != 0; });
  EXPECT_EQ(seen, 71u);
}

TEST_F(Pool, ReadIsNeverTorn) {
  std::jthread writer([&](const std::stop_token& stop) {
    for (int fill = 0; !stop.stop_requested(); ++fill) {
      ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
      std::ranges::fill(payload(guard.write()), static_cast<std::byte>(fill));
    }
  });
  std::vector<std::byte> copy(4096 - kPageHeaderBytes);
  eventually([&] { return must(pool->fetch(PageId{7})).page()[4095] != std::byte{0}; });
  const Time end = scheduler.now() + std::chrono::milliseconds(300);
  while (scheduler.now() < end) {
    must(pool->read(PageId{7}, kPageHeaderBytes, copy));
    ASSERT_TRUE(std::ranges::all_of(copy, [&](std::byte b) { return b == copy[0]; }));
  }
}

// Whichever way it goes through the pages.
TEST_F(Pool, AScanPushesNoHotPageOut) {
  enum Way { by_fetch, by_fetch_exclusive, by_fetch_optimistic, by_read, by_prefetch };
  for (const Way way : {by_fetch, by_fetch_exclusive, by_fetch_optimistic, by_read, by_prefetch}) {
    remake({.frames = 16, .background_writer = false});
    for (int use = 0; use < 2; ++use) EXPECT_EQ(value(0), 0u);
    for (std::uint64_t id = 1; id < kPages; ++id) {
      switch (way) {
        case by_fetch:
          EXPECT_EQ(value(id), id);
          break;
        case by_fetch_exclusive:
          static_cast<void>(must(pool->fetch_exclusive(PageId{id})));
          break;
        case by_fetch_optimistic:
          static_cast<void>(must(pool->fetch_optimistic(PageId{id})));
          break;
        case by_read:
          EXPECT_EQ(word_by_read(id), id);
          break;
        case by_prefetch: {
          const std::array<PageId, 1> ids{PageId{id}};
          EXPECT_EQ(pool->prefetch(ids), 1u);
          eventually([&] { return state(id) == PageState::clean; });
          EXPECT_EQ(value(id), id);
        }
      }
    }
    EXPECT_EQ(state(0), PageState::clean) << "way " << way;
  }
}

// ---- reads that fail

TEST_F(Pool, AFailedReadLeavesThePoolAsItWas) {
  store.on_read = [](PageId id) { return id.value == 50 ? std::optional(ErrorCode::io_error) : std::nullopt; };
  EXPECT_EQ(value(1), 1u);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const auto got = pool->fetch(PageId{50});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::io_error);
    EXPECT_EQ(got.error().page, PageId{50});
    EXPECT_EQ(state(50), PageState::absent);
  }
  EXPECT_EQ(code_of(pool->fetch_exclusive(PageId{50})), ErrorCode::io_error);
  EXPECT_EQ(code_of(pool->fetch_optimistic(PageId{50})), ErrorCode::io_error);
  EXPECT_EQ(code_of(pool->read(PageId{50}, 0, {})), ErrorCode::io_error);
  EXPECT_EQ(pool->stats().resident, 1u);
  EXPECT_EQ(pool->stats().read_failures, 103u);
  EXPECT_EQ(store.reads_of(1), 1);
  // No frame was lost.
  {
    const auto all = hold(0, 16);
  }
  store.on_read = nullptr;
  EXPECT_EQ(value(50), 50u);
}

TEST_F(Pool, ReadErrorsAreTheStores) {
  EXPECT_EQ(code_of(pool->fetch(PageId{kPages})), ErrorCode::beyond_end);
  for (const ErrorCode code : {ErrorCode::bad_checksum, ErrorCode::never_written, ErrorCode::wrong_page_id}) {
    store.on_read = [code](PageId) { return code; };
    EXPECT_EQ(code_of(pool->fetch(PageId{50})), code);
  }
}

// ---- new pages

TEST_F(Pool, ANewPageIsZerosAndNothingIsRead) {
  ExclusiveGuard guard = must(pool->new_page(PageId{500}));
  EXPECT_TRUE(std::ranges::all_of(guard.page(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_EQ(guard.id(), PageId{500});
  EXPECT_EQ(state(500), PageState::dirty);
  EXPECT_EQ(store.reads_of(500), 0);
  guard.set_lsn(Lsn{3});
  put_word(guard, 5);
  guard.release();
  EXPECT_EQ(value(500), 5u);
  must(pool->flush(PageId{500}));
  EXPECT_EQ(store.stored(500), 5u);
}

TEST_F(Pool, ANewPageReplacesWhatWasThere) {
  change(7, 70);
  const OptimisticGuard before = must(pool->fetch_optimistic(PageId{7}));
  {
    const ExclusiveGuard guard = must(pool->new_page(PageId{7}));
    EXPECT_TRUE(std::ranges::all_of(guard.page(), [](std::byte b) { return b == std::byte{0}; }));
    EXPECT_EQ(guard.lsn(), Lsn{0}) << "it starts at 0, whatever it was";
  }
  EXPECT_FALSE(before.valid());
  EXPECT_EQ(value(7), 0u);
  const ExclusiveGuard only_stored = must(pool->new_page(PageId{8}));
  EXPECT_EQ(word_of(only_stored.page()), 0u);
  EXPECT_EQ(store.reads_of(8), 0);
}

TEST_F(Pool, ANewPageNobodyWroteToIsDirtyAllTheSame) {
  static_cast<void>(must(pool->new_page(PageId{500})));
  EXPECT_EQ(state(500), PageState::dirty);
  must(pool->flush_all());
  EXPECT_EQ(store.stored(500), 0u);
}

TEST_F(Pool, ANewPageWaitsForThoseWhoHoldIt) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  std::atomic<bool> got{false};
  std::jthread maker([&] {
    const ExclusiveGuard guard = must(pool->new_page(PageId{7}));
    got = true;
  });
  scheduler.await_parked(1);
  EXPECT_FALSE(got);
  EXPECT_EQ(word_of(shared.page()), 7u);
  shared.release();
}

TEST_F(Pool, PagesThatMustNotBeWrittenAreNotMade) {
  EXPECT_EQ(code_of(pool->new_page(PageId{MemoryStore::kPagesMax})), ErrorCode::page_id_overflow);
  EXPECT_EQ(code_of(pool->fetch_exclusive(PageId{MemoryStore::kPagesMax})), ErrorCode::page_id_overflow);
  EXPECT_EQ(pool->stats().resident, 0u);
}

// ---- exhaustion

TEST_F(Pool, EveryFrameHeldIsExhausted) {
  const auto all = hold(0, 16);
  const auto none = pool->fetch(PageId{50});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::pool_exhausted);
  EXPECT_EQ(none.error().actual, 16u);
  EXPECT_EQ(code_of(pool->fetch_exclusive(PageId{50})), ErrorCode::pool_exhausted);
  EXPECT_EQ(code_of(pool->new_page(PageId{500})), ErrorCode::pool_exhausted);
  EXPECT_EQ(code_of(pool->fetch_optimistic(PageId{50})), ErrorCode::pool_exhausted);
  EXPECT_EQ(code_of(pool->read(PageId{50}, 0, {})), ErrorCode::pool_exhausted);
  EXPECT_EQ(value(3), 3u) << "what is in memory can be had all the same";
}

TEST_F(Pool, OneReleasedGuardIsEnough) {
  auto all = hold(0, 16);
  EXPECT_EQ(code_of(pool->fetch(PageId{50})), ErrorCode::pool_exhausted);
  for (std::size_t released = 0; released < 16; ++released) {
    all[released].release();
    EXPECT_EQ(value(50 + released), 50 + released);
    all[released] = must(pool->fetch(PageId{50 + released}));
    EXPECT_EQ(code_of(pool->fetch(PageId{90})), ErrorCode::pool_exhausted);
  }
}

TEST_F(Pool, ExhaustionWaitsAsLongAsItIsTold) {
  BufferPoolOptions options = quiet(2);
  options.exhausted_wait = std::chrono::milliseconds(20);
  remake(options);
  const auto all = hold(0, 2);
  const Time before = scheduler.now();
  EXPECT_EQ(code_of(pool->fetch(PageId{50})), ErrorCode::pool_exhausted);
  EXPECT_GE(scheduler.now() - before, options.exhausted_wait);
}

TEST_F(Pool, ExhaustionEndsWhenAFrameIsReleased) {
  BufferPoolOptions options = quiet(2);
  options.exhausted_wait = kForever / 4;
  remake(options);
  auto all = hold(0, 2);
  std::atomic<bool> got{false};
  std::jthread waiting([&] {
    EXPECT_EQ(value(50), 50u);
    got = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(got);
  all.clear();
}

// ---- dropping

TEST_F(Pool, ADroppedPageIsNeverWritten) {
  change(7, 70);
  change(8, 80);
  pool->drop(PageId{7});
  EXPECT_EQ(state(7), PageState::absent);
  EXPECT_EQ(pool->stats().dirty, 1u);
  must(pool->flush_all());
  EXPECT_EQ(store.stored(7), 7u);
  EXPECT_EQ(store.stored(8), 80u);
  EXPECT_EQ(value(7), 7u) << "read anew";
  pool->drop(PageId{60});  // not in memory: nothing to do
  pool->drop(PageId{8});   // clean
  EXPECT_EQ(state(8), PageState::absent);
}

TEST_F(Pool, DroppingFreesTheFrame) {
  for (int round = 0; round < 100; ++round) {
    for (std::uint64_t id = 0; id < 16; ++id) change(id, id);
    for (std::uint64_t id = 0; id < 16; ++id) pool->drop(PageId{id});
    ASSERT_EQ(pool->stats().resident, 0u);
  }
  EXPECT_EQ(pool->stats().evictions, 0u);
  EXPECT_EQ(store.write_count(), 0u);
}

TEST_F(Pool, DroppingWaitsForThoseWhoHoldThePage) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  std::atomic<bool> dropped{false};
  std::jthread dropper([&] {
    pool->drop(PageId{7});
    dropped = true;
  });
  scheduler.await_parked(1);
  EXPECT_FALSE(dropped);
  shared.release();
  eventually([&] { return dropped.load(); });
  EXPECT_EQ(state(7), PageState::absent);
}

TEST_F(Pool, DroppingWaitsForARead) {
  store.reads.close();
  std::jthread reader([&] { EXPECT_EQ(value(7), 7u); });
  store.reads.await();
  EXPECT_EQ(state(7), PageState::loading);
  std::jthread dropper([&] { pool->drop(PageId{7}); });
  scheduler.await_parked(1);
  store.reads.open();
  dropper.join();
  reader.join();
  EXPECT_EQ(value(7), 7u);
}

// ---- beginning, ending

TEST_F(Pool, CloseWritesAndSyncs) {
  change(7, 70);
  must(pool->close());
  EXPECT_EQ(store.durable(7), 70u);
  EXPECT_EQ(pool->stats().dirty, 0u);
  pool.reset();
}

TEST_F(Pool, CloseFailsAndLeavesThePoolAsItIs) {
  change(7, 70);
  store.on_write = [](PageId) { return ErrorCode::no_space; };
  EXPECT_EQ(code_of(pool->close()), ErrorCode::no_space);
  EXPECT_EQ(state(7), PageState::dirty);
  EXPECT_EQ(value(7), 70u);
  store.on_write = nullptr;
  must(pool->close());
  EXPECT_EQ(store.durable(7), 70u);
}

TEST_F(Pool, AbandonGivesUpSaysHowManyAndWritesNothing) {
  change(7, 70);
  change(8, 80);
  EXPECT_EQ(pool->abandon(), 2u);
  EXPECT_EQ(pool->abandon(), 0u);
  pool.reset();
  EXPECT_EQ(store.write_count(), 0u);
  EXPECT_EQ(store.stored(7), 7u);
}

TEST_F(Pool, WithoutTasksForTheBackgroundThereIsNoPool) {
  scheduler.refuse_spawn = true;
  EXPECT_EQ(code_of(BufferPool::create(scheduler, store, {.frames = 4, .background_reader = false})),
            ErrorCode::out_of_memory);
  EXPECT_EQ(code_of(BufferPool::create(scheduler, store, {.frames = 4, .background_writer = false})),
            ErrorCode::out_of_memory);
  EXPECT_TRUE(BufferPool::create(scheduler, store, quiet(4))) << "none wanted";
}

TEST_F(Pool, AtMost64BytesAFrame) {
  BufferPoolOptions options{.frames = 100'000};
  const std::size_t staging = 2 * options.write_batch_pages * std::size_t{4096 + 256};
  const auto make_bytes = [&](std::uint32_t frames) {
    options.frames = frames;
    return must(BufferPool::create(scheduler, store, options))->memory_bytes();
  };
  const std::size_t at_100k = make_bytes(100'000), at_200k = make_bytes(200'000);
  EXPECT_LE(at_100k, 64 * 100'000 + staging);
  EXPECT_LE(at_200k, 64 * 200'000 + staging);
  EXPECT_LE(at_200k - at_100k, 64 * 100'000u);
  EXPECT_GE(at_200k - at_100k, 40 * 100'000u) << "this cannot be all";
}

TEST_F(Pool, TellsItsShape) {
  EXPECT_EQ(pool->frames(), 16u);
  EXPECT_EQ(pool->page_size().bytes(), 4096u);
  EXPECT_EQ(pool->redo_from(), Lsn{0});
}

}  // namespace
}  // namespace pagedb
