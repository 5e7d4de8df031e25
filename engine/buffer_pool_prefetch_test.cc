// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Tests of BufferPool::prefetch: what it reads, what it passes over, and that it is in nobody's way.
#include <array>

#include "engine/buffer_pool.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

class Prefetch : public PoolTest {
 protected:
  void remake(const BufferPoolOptions& options) {
    pool->abandon();
    pool.reset();
    make(options);
  }
};

TEST_F(Prefetch, ReadsInTheBackground) {
  remake({.frames = 16, .background_writer = false});
  const std::array<PageId, 4> ids{PageId{1}, PageId{2}, PageId{3}, PageId{2}};
  EXPECT_EQ(pool->prefetch(ids), 4u);
  eventually([&] { return pool->stats().prefetched == 3; });
  for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(value(id), id);
  EXPECT_EQ(store.read_count(), 3u);
  EXPECT_EQ(pool->stats().misses, 0u);
  EXPECT_EQ(pool->stats().reads, 3u);
}

TEST_F(Prefetch, NeverWaitsAndFetchWaitsForItsRead) {
  remake({.frames = 16, .background_writer = false});
  store.reads.close();
  const std::array<PageId, 1> ids{PageId{1}};
  EXPECT_EQ(pool->prefetch(ids), 1u);
  store.reads.await();
  EXPECT_EQ(state(1), PageState::loading);
  EXPECT_EQ(pool->prefetch(ids), 1u);
  std::jthread reader([&] { EXPECT_EQ(value(1), 1u); });
  scheduler.await_parked(1);
  store.reads.open();
  reader.join();
  EXPECT_EQ(store.reads_of(1), 1);
}

TEST_F(Prefetch, PassesOverWhatCannotBeRead) {
  remake({.frames = 16, .background_writer = false});
  store.on_read = [](PageId id) { return id.value == 2 ? std::optional(ErrorCode::io_error) : std::nullopt; };
  const std::array<PageId, 4> ids{PageId{1}, PageId{2}, PageId{kPages}, PageId{3}};
  EXPECT_EQ(pool->prefetch(ids), 4u);
  eventually([&] { return state(1) == PageState::clean && state(3) == PageState::clean; });
  eventually([&] { return pool->stats().read_failures == 2; });
  EXPECT_EQ(code_of(pool->fetch(PageId{2})), ErrorCode::io_error) << "a fetch says why";
  EXPECT_EQ(pool->stats().resident, 2u);
}

TEST_F(Prefetch, FindsNoRoomAndSaysNothing) {
  remake({.frames = 4, .background_writer = false});
  auto all = hold(0, 4);
  const std::array<PageId, 2> ids{PageId{50}, PageId{51}};
  static_cast<void>(pool->prefetch(ids));
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(word_of(all[2].page()), 2u);
    std::this_thread::yield();
  }
  all.clear();
  EXPECT_EQ(value(52), 52u);
}

TEST_F(Prefetch, OfMoreThanThereIsRoomForLeavesThePoolUsable) {
  remake({.frames = 4, .background_writer = false});
  std::vector<PageId> ids;
  for (std::uint64_t id = 0; id < kPages; ++id) ids.push_back(PageId{id});
  for (int round = 0; round < 20; ++round) {
    EXPECT_LE(pool->prefetch(ids), ids.size());
    for (std::uint64_t id = 0; id < kPages; id += 7) ASSERT_EQ(value(id), id);
  }
}

TEST_F(Prefetch, WithoutItsTaskDoesNothing) {
  const std::array<PageId, 1> ids{PageId{1}};
  EXPECT_EQ(pool->prefetch(ids), 0u);
  EXPECT_EQ(pool->prefetch({}), 0u);
  EXPECT_EQ(store.read_count(), 0u);
}

}  // namespace
}  // namespace pagedb
