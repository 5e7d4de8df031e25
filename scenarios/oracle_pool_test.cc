// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the oracle knows of logs, checkpoints and flushes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "scenarios/testing/oracle_bench.h"

namespace pagedb::scenarios {
namespace {

using Kind = Verdict::Kind;

TEST(OraclePool, AChangeKeepsTheRestOfThePage) {
  Bench b;
  const std::uint64_t base = b.oracle.intend(1), changed = b.oracle.intend_change(1, base, 64, 32);
  EXPECT_EQ(changed, base + 1);
  EXPECT_EQ(b.oracle.next_lsn(), changed + 1);
  const auto before = b.oracle.contents(base), after = b.oracle.contents(changed);
  ASSERT_EQ(before.size(), kPage - 32);
  EXPECT_EQ(std::memcmp(before.data(), after.data(), 64), 0);
  EXPECT_EQ(std::memcmp(before.data() + 96, after.data() + 96, after.size() - 96), 0);
  for (std::size_t at = 64; at < 96; at += 8) EXPECT_NE(std::memcmp(before.data() + at, after.data() + at, 8), 0) << at;
}

TEST(OraclePool, AVersionIsItsLsnAndItsBytes) {
  Bench b;
  auto page = b.intend(1);
  EXPECT_TRUE(b.oracle.is_version(1, page.lsn, page.bytes));
  EXPECT_FALSE(b.oracle.is_version(0, page.lsn, page.bytes));
  EXPECT_FALSE(b.oracle.is_version(1, page.lsn + 1, page.bytes));
  put(page.bytes, 16, page.lsn + 1);
  EXPECT_FALSE(b.oracle.is_version(1, page.lsn, page.bytes));
  put(page.bytes, 16, page.lsn);
  page.bytes.back() ^= std::byte{1};
  EXPECT_FALSE(b.oracle.is_version(1, page.lsn, page.bytes));
}

TEST(OraclePool, TheLogIsEveryPagesFloor) {
  Bench b;
  b.oracle.has_log();
  for (const std::size_t page : {0u, 1u, 0u, 1u}) (void)b.oracle.intend(page);
  const auto before = b.oracle.obligations();
  b.oracle.log_durable(3);
  EXPECT_EQ(b.oracle.floor(0), 3u);
  EXPECT_EQ(b.oracle.floor(1), 2u);
  EXPECT_FALSE(b.oracle.obligations() == before);
  b.oracle.log_durable(1);
  EXPECT_EQ(b.oracle.floor(0), 3u) << "it never goes back";
  b.oracle.log_durable(4);
  EXPECT_EQ(b.oracle.floor(1), 4u);
}

TEST(OraclePool, APageIsWrittenOnlyOnceTheLogIsDurable) {
  Bench b;
  b.oracle.judge_write_ahead();
  const auto first = b.intend(0), second = b.intend(0);
  b.oracle.log_durable(1);
  b.submit(b.record(kPage, first.bytes));
  sim::WriteRecord* early = b.record(kPage, second.bytes);
  expect_broken(b.oracle.submitted(*early, false), Invariant::write_ahead, "durable only up to lsn 1");
  EXPECT_EQ(early->tag, second.lsn) << "it is a page all the same";
  EXPECT_EQ(b.oracle.submitted(*b.record(kPage, second.bytes), true).kind, Kind::legal) << "a recovery reads the log";
  b.oracle.log_durable(2);
  b.submit(b.record(kPage, second.bytes));
}

TEST(OraclePool, ARecoveredPageNeverGoesBack) {
  Bench b;
  const auto old = b.write(0), fresh = b.write(0);
  b.land(fresh);
  expect_broken(b.recovered(0, old.bytes), Invariant::lsn_monotonic, "the medium held lsn 2");
  EXPECT_EQ(b.recovered(0, fresh.bytes).kind, Kind::legal);
  EXPECT_EQ(b.live(0, old.bytes).kind, Kind::legal) << "it says nothing of a running process";
  b.land_sectors(b.write(0), 0, 3);
  EXPECT_EQ(b.recovered(0, old.bytes).kind, Kind::repaired) << "what stands there is torn, and has no LSN";
}

TEST(OraclePool, ACheckpointIsAFloor) {
  Bench b;
  const auto first = b.write(0), second = b.write(0);
  b.oracle.checkpointed(first.lsn);
  EXPECT_EQ(b.oracle.floor(0), first.lsn);
  EXPECT_EQ(b.oracle.acknowledged(0), first.lsn);
  b.oracle.checkpointed(second.lsn);
  EXPECT_EQ(b.oracle.floor(0), second.lsn);
}

TEST(OraclePool, AFlushThatSaysOkHasWritten) {
  Bench b;
  const auto old = b.write(0), fresh = b.write(0);
  const auto judge = [&] { return b.oracle.judge_flushed(0, fresh.lsn, b.media, b.length); };
  expect_broken(judge(), Invariant::durability, "what was written is lsn 0");
  b.land(old);
  expect_broken(judge(), Invariant::durability, "what was written is lsn 1");
  b.land(fresh);
  EXPECT_EQ(judge().kind, Kind::legal);
  const auto newer = b.write(0);
  b.land_sectors(newer, 0, 4);
  EXPECT_EQ(judge().kind, Kind::legal) << "the next one is under way";
  b.land(newer);
  EXPECT_EQ(judge().kind, Kind::legal);
}

// ---- pages that change hands

TEST(OraclePool, NothingIsPromisedOfAPageThatWasGivenUp) {
  Bench b;
  const auto empty = b.oracle.obligations();
  const auto page = b.write(0);
  b.acknowledge(page);
  b.sync();
  EXPECT_FALSE(b.oracle.obligations() == empty);
  expect_broken(b.recovered(0, ErrorCode::never_written), Invariant::durability, "absent");
  b.oracle.given_up(0);
  EXPECT_TRUE(b.oracle.obligations() == empty);
  EXPECT_EQ(b.oracle.floor(0), 0u);
  EXPECT_EQ(b.oracle.acknowledged(0), 0u);
  EXPECT_EQ(b.recovered(0, ErrorCode::never_written).kind, Kind::legal);
  EXPECT_EQ(b.live(0, ErrorCode::never_written).kind, Kind::legal);
  // It may be there all the same, and then it reads as what it is.
  b.land(page);
  EXPECT_EQ(b.recovered(0, page.bytes).kind, Kind::legal);
  EXPECT_EQ(b.live(0, page.bytes).kind, Kind::legal);
}

TEST(OraclePool, ASyncPromisesNothingOfAnEarlierOwnersVersions) {
  Bench b;
  const auto earlier = b.write(0), beside = b.write(1);
  b.acknowledge(earlier);
  b.acknowledge(beside);
  b.oracle.given_up(0);
  b.sync();
  EXPECT_EQ(b.oracle.floor(0), 0u);
  EXPECT_EQ(b.oracle.floor(1), beside.lsn) << "another page's owner has it still";
  const auto now = b.write(0);
  b.acknowledge(now);
  b.sync();
  EXPECT_EQ(b.oracle.floor(0), now.lsn);
  b.land(earlier);
  expect_broken(b.recovered(0, earlier.bytes), Invariant::durability, "read lsn 1, but lsn 3 was made durable");
}

TEST(OraclePool, AVersionThatTheNewOwnerCheckpointedIsAFloor) {
  Bench b;
  b.oracle.checkpointed(b.write(0).lsn);
  b.oracle.given_up(0);
  const auto now = b.write(0);
  b.oracle.checkpointed(now.lsn);
  EXPECT_EQ(b.oracle.floor(0), now.lsn);
  EXPECT_EQ(b.oracle.acknowledged(0), now.lsn);
}

// The map that a crash left does not have the page in use, whoever had it before.
TEST(OraclePool, OfANobodysPageAnyVersionWillDo) {
  Bench b;
  const auto old = b.write(0), fresh = b.write(0);
  b.acknowledge(fresh);
  b.sync();
  b.land(old);
  const auto judge = [&](bool promised) {
    return b.oracle.judge_recovered(0, nullptr, old.bytes, b.media, b.length, {}, promised);
  };
  expect_broken(judge(true), Invariant::durability, "read lsn 1, but lsn 2 was made durable");
  EXPECT_EQ(judge(false).kind, Kind::legal);
  EXPECT_EQ(b.oracle.judge_live(0, nullptr, old.bytes, b.media, b.length, false).kind, Kind::legal);
  expect_broken(b.oracle.judge_live(0, nullptr, old.bytes, b.media, b.length), Invariant::durability, "acknowledged");
  // But nothing that was never written there.
  auto made_up = old.bytes;
  made_up.back() ^= std::byte{1};
  seal_by_hand(made_up);
  expect_broken(b.oracle.judge_recovered(0, nullptr, made_up, b.media, b.length, {}, false), Invariant::integrity,
                "never written there");
}

/// A superblock that says where redo begins.
std::vector<std::byte> superblock(std::uint64_t offset, std::uint64_t generation, std::uint64_t redo_from) {
  std::vector<std::byte> page = superblock_by_hand(offset, generation);
  put(page, 32 + 64, redo_from);
  seal_by_hand(page);
  return page;
}

TEST(OraclePool, WhereRedoBeginsIsWhatTheNewerSoundSuperblockSays) {
  Bench b;
  std::uint64_t found = 99;
  const auto judge = [&] { return b.oracle.judge_redo_from(b.media, b.length, found); };
  EXPECT_EQ(judge().kind, Kind::legal) << "no superblock, and nothing was stored";
  EXPECT_EQ(found, 0u);

  b.oracle.redo_from_asked(7);
  b.land(b.submit(b.record(0, superblock(0, 3, 5))));
  b.land(b.submit(b.record(kTwinOffset, superblock(kTwinOffset, 4, 7))));
  EXPECT_EQ(judge().kind, Kind::legal);
  EXPECT_EQ(found, 7u);

  b.media.damage(kTwinOffset / sim::kSectorBytes, {sim::DamageKind::unreadable, 0, 0});
  EXPECT_EQ(judge().kind, Kind::legal);
  EXPECT_EQ(found, 5u) << "the other one is all there is";

  const auto before = b.oracle.obligations();
  b.oracle.redo_from_stored(7);
  EXPECT_FALSE(b.oracle.obligations() == before);
  expect_broken(judge(), Invariant::durability, "7 was stored");

  b.land(b.submit(b.record(0, superblock(0, 9, 8))));
  expect_broken(judge(), Invariant::integrity, "7 asked for");
}

TEST(OraclePool, ImagesCountFromWhereTheRecoveredLogBegins) {
  Bench b;
  b.oracle.has_log();
  const auto page = b.write(0);
  b.oracle.log_durable(page.lsn);
  b.land_sectors(page, 0, 4);
  const PageError error{.code = ErrorCode::bad_checksum};
  const auto judge = [&](std::uint64_t images_from) {
    return b.oracle.judge_recovered(0, &error, {}, b.media, b.length, images_from);
  };
  expect_broken(judge(page.lsn), Invariant::durability, "the log holds its image");
  // Its record is cut: then the page must be there without it.
  expect_broken(judge(page.lsn + 1), Invariant::durability, "but the medium holds a page that is torn");
}

}  // namespace
}  // namespace pagedb::scenarios
