// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What guards and pools answer to misuse that can be seen: they abort, with a message.
//
// Each dying statement makes a world of its own, as a task is told by its thread, and a forked child has another one.
#include "engine/buffer_pool.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

TEST(PoolDeathTest, AnEmptyGuardHasNoPage) {
  EXPECT_DEATH(static_cast<void>(SharedGuard().page()), "empty guard");
  EXPECT_DEATH(static_cast<void>(SharedGuard().id()), "empty guard");
  EXPECT_DEATH(static_cast<void>(SharedGuard().lsn()), "empty guard");
  EXPECT_DEATH(static_cast<void>(SharedGuard().hint()), "empty guard");
  EXPECT_DEATH(static_cast<void>(SharedGuard().try_upgrade()), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().page()), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().write()), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().id()), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().lsn()), "empty guard");
  EXPECT_DEATH(ExclusiveGuard().set_lsn(Lsn{1}), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().full_image_due()), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().hint()), "empty guard");
  EXPECT_DEATH(static_cast<void>(ExclusiveGuard().downgrade()), "empty guard");
  EXPECT_DEATH(static_cast<void>(OptimisticGuard().valid()), "empty guard");
  EXPECT_DEATH(static_cast<void>(OptimisticGuard().copy(0, {})), "empty guard");
  EXPECT_DEATH(static_cast<void>(OptimisticGuard().try_shared()), "empty guard");
  EXPECT_DEATH(static_cast<void>(OptimisticGuard().try_exclusive()), "empty guard");
}

TEST(PoolDeathTest, AMovedFromGuardHasNoPage) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        SharedGuard first = must(world.pool->fetch(PageId{7}));
        const SharedGuard second = std::move(first);
        static_cast<void>(first.page());  // NOLINT(bugprone-use-after-move)
      },
      "empty guard");
}

TEST(PoolDeathTest, ALsnNeverGoesBack) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        ExclusiveGuard guard = must(world.pool->fetch_exclusive(PageId{7}));
        guard.set_lsn(Lsn{5});
        guard.set_lsn(Lsn{4});
      },
      "never goes back");
}

TEST(PoolDeathTest, NothingIsCopiedFromBeyondThePage) {
  std::array<std::byte, 8> to{};
  EXPECT_DEATH(
      {
        PoolWorld world;
        static_cast<void>(must(world.pool->fetch_optimistic(PageId{7})).copy(4089, to));
      },
      "beyond the page");
  EXPECT_DEATH(
      {
        PoolWorld world;
        static_cast<void>(must(world.pool->fetch_optimistic(PageId{7})).copy(~std::size_t{0} - 3, to));
      },
      "beyond the page");
  EXPECT_DEATH(
      {
        PoolWorld world;
        static_cast<void>(world.pool->read(PageId{7}, 4089, to));
      },
      "beyond the page");
}

/// Does `what` while it holds page 7 exclusively, changed.
void while_holding(const std::function<void(BufferPool&)>& what) {
  PoolWorld world;
  ExclusiveGuard guard = must(world.pool->fetch_exclusive(PageId{7}));
  put_word(guard, 70);
  what(*world.pool);
}

TEST(PoolDeathTest, ATaskDoesNotWaitForItsOwnPage) {
  constexpr const char* kMessage = "holds exclusively itself";
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.fetch(PageId{7})); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.fetch_exclusive(PageId{7})); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.new_page(PageId{7})); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.fetch_optimistic(PageId{7})); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.flush(PageId{7})); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.flush_all()); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.close()); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { static_cast<void>(pool.checkpoint(Lsn{1})); }), kMessage);
  EXPECT_DEATH(while_holding([](BufferPool& pool) { pool.drop(PageId{7}); }), kMessage);
}

TEST(PoolDeathTest, ACheckpointAbortsAlsoWhenTheHeldPageIsClean) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        const ExclusiveGuard guard = must(world.pool->fetch_exclusive(PageId{7}));
        static_cast<void>(world.pool->checkpoint(Lsn{1}));
      },
      "holds exclusively itself");
}

TEST(PoolDeathTest, ACheckpointDoesNotBeginBeforeOneThatHasEnded) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        static_cast<void>(world.pool->checkpoint(Lsn{5}));
        static_cast<void>(world.pool->checkpoint(Lsn{4}));
      },
      "begins before one that has ended");
}

TEST(PoolDeathTest, AGuardDoesNotOutliveItsPool) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        const SharedGuard guard = must(world.pool->fetch(PageId{7}));
        world.pool.reset();
      },
      "outlives");
  EXPECT_DEATH(
      {
        PoolWorld world;
        const ExclusiveGuard guard = must(world.pool->fetch_exclusive(PageId{7}));
        world.pool.reset();
      },
      "outlives");
}

// PEER_DEFECTS row 12.
TEST(PoolDeathTest, DirtyPagesAreNotLostWithoutAWord) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        world.change(7, 70);
        world.pool.reset();
      },
      "close\\(\\) or abandon\\(\\)");
}

TEST(PoolDeathTest, AFailedCloseDoesNotAllowDestruction) {
  EXPECT_DEATH(
      {
        PoolWorld world;
        world.change(7, 70);
        world.store.on_write = [](PageId) { return ErrorCode::io_error; };
        static_cast<void>(world.pool->close());
        world.pool.reset();
      },
      "close\\(\\) or abandon\\(\\)");
}

TEST(PoolDeathTest, OptionsOutOfRange) {
  EXPECT_DEATH(PoolWorld(quiet(0)), "2 to 2\\^30");
  EXPECT_DEATH(PoolWorld(quiet(1)), "2 to 2\\^30");
  EXPECT_DEATH(PoolWorld(quiet((1u << 30) + 1)), "2 to 2\\^30");
  EXPECT_DEATH(PoolWorld({.frames = 4, .write_batch_pages = 0}), "1 to 4096");
  EXPECT_DEATH(PoolWorld({.frames = 4, .write_batch_pages = 4097}), "1 to 4096");
}

}  // namespace
}  // namespace pagedb
