// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Tests of the checkpoint protocol: what it writes, in which order, what it stores, when a full image is due.
#include <algorithm>

#include "engine/buffer_pool.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

class Checkpoint : public PoolTest {
 protected:
  bool image_due(std::uint64_t id) { return must(pool->fetch_exclusive(PageId{id})).full_image_due(); }
  void change_at(std::uint64_t id, std::uint64_t lsn) {
    ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{id}));
    put_word(guard, lsn);
    guard.set_lsn(Lsn{lsn});
  }
};

TEST_F(Checkpoint, WritesSyncsCommitsAndReturnsWhereItBegan) {
  for (const std::uint64_t id : {9u, 3u, 7u}) change(id, id + 1000);
  EXPECT_EQ(must(pool->checkpoint(Lsn{4})), Lsn{4});
  EXPECT_EQ(store.write_order(), (std::vector<std::uint64_t>{3, 7, 9}));
  for (const std::uint64_t id : {9u, 3u, 7u}) {
    EXPECT_EQ(store.durable(id), id + 1000);
    EXPECT_EQ(state(id), PageState::clean);
  }
  EXPECT_EQ(store.redo_from(), Lsn{4});
  EXPECT_EQ(pool->redo_from(), Lsn{4});
  EXPECT_GE(log.durable(), Lsn{3});
}

TEST_F(Checkpoint, WithNothingDirtyStillCommits) {
  EXPECT_EQ(must(pool->checkpoint(Lsn{4})), Lsn{4});
  EXPECT_EQ(must(pool->checkpoint(Lsn{4})), Lsn{4}) << "the same again is no step back";
  EXPECT_EQ(store.redo_from(), Lsn{4});
  EXPECT_EQ(store.write_count(), 0u);
}

TEST_F(Checkpoint, CoversPagesThatWereWrittenBeforeItButNotSynced) {
  change(7, 70);
  must(pool->flush(PageId{7}));
  ASSERT_EQ(store.durable(7), 7u);
  must(pool->checkpoint(Lsn{4}));
  EXPECT_EQ(store.durable(7), 70u);
  EXPECT_EQ(state(7), PageState::clean);
}

TEST_F(Checkpoint, NothingIsCommittedBeforeThePagesAreWritten) {
  change(7, 70);
  store.writes.close();
  std::jthread checkpointer([&] { must(pool->checkpoint(Lsn{4})); });
  store.writes.await();
  EXPECT_EQ(store.redo_from(), Lsn{0});
  EXPECT_EQ(store.sync_count(), 0u);
  store.writes.open();
  checkpointer.join();
  EXPECT_EQ(store.redo_from(), Lsn{4});
}

TEST_F(Checkpoint, PagesMayBeUsedMeanwhile) {
  change(7, 70);
  store.syncs.close();
  std::jthread checkpointer([&] { must(pool->checkpoint(Lsn{4})); });
  store.syncs.await();
  EXPECT_EQ(value(7), 70u);
  change(7, 71);
  EXPECT_EQ(value(50), 50u);
  store.syncs.open();
  checkpointer.join();
  EXPECT_EQ(store.durable(7), 70u);
  EXPECT_EQ(state(7), PageState::dirty) << "the change came after it began";
}

TEST_F(Checkpoint, WaitsForAChangeThatIsUnderWay) {
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  put_word(guard, 70);
  guard.set_lsn(Lsn{1});
  std::atomic<bool> done{false};
  std::jthread checkpointer([&] {
    must(pool->checkpoint(Lsn{2}));
    done = true;
  });
  scheduler.await_parked(1);
  EXPECT_FALSE(done);
  guard.release();
  checkpointer.join();
  EXPECT_EQ(store.durable(7), 70u);
}

TEST_F(Checkpoint, OneAtATime) {
  change(7, 70);
  store.writes.close();
  std::jthread first([&] { must(pool->checkpoint(Lsn{2})); });
  store.writes.await();
  std::jthread second([&] { must(pool->checkpoint(Lsn{3})); });
  scheduler.await_parked(1);
  EXPECT_EQ(store.redo_from(), Lsn{0});
  store.writes.open();
  first.join();
  second.join();
  EXPECT_EQ(store.redo_from(), Lsn{3});
  EXPECT_EQ(pool->redo_from(), Lsn{3});
}

TEST_F(Checkpoint, OfTwoThatOverlapTheLaterBeginCounts) {
  change(7, 70);
  store.writes.close();
  std::jthread first([&] { EXPECT_EQ(must(pool->checkpoint(Lsn{3})), Lsn{3}); });
  store.writes.await();
  // It read the log's end before the first one did, and came second all the same.
  std::jthread second([&] { EXPECT_EQ(must(pool->checkpoint(Lsn{2})), Lsn{3}); });
  scheduler.await_parked(1);
  store.writes.open();
  first.join();
  second.join();
  EXPECT_EQ(store.redo_from(), Lsn{3});
}

// ---- errors

