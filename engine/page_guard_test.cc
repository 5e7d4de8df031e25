// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Tests of the guards: who may hold a page at the same time, moving, releasing, upgrading, downgrading. What aborts is
// in page_guard_misuse_test.cc.
#include "engine/page_guard.h"

#include <array>
#include <bit>
#include <utility>

#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

class PageGuard : public PoolTest {
 protected:
  /// Whether another task gets page `id` exclusively without waiting.
  bool free_of_guards(std::uint64_t id) {
    SharedGuard shared = must(pool->fetch(PageId{id}));
    return static_cast<bool>(shared.try_upgrade());
  }
};

// ---- shared

TEST_F(PageGuard, SharedShowsThePage) {
  const SharedGuard guard = must(pool->fetch(PageId{7}));
  ASSERT_TRUE(guard);
  EXPECT_EQ(guard.page().size(), 4096u);
  EXPECT_EQ(word_of(guard.page()), 7u);
  EXPECT_EQ(guard.id(), PageId{7});
  EXPECT_EQ(guard.lsn(), Lsn{0});
  EXPECT_EQ(read_header(guard.page()).page_id, 7u);
}

TEST_F(PageGuard, ManyShareAPage) {
  std::vector<SharedGuard> guards;
  for (int i = 0; i < 1000; ++i) guards.push_back(must(pool->fetch(PageId{7})));
  EXPECT_FALSE(guards.front().try_upgrade());
  guards.resize(1);
  EXPECT_TRUE(guards.front().try_upgrade());
}

TEST_F(PageGuard, MovingASharedGuardLeavesTheSourceEmpty) {
  SharedGuard first = must(pool->fetch(PageId{7}));
  SharedGuard second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that it is empty is what is tested
  ASSERT_TRUE(second);
  EXPECT_EQ(word_of(second.page()), 7u);
  SharedGuard& same = second;
  second = std::move(same);
  ASSERT_TRUE(second) << "moved to itself";
  second.release();
  EXPECT_TRUE(free_of_guards(7));
}

TEST_F(PageGuard, AssigningToASharedGuardReleasesWhatItHeld) {
  SharedGuard guard = must(pool->fetch(PageId{7}));
  guard = must(pool->fetch(PageId{8}));
  EXPECT_EQ(word_of(guard.page()), 8u);
  EXPECT_TRUE(free_of_guards(7));
  EXPECT_FALSE(free_of_guards(8));
  guard = SharedGuard();
  EXPECT_TRUE(free_of_guards(8));
}

TEST_F(PageGuard, ReleasingTwiceIsReleasingOnce) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  const SharedGuard other = must(pool->fetch(PageId{7}));
  shared.release();
  EXPECT_FALSE(shared);
  shared.release();
  EXPECT_FALSE(free_of_guards(7)) << "the other one's latch was given back";
  ExclusiveGuard exclusive = must(pool->fetch_exclusive(PageId{8}));
  exclusive.release();
  EXPECT_FALSE(exclusive);
  exclusive.release();
  EXPECT_TRUE(free_of_guards(8));
}

TEST_F(PageGuard, ASharedGuardMayBeHandedToAnotherTask) {
  std::thread([guard = must(pool->fetch(PageId{7}))] { EXPECT_EQ(word_of(guard.page()), 7u); }).join();
  EXPECT_TRUE(free_of_guards(7));
}

TEST_F(PageGuard, AHeldPageStaysInItsFrame) {
  const SharedGuard shared = must(pool->fetch(PageId{7}));
  const std::byte* where = shared.page().data();
  for (std::uint64_t id = 20; id < 90; ++id) EXPECT_EQ(value(id), id);
  EXPECT_EQ(word_of(shared.page()), 7u);
  EXPECT_EQ(must(pool->fetch(PageId{7})).page().data(), where);
  EXPECT_EQ(store.reads_of(7), 1);
}

// ---- exclusive

