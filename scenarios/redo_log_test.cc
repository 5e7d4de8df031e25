// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The reference redo log on a simulated disk: what was made durable is read back, a torn tail is cut, and commits are
// made in groups.
#include "scenarios/redo_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "sim/testing/disk_world.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kRecord = 3 * 4096;
const std::string kPath = "log";

std::vector<std::byte> image(std::uint64_t lsn) {
  std::vector<std::byte> bytes(RedoLog::kImageBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(lsn * 7 + i * 31 + i / 256);
  std::memcpy(bytes.data() + 16, &lsn, sizeof lsn);  // where a page keeps it
  return bytes;
}

class RedoLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<RedoLog> create() {
    auto log = RedoLog::create(*world.scheduler, world.disk, kPath);
    EXPECT_NE(log, nullptr);
    return log;
  }
  /// A log of images with LSNs 1 to `count`, of pages 101 and on; durable.
  void write_images(std::uint64_t count) {
    const auto log = create();
    std::uint64_t position = 0;
    for (std::uint64_t lsn = 1; lsn <= count; ++lsn)
      position = log->append_image(PageId{100 + lsn}, lsn, 0, image(lsn));
    EXPECT_TRUE(log->commit(position));
  }
  /// LSNs of the images that a reader finds; each must be as it was written.
  std::vector<std::uint64_t> lsns(IoBackend& backend) {
    RedoReader reader;
    EXPECT_TRUE(reader.read(backend, kPath));
    std::vector<std::uint64_t> found;
    for (const LogRecord& record : reader.records()) {
      EXPECT_EQ(record.kind, LogKind::image);
      EXPECT_EQ(record.page.value, 100 + record.lsn);
      const auto expected = image(record.lsn);
      EXPECT_TRUE(std::equal(record.bytes.begin(), record.bytes.end(), expected.begin(), expected.end()));
      found.push_back(record.lsn);
    }
    return found;
  }
  std::vector<std::uint64_t> lsns() { return lsns(world.disk); }
  static std::vector<std::uint64_t> first(std::uint64_t count) {
    std::vector<std::uint64_t> all;
    for (std::uint64_t lsn = 1; lsn <= count; ++lsn) all.push_back(lsn);
    return all;
  }
  /// Changes bytes of the log's file.
  void patch(std::uint64_t at, const std::function<void(std::span<std::byte>)>& change, std::size_t size = 4096) {
    auto file = world.disk.open(kPath, Access::read_write);
    ASSERT_TRUE(file);
    AlignedBuffer memory = *AlignedBuffer::allocate(size);
    ASSERT_EQ(sim::DiskWorld::run_one(**file, {IoOp::read, at, memory.data(), size}).error, 0);
    change(memory.span());
    ASSERT_EQ(sim::DiskWorld::run_one(**file, {IoOp::write, at, memory.data(), size}).error, 0);
  }
  sim::FileState& file() { return *world.disk.files().front(); }

  sim::HarnessScope scope;
  sim::Scripted choices;
  sim::DiskWorld world{choices};
};

TEST_F(RedoLogTest, ReadsBackWhatWasAppended) {
  {
    const auto log = create();
    log->append_image(PageId{101}, 1, 0, image(1));
    const std::uint64_t checkpoint = log->append_checkpoint(77);
    const std::uint64_t last = log->append_image(PageId{0x123456789a}, 0xfedcba98, 0, image(0xfedcba98));
    EXPECT_GT(last, checkpoint);
    EXPECT_TRUE(log->commit(last));
  }
  RedoReader reader;
  ASSERT_TRUE(reader.read(world.disk, kPath));
  ASSERT_EQ(reader.records().size(), 3u);
  EXPECT_EQ(reader.records()[0].kind, LogKind::image);
  EXPECT_EQ(reader.records()[0].redo_from, 0u);
  EXPECT_EQ(reader.records()[1].kind, LogKind::checkpoint);
  EXPECT_EQ(reader.records()[1].redo_from, 77u);
  EXPECT_EQ(reader.records()[2].page.value, 0x123456789au);
  EXPECT_EQ(reader.records()[2].lsn, 0xfedcba98u);
  const auto expected = image(0xfedcba98);
  EXPECT_EQ(std::memcmp(reader.records()[2].bytes.data(), expected.data(), expected.size()), 0);
}

TEST_F(RedoLogTest, AMissingFileAndAnEmptyOneAreEmptyLogs) {
  EXPECT_EQ(lsns(), first(0));
  create();
  EXPECT_EQ(lsns(), first(0));
}

TEST_F(RedoLogTest, AFileThatCannotBeOpenedIsNone) {
  create();
  world.disk.seal();
  RedoReader reader;
  EXPECT_FALSE(reader.read(world.disk, kPath));
}

TEST_F(RedoLogTest, IsNotCreatedTwice) {
  create();
  EXPECT_EQ(RedoLog::create(*world.scheduler, world.disk, kPath), nullptr);
}