TEST_F(Checkpoint, AFailedWriteCommitsNothing) {
  change(7, 70);
  change(8, 80);
  store.on_write = [](PageId id) { return id.value == 7 ? std::optional(ErrorCode::no_space) : std::nullopt; };
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{4})), ErrorCode::no_space);
  EXPECT_EQ(store.redo_from(), Lsn{0});
  EXPECT_EQ(pool->redo_from(), Lsn{0});
  EXPECT_EQ(state(7), PageState::dirty);
  store.on_write = nullptr;
  EXPECT_EQ(must(pool->checkpoint(Lsn{4})), Lsn{4});
  EXPECT_EQ(store.durable(7), 70u);
}

TEST_F(Checkpoint, AFailedCommitIsTriedAgainByTheNext) {
  change(7, 70);
  store.on_commit = [] { return ErrorCode::io_error; };
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{4})), ErrorCode::io_error);
  EXPECT_EQ(pool->redo_from(), Lsn{0});
  store.on_commit = nullptr;
  EXPECT_EQ(must(pool->checkpoint(Lsn{5})), Lsn{5});
  EXPECT_EQ(store.redo_from(), Lsn{5});
}

TEST_F(Checkpoint, AFailedSyncPoisons) {
  change(7, 70);
  store.on_sync = [] { return ErrorCode::io_error; };
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{4})), ErrorCode::io_error);
  store.on_sync = nullptr;
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{4})), ErrorCode::poisoned);
  EXPECT_EQ(state(7), PageState::unsynced);
  EXPECT_EQ(pool->redo_from(), Lsn{0});
}

TEST_F(Checkpoint, AFailingLogCommitsNothingEvenWithNothingDirty) {
  log.fail = true;
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{4})), ErrorCode::io_error) << "the log below 4 may not be durable";
  EXPECT_EQ(store.redo_from(), Lsn{0});
}

TEST_F(Checkpoint, WorksWithoutALog) {
  pool.reset();
  make(quiet(8));
  change(7, 70);
  EXPECT_EQ(must(pool->checkpoint(Lsn{4})), Lsn{4});
  EXPECT_EQ(log.asked, 0);
}

// ---- full images

TEST_F(Checkpoint, BeforeTheFirstOneEveryChangeIsDueAnImage) {
  change_at(7, 1);
  EXPECT_TRUE(image_due(7)) << "nobody knows what the log holds";
}

TEST_F(Checkpoint, AnImageIsDueOnceForEachPageAndCheckpoint) {
  change_at(7, 1);
  must(pool->checkpoint(Lsn{2}));
  EXPECT_TRUE(image_due(7));
  EXPECT_TRUE(image_due(7)) << "asking changes nothing";
  change_at(7, 2);
  EXPECT_FALSE(image_due(7));
  change_at(7, 3);
  EXPECT_FALSE(image_due(7));
  must(pool->checkpoint(Lsn{4}));
  EXPECT_TRUE(image_due(7));
  change_at(7, 4);
  EXPECT_FALSE(image_due(7));
}

TEST_F(Checkpoint, APageThatWasNeverLoggedIsAlwaysDueOne) {
  must(pool->checkpoint(Lsn{2}));
  EXPECT_TRUE(image_due(50));
  EXPECT_TRUE(must(pool->new_page(PageId{500})).full_image_due());
  change_at(50, 2);
  EXPECT_FALSE(image_due(50));
}

TEST_F(Checkpoint, AnImageIsDueFromTheMomentACheckpointBegins) {
  change_at(7, 1);
  must(pool->checkpoint(Lsn{2}));
  change_at(7, 2);
  ASSERT_FALSE(image_due(7));
  store.writes.close();
  std::jthread checkpointer([&] { must(pool->checkpoint(Lsn{3})); });
  store.writes.await();
  EXPECT_TRUE(image_due(7)) << "its write may be torn, and the records before 3 will be cut";
  store.writes.open();
}

TEST_F(Checkpoint, AnImageIsDueAlsoAfterAFailedCheckpoint) {
  change_at(7, 1);
  must(pool->checkpoint(Lsn{2}));
  change_at(7, 2);
  store.on_commit = [] { return ErrorCode::io_error; };
  EXPECT_EQ(code_of(pool->checkpoint(Lsn{3})), ErrorCode::io_error);
  EXPECT_TRUE(image_due(7)) << "its commit may be found by the next opener";
}

// A task asks before the checkpoint begins, is told that no image is due, and logs its change after. The record is
// above `begin`, has no image, and the write of the checkpoint may be torn: the next change must be due one.
TEST_F(Checkpoint, AChangeThatWasDecidedBeforeAndLoggedAfterDoesNotHideTheNext) {
  change_at(7, 1);
  must(pool->checkpoint(Lsn{2}));
  change_at(7, 2);
  ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{7}));
  ASSERT_FALSE(guard.full_image_due());
  std::jthread checkpointer([&] { must(pool->checkpoint(Lsn{3})); });
  scheduler.await_parked(1);
  put_word(guard, 30);
  guard.set_lsn(Lsn{3});  // a delta, at or above `begin`
  guard.release();
  checkpointer.join();
  EXPECT_TRUE(image_due(7));
}

}  // namespace
}  // namespace pagedb