TEST_F(PageGuard, ExclusiveKeepsEverybodyElseOut) {
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  std::atomic<int> got{0};
  std::jthread reader([&] {
    EXPECT_EQ(value(7), 70u) << "before the change was done";
    ++got;
  });
  std::jthread writer([&] {
    ExclusiveGuard mine = must(pool->fetch_exclusive(PageId{7}));
    EXPECT_EQ(word_of(mine.page()), 70u);
    ++got;
  });
  scheduler.await_parked(2);
  EXPECT_EQ(got, 0);
  put_word(guard, 70);
  guard.release();
  eventually([&] { return got == 2; });
}

TEST_F(PageGuard, ExclusiveWaitsForThoseWhoShare) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  std::atomic<bool> got{false};
  std::jthread writer([&] {
    change(7, 70);
    got = true;
  });
  scheduler.await_parked(1);
  EXPECT_FALSE(got);
  EXPECT_EQ(word_of(shared.page()), 7u);
  shared.release();
  eventually([&] { return got.load(); });
}

TEST_F(PageGuard, NewcomersQueueUpBehindAWaitingWriter) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  std::jthread writer([&] { change(7, 70); });
  scheduler.await_parked(1);
  std::atomic<std::uint64_t> seen{0};
  std::jthread reader([&] { seen = value(7); });
  scheduler.await_parked(2);
  EXPECT_EQ(seen, 0u);
  shared.release();
  eventually([&] { return seen != 0; });
}

TEST_F(PageGuard, LookingAtAPageExclusivelyDoesNotMakeItDirty) {
  {
    const ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
    EXPECT_EQ(word_of(guard.page()), 7u);
    EXPECT_EQ(guard.id(), PageId{7});
    EXPECT_EQ(state(7), PageState::clean);
  }
  EXPECT_EQ(state(7), PageState::clean);
  EXPECT_EQ(pool->stats().dirty, 0u);
}

TEST_F(PageGuard, WriteMakesItDirtyOnce) {
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  put_word(guard, 70);
  EXPECT_EQ(state(7), PageState::dirty);
  put_word(guard, 71);
  EXPECT_EQ(pool->stats().dirty, 1u);
  EXPECT_EQ(word_of(guard.page()), 71u);
  guard.release();
  EXPECT_EQ(state(7), PageState::dirty);
  EXPECT_EQ(value(7), 71u);
}

TEST_F(PageGuard, SetLsnSetsIt) {
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  guard.set_lsn(Lsn{5});
  EXPECT_EQ(guard.lsn(), Lsn{5});
  guard.set_lsn(Lsn{5});
  guard.set_lsn(Lsn{6});
  guard.release();
  EXPECT_EQ(must(pool->fetch(PageId{7})).lsn(), Lsn{6});
  EXPECT_EQ(state(7), PageState::dirty);
}

TEST_F(PageGuard, MovingAnExclusiveGuardTakesTheChangeAlong) {
  const OptimisticGuard before = must(pool->fetch_optimistic(PageId{7}));
  ExclusiveGuard first = must(pool->fetch_exclusive(PageId{7}));
  put_word(first, 70);
  ExclusiveGuard second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move)
  put_word(second, 71);
  ExclusiveGuard third = must(pool->fetch_exclusive(PageId{8}));
  third = std::move(second);
  EXPECT_TRUE(free_of_guards(8)) << "what it held before";
  EXPECT_EQ(word_of(third.page()), 71u);
  third.release();
  EXPECT_FALSE(before.valid());
  // The version came to rest: optimistic reads work again.
  const OptimisticGuard after = must(pool->fetch_optimistic(PageId{7}));
  EXPECT_TRUE(after.valid());
}

// ---- upgrade, downgrade

TEST_F(PageGuard, UpgradeOfTheOnlyGuardSucceeds) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  ExclusiveGuard exclusive = shared.try_upgrade();
  ASSERT_TRUE(exclusive);
  EXPECT_FALSE(shared);
  EXPECT_EQ(exclusive.id(), PageId{7});
  put_word(exclusive, 70);
  exclusive.release();
  EXPECT_EQ(value(7), 70u);
}

TEST_F(PageGuard, UpgradeFailsWhileAnotherSharesAndLeavesTheGuardAsItWas) {
  SharedGuard one = must(pool->fetch(PageId{7}));
  SharedGuard two = must(pool->fetch(PageId{7}));
  EXPECT_FALSE(one.try_upgrade());
  EXPECT_FALSE(two.try_upgrade()) << "both want it: neither waits";
  ASSERT_TRUE(one);
  EXPECT_EQ(word_of(one.page()), 7u);
  two.release();
  EXPECT_TRUE(one.try_upgrade());
}

