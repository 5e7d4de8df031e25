// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Tests of misses by several tasks at once: one read for one page, whoever wants it, and what they all learn when it
// fails.
#include "engine/buffer_pool.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

class PoolMisses : public PoolTest {};

TEST_F(PoolMisses, ManyWhoWantOnePageWaitForOneRead) {
  store.reads.close();
  std::vector<std::jthread> threads;
  std::atomic<int> got{0};
  const auto start = [&](auto want) {
    threads.emplace_back([&, want] {
      want();
      ++got;
    });
  };
  start([&] { EXPECT_EQ(value(7), 7u); });
  store.reads.await();
  start([&] { EXPECT_EQ(value(7), 7u); });
  start([&] { EXPECT_EQ(word_of(must(pool->fetch_exclusive(PageId{7})).page()), 7u); });
  start([&] { static_cast<void>(must(pool->fetch_optimistic(PageId{7}))); });
  start([&] {
    std::array<std::byte, 8> bytes{};
    must(pool->read(PageId{7}, 0, bytes));
  });
  scheduler.await_parked(4);
  EXPECT_EQ(got, 0);
  store.reads.open();
  threads.clear();
  EXPECT_EQ(got, 5);
  EXPECT_EQ(store.reads_of(7), 1);
  EXPECT_EQ(pool->stats().misses, 1u);
}

TEST_F(PoolMisses, AFailedReadReachesAllWhoWait) {
  store.on_read = [first = true](PageId) mutable {
    return std::exchange(first, false) ? std::optional(ErrorCode::bad_checksum) : std::nullopt;
  };
  store.reads.close();
  std::vector<std::jthread> threads;
  const auto start = [&](auto want) {
    threads.emplace_back([&, want] { EXPECT_EQ(code_of(want()), ErrorCode::bad_checksum); });
  };
  start([&] { return pool->fetch(PageId{7}); });
  store.reads.await();
  start([&] { return pool->fetch(PageId{7}); });
  start([&] { return pool->fetch_exclusive(PageId{7}); });
  start([&] { return pool->fetch_optimistic(PageId{7}); });
  start([&] { return pool->read(PageId{7}, 0, {}); });
  scheduler.await_parked(4);
  store.reads.open();
  threads.clear();
  EXPECT_EQ(store.reads_of(7), 1);
  EXPECT_EQ(state(7), PageState::absent);
  EXPECT_EQ(value(7), 7u) << "the next one reads again";
}

TEST_F(PoolMisses, ANewPageDoesNotCareThatAReadFailed) {
  store.on_read = [](PageId) { return ErrorCode::bad_checksum; };
  store.reads.close();
  std::jthread reader([&] { EXPECT_EQ(code_of(pool->fetch(PageId{7})), ErrorCode::bad_checksum); });
  store.reads.await();
  std::jthread maker([&] { EXPECT_EQ(must(pool->new_page(PageId{7})).id(), PageId{7}); });
  scheduler.await_parked(1);
  store.reads.open();
  maker.join();
  reader.join();
  EXPECT_EQ(value(7), 0u);
}

TEST_F(PoolMisses, ManyPagesAtOnceInAPoolThatJustHoldsThem) {
  for (int round = 0; round < 50; ++round) {
    std::vector<std::jthread> threads;
    for (int task = 0; task < 4; ++task) {
      threads.emplace_back([&, task] {
        const auto first = static_cast<std::uint64_t>((round + task) % 24 * 4);
        const auto mine = hold(first, 4);
        for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(word_of(mine[i].page()), first + i);
      });
    }
  }
  EXPECT_EQ(pool->stats().resident, 16u);
}

}  // namespace
}  // namespace pagedb