TEST_F(RedoLogTest, NothingIsDurableUntilAskedFor) {
  const auto log = create();
  const std::uint64_t one = log->append_image(PageId{101}, 1, 0, image(1));
  EXPECT_EQ(lsns(), first(0));
  EXPECT_TRUE(log->commit(one));
  log->append_image(PageId{102}, 2, 0, image(2));
  EXPECT_EQ(lsns(), first(1));
  sim::Scripted lose;
  lose.always(sim::Site::crash_mode, 1);  // everything that no sync covered is lost
  EXPECT_EQ(lsns(world.crash(lose)->disk), first(1));
}

TEST_F(RedoLogTest, ItsNameSurvivesACrash) {
  create();
  sim::Scripted lose;
  lose.always(sim::Site::length_fate, 1);
  const auto image = world.crash(lose);
  EXPECT_FALSE(image->disk.files().front()->missing);
}

TEST_F(RedoLogTest, AFlippedByteCutsTheLogThere) {
  constexpr std::uint64_t kRecords = 5;
  write_images(kRecords);
  for (std::uint64_t k = 0; k < kRecords; ++k) {
    for (const std::size_t at : {0u, 8u, 16u, 24u, 32u, 40u, 48u, 52u, 56u, 60u, 4096u, 6000u, 8191u}) {
      const auto flip = [&](std::span<std::byte> bytes) { bytes[at % 4096] ^= std::byte{0x10}; };
      patch(k * kRecord + at / 4096 * 4096, flip);
      EXPECT_EQ(lsns(), first(k)) << "byte " << at << " of record " << k;
      patch(k * kRecord + at / 4096 * 4096, flip);
    }
  }
  EXPECT_EQ(lsns(), first(kRecords));
}

TEST_F(RedoLogTest, AnUnreadableSectorCutsTheLogThere) {
  constexpr std::uint64_t kRecords = 4;
  for (std::uint64_t k = kRecords; k-- > 0;) {
    if (k == kRecords - 1) write_images(kRecords);
    file().current.damage(k * kRecord / sim::kSectorBytes + 9, {sim::DamageKind::unreadable, 0, 0});
    EXPECT_EQ(lsns(), first(k));
  }
}

TEST_F(RedoLogTest, TheGapBehindARecordIsNoPartOfIt) {
  write_images(3);
  for (std::uint64_t k = 0; k < 3; ++k) {
    for (std::uint64_t sector = 16; sector < 24; ++sector) {
      file().current.damage(k * kRecord / sim::kSectorBytes + sector,
                            {sector % 2 == 0 ? sim::DamageKind::unreadable : sim::DamageKind::garbage, 0, 1});
    }
  }
  EXPECT_EQ(lsns(), first(3));
}

TEST_F(RedoLogTest, ARecordCountsOnlyWhereItSaysItIs) {
  write_images(3);
  std::vector<std::byte> copy(kRecord);
  patch(0, [&](std::span<std::byte> bytes) { std::copy(bytes.begin(), bytes.end(), copy.begin()); }, kRecord);
  patch(kRecord, [&](std::span<std::byte> bytes) { std::copy(copy.begin(), copy.end(), bytes.begin()); }, kRecord);
  EXPECT_EQ(lsns(), first(1));
}

TEST_F(RedoLogTest, GarbageAtItsHeadIsAnEmptyLog) {
  write_images(3);
  patch(0, [](std::span<std::byte> bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0xa5}); });
  EXPECT_EQ(lsns(), first(0));
  patch(0, [](std::span<std::byte> bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{}); });
  EXPECT_EQ(lsns(), first(0));
}

TEST_F(RedoLogTest, ARecordThatIsNotAllThereIsCut) {
  write_images(3);
  for (const std::uint64_t bytes : {3 * kRecord - 512, 2 * kRecord + 512, 2 * kRecord}) {
    auto opened = world.disk.open(kPath, Access::read_write);
    ASSERT_TRUE(opened);
    ASSERT_EQ((*opened)->resize(bytes), 0);
    EXPECT_EQ(lsns(), first(2)) << bytes;
  }
}

TEST_F(RedoLogTest, TasksThatCommitTogetherShareOneSync) {
  constexpr std::uint64_t kTasks = 8;
  const auto log = create();
  const auto syncs = [&] {
    return std::count_if(world.trace.events().begin(), world.trace.events().end(),
                         [](const sim::Event& event) { return event.kind == sim::EventKind::sync_begin; });
  };
  const auto before = syncs();
  std::vector<TaskId> tasks;
  std::uint64_t durable = 0;
  for (std::uint64_t lsn = 1; lsn <= kTasks; ++lsn) {
    tasks.push_back(world.scheduler->spawn("committer", [&, lsn] {
      const sim::HarnessScope inner;
      EXPECT_TRUE(log->commit(log->append_image(PageId{100 + lsn}, lsn, 0, image(lsn))));
      // Whoever returns may rely on it: its own record survives the worst crash that can come now.
      sim::Scripted lose;
      lose.always(sim::Site::crash_mode, 1);
      const auto survived = lsns(world.crash(lose, lsn)->disk);
      EXPECT_NE(std::find(survived.begin(), survived.end(), lsn), survived.end()) << lsn;
      ++durable;
    }));
  }
  for (const TaskId task : tasks) world.scheduler->join(task);
  EXPECT_EQ(durable, kTasks);
  EXPECT_EQ(syncs() - before, 2) << "one for the first, one for all that came meanwhile";
  EXPECT_EQ(lsns(), first(kTasks));
}