TEST_F(PageGuard, UpgradeFailsWhileAWriterWaits) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  std::jthread writer([&] { change(7, 70); });
  scheduler.await_parked(1);
  EXPECT_FALSE(shared.try_upgrade());
  EXPECT_EQ(word_of(shared.page()), 7u);
  shared.release();
}

TEST_F(PageGuard, UpgradeOfAPageThatMustNotBeWrittenFails) {
  SharedGuard shared = must(pool->fetch(PageId{7}));
  store.read_only = true;
  EXPECT_FALSE(shared.try_upgrade());
  EXPECT_TRUE(shared);
  const OptimisticGuard optimistic = must(pool->fetch_optimistic(PageId{8}));
  EXPECT_FALSE(optimistic.try_exclusive());
  EXPECT_EQ(code_of(pool->fetch_exclusive(PageId{8})), ErrorCode::read_only);
  EXPECT_EQ(code_of(pool->new_page(PageId{8})), ErrorCode::read_only);
}

TEST_F(PageGuard, DowngradeLetsReadersInAndNoWriterBetween) {
  ExclusiveGuard exclusive = must(pool->fetch_exclusive(PageId{7}));
  std::jthread writer([&] { change(7, 71); });
  scheduler.await_parked(1);
  put_word(exclusive, 70);
  SharedGuard shared = exclusive.downgrade();
  EXPECT_FALSE(exclusive);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(word_of(shared.page()), 70u);
    std::this_thread::yield();
  }
  scheduler.await_parked(1);
  EXPECT_EQ(word_of(shared.page()), 70u);
  shared.release();
  writer.join();
  EXPECT_EQ(value(7), 71u);
}

TEST_F(PageGuard, DowngradedPageCanBeSharedAndReadOptimistically) {
  ExclusiveGuard exclusive = must(pool->fetch_exclusive(PageId{7}));
  put_word(exclusive, 70);
  const SharedGuard shared = exclusive.downgrade();
  std::jthread([&] { EXPECT_EQ(value(7), 70u); }).join();
  EXPECT_TRUE(must(pool->fetch_optimistic(PageId{7})).valid());
  EXPECT_EQ(state(7), PageState::dirty);
}

TEST_F(PageGuard, AfterADowngradeTheNextChangeIsSeenAsOne) {
  {
    ExclusiveGuard exclusive = must(pool->fetch_exclusive(PageId{7}));
    put_word(exclusive, 70);
    static_cast<void>(exclusive.downgrade());
  }
  ExclusiveGuard next = must(pool->fetch_exclusive(PageId{7}));
  put_word(next, 71);
  std::atomic<bool> got{false};
  std::jthread reader([&] {
    static_cast<void>(must(pool->fetch_optimistic(PageId{7})));
    got = true;
  });
  scheduler.await_parked(1);
  EXPECT_FALSE(got);
  next.release();
}

// ---- optimistic

TEST_F(PageGuard, OptimisticCopiesAnyPart) {
  const OptimisticGuard guard = must(pool->fetch_optimistic(PageId{7}));
  ASSERT_TRUE(guard);
  std::vector<std::byte> whole(4096);
  ASSERT_TRUE(guard.copy(0, whole));
  const SharedGuard shared = must(pool->fetch(PageId{7}));
  EXPECT_TRUE(std::ranges::equal(whole, shared.page()));
  for (const std::size_t size : {0u, 1u, 7u, 8u, 9u, 63u, 64u, 65u}) {
    std::vector<std::byte> part(size);
    ASSERT_TRUE(guard.copy(kPageHeaderBytes - 5, part));
    EXPECT_TRUE(std::ranges::equal(part, shared.page().subspan(kPageHeaderBytes - 5, size)));
  }
  EXPECT_TRUE(guard.copy(4096, {}));
  EXPECT_TRUE(guard.valid());
}