TEST_F(RedoLogTest, AFailedCommitFailsForGoodAndForEverybody) {
  const auto log = create();
  EXPECT_TRUE(log->commit(log->append_image(PageId{101}, 1, 0, image(1))));
  world.plan.flush_failure = faults::FaultPlan::kDice - 1;
  choices.always(sim::Site::io_fault, 1);
  std::vector<TaskId> tasks;
  for (std::uint64_t lsn = 2; lsn <= 4; ++lsn) {
    tasks.push_back(world.scheduler->spawn("committer", [&, lsn] {
      const sim::HarnessScope inner;
      EXPECT_FALSE(log->commit(log->append_image(PageId{100 + lsn}, lsn, 0, image(lsn))));
    }));
  }
  for (const TaskId task : tasks) world.scheduler->join(task);
  world.plan.flush_failure = 0;
  EXPECT_FALSE(log->commit(log->append_checkpoint(1)));
}

TEST_F(RedoLogTest, DeltasSayWhatChangedAndSinceWhen) {
  const auto bytes = image(9);
  {
    const auto log = create();
    log->append_image(PageId{7}, 1, 0, image(1));
    log->append_delta(PageId{7}, 2, 1, 40, std::span(bytes).first(RedoLog::kDeltaBytesMax));
    EXPECT_TRUE(log->commit(log->append_delta(PageId{7}, 3, 2, 4095, std::span(bytes).first(1))));
  }
  RedoReader reader;
  ASSERT_TRUE(reader.read(world.disk, kPath));
  ASSERT_EQ(reader.records().size(), 3u);
  const LogRecord& first = reader.records()[1];
  EXPECT_EQ(first.kind, LogKind::delta);
  EXPECT_EQ(first.lsn, 2u);
  EXPECT_EQ(first.previous, 1u);
  EXPECT_EQ(first.offset, 40u);
  EXPECT_TRUE(std::equal(first.bytes.begin(), first.bytes.end(), bytes.begin(),
                         bytes.begin() + static_cast<std::ptrdiff_t>(RedoLog::kDeltaBytesMax)));
  EXPECT_EQ(reader.records()[2].offset, 4095u);
}

TEST_F(RedoLogTest, TheBarrierMakesDurableWhatItIsAskedForAndNoMore) {
  std::vector<std::uint64_t> durable;
  const auto log =
      RedoLog::create(*world.scheduler, world.disk, kPath, [&durable](std::uint64_t lsn) { durable.push_back(lsn); });
  ASSERT_NE(log, nullptr);
  for (std::uint64_t lsn = 1; lsn <= 4; ++lsn) log->append_image(PageId{100 + lsn}, lsn, 0, image(lsn));
  EXPECT_TRUE(log->ensure_durable(Lsn{2}));
  EXPECT_EQ(lsns(), first(2));
  EXPECT_TRUE(log->ensure_durable(Lsn{1}));
  EXPECT_TRUE(log->commit(log->end()));
  EXPECT_EQ(lsns(), first(4));
  EXPECT_EQ(durable, (std::vector<std::uint64_t>{2, 4}));
}

TEST_F(RedoLogTest, WhatWasCutIsGoneAndTheRestIsFound) {
  const auto log = create();
  for (std::uint64_t lsn = 1; lsn <= 4; ++lsn) log->append_image(PageId{100 + lsn}, lsn, 0, image(lsn));
  EXPECT_TRUE(log->commit(log->end()));
  EXPECT_TRUE(log->cut(1)) << "nothing is below";
  EXPECT_EQ(lsns(), first(4));
  EXPECT_TRUE(log->cut(3));
  EXPECT_EQ(lsns(), first(0)) << "it no longer begins where the file does";
  RedoReader reader;
  ASSERT_TRUE(reader.read(world.disk, kPath, 3));
  ASSERT_EQ(reader.records().size(), 2u);
  EXPECT_EQ(reader.records()[0].lsn, 3u);
  EXPECT_EQ(reader.records()[1].lsn, 4u);
  ASSERT_TRUE(reader.read(world.disk, kPath, 2));
  EXPECT_TRUE(reader.records().empty());
  EXPECT_TRUE(log->cut(100));
  ASSERT_TRUE(reader.read(world.disk, kPath, 4));
  EXPECT_TRUE(reader.records().empty());
}

}  // namespace
}  // namespace pagedb::scenarios