TEST_F(PageGuard, OptimisticFailsOnceThePageIsChanged) {
  const OptimisticGuard guard = must(pool->fetch_optimistic(PageId{7}));
  std::array<std::byte, 8> word{};
  {
    ExclusiveGuard writer = must(pool->fetch_exclusive(PageId{7}));
    EXPECT_TRUE(guard.valid()) << "held exclusively, and not changed";
    put_word(writer, 70);
    EXPECT_FALSE(guard.valid());
    EXPECT_FALSE(guard.copy(0, word));
  }
  EXPECT_FALSE(guard.valid());
  EXPECT_FALSE(guard.copy(0, word));
  EXPECT_FALSE(guard.try_shared());
  EXPECT_FALSE(guard.try_exclusive());
  EXPECT_TRUE(free_of_guards(7)) << "a failed try holds nothing";
}

TEST_F(PageGuard, OptimisticSurvivesALookAndAWriteBack) {
  change(7, 70);
  const OptimisticGuard guard = must(pool->fetch_optimistic(PageId{7}));
  must(pool->flush(PageId{7}));
  EXPECT_EQ(value(7), 70u);
  EXPECT_TRUE(guard.valid());
}

TEST_F(PageGuard, OptimisticFailsOnceThePageHasLeft) {
  const OptimisticGuard guard = must(pool->fetch_optimistic(PageId{7}));
  const OptimisticGuard dropped = must(pool->fetch_optimistic(PageId{8}));
  pool->drop(PageId{8});
  EXPECT_FALSE(dropped.valid());
  for (std::uint64_t id = 20; id < 90; ++id) EXPECT_EQ(value(id), id);
  ASSERT_EQ(state(7), PageState::absent);
  EXPECT_FALSE(guard.valid());
  EXPECT_FALSE(guard.try_shared());
  EXPECT_EQ(value(7), 7u);
  EXPECT_FALSE(guard.valid()) << "the page came back: still not the one that was seen";
}

TEST_F(PageGuard, OptimisticHoldsNothing) {
  const OptimisticGuard guard = must(pool->fetch_optimistic(PageId{7}));
  EXPECT_TRUE(free_of_guards(7));
  pool->drop(PageId{7});
  EXPECT_EQ(state(7), PageState::absent);
  EXPECT_FALSE(guard.valid());
}

TEST_F(PageGuard, OptimisticBecomesSharedOrExclusive) {
  const OptimisticGuard guard = must(pool->fetch_optimistic(PageId{7}));
  SharedGuard shared = guard.try_shared();
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared.id(), PageId{7});
  EXPECT_FALSE(guard.try_exclusive()) << "somebody shares it, and it never waits";
  shared.release();
  ExclusiveGuard exclusive = guard.try_exclusive();
  ASSERT_TRUE(exclusive);
  EXPECT_FALSE(guard.try_shared());
  EXPECT_FALSE(guard.try_exclusive());
  put_word(exclusive, 70);
  exclusive.release();
  EXPECT_EQ(value(7), 70u);
}

TEST_F(PageGuard, OptimisticWaitsForWhoeverChangesThePage) {
  ExclusiveGuard writer = must(pool->fetch_exclusive(PageId{7}));
  put_word(writer, 70);
  std::atomic<std::uint64_t> seen{0};
  std::jthread reader([&] {
    std::array<std::byte, 8> bytes{};
    EXPECT_TRUE(must(pool->fetch_optimistic(PageId{7})).copy(kPageHeaderBytes, bytes));
    seen = std::bit_cast<std::uint64_t>(bytes);
  });
  scheduler.await_parked(1);
  EXPECT_EQ(seen, 0u);
  writer.release();
  eventually([&] { return seen == 70; });
}

// ---- hints

TEST_F(PageGuard, EveryGuardTellsWhereThePageIs) {
  FrameHint hint = must(pool->fetch(PageId{7})).hint();
  EXPECT_EQ(hint.frame, must(pool->fetch_exclusive(PageId{7})).hint().frame);
  EXPECT_EQ(hint.frame, must(pool->fetch_optimistic(PageId{7})).hint().frame);
  EXPECT_NE(hint.frame, FrameHint().frame);
  EXPECT_EQ(must(pool->fetch(PageId{7}, hint)).id(), PageId{7});
}

}  // namespace
}  // namespace pagedb
