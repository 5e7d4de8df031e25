// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle by itself, on media laid out by hand: what it holds for durable, what it sees in a page's place, what it
// accepts and what it calls broken. How open is judged is in oracle_open_test.cc.
#include "scenarios/oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "scenarios/testing/oracle_bench.h"

namespace pagedb::scenarios {
namespace {

using faults::PageState;
using ::testing::HasSubstr;
using Kind = Verdict::Kind;

// ---- Versions and floors

TEST(OracleVersions, EachHasItsOwnLsnAndContents) {
  Bench b;
  const auto first = b.intend(0), second = b.intend(0), other = b.intend(1);
  EXPECT_EQ(first.lsn, 1u);
  EXPECT_EQ(second.lsn, 2u);
  EXPECT_EQ(other.lsn, 3u);
  // No sector of one equals the same sector of another, so that no mixture passes for a version.
  for (std::size_t at = 32; at + 8 <= kPage; at += 8) {
    EXPECT_NE(std::memcmp(first.bytes.data() + at, second.bytes.data() + at, 8), 0) << at;
    EXPECT_NE(std::memcmp(second.bytes.data() + at, other.bytes.data() + at, 8), 0) << at;
  }
  EXPECT_EQ(b.oracle.acknowledged(0), 0u);
  EXPECT_EQ(b.oracle.acknowledged(2), 0u);
}

TEST(OracleVersions, FillGivesTheSameContentsAgain) {
  Bench b;
  std::vector<std::byte> once(kPage), again(kPage, std::byte{0x55});
  const std::uint64_t lsn = b.oracle.intend(1, once);
  (void)b.intend(1);
  b.oracle.fill(lsn, again);
  EXPECT_EQ(once, again);
}

TEST(OracleVersions, PagesAreFoundByTheirOffset) {
  sim::Arena arena;
  const Oracle oracle({}, {PageId{9}, PageId{2}, PageId{300}}, 1, arena);
  EXPECT_EQ(oracle.index_at(2 * kPage), 0u);
  EXPECT_EQ(oracle.index_at(9 * kPage + 512), 1u);
  EXPECT_EQ(oracle.index_at(301 * kPage - 1), 2u);
  EXPECT_EQ(oracle.index_at(0), std::nullopt);
  EXPECT_EQ(oracle.index_at(3 * kPage), std::nullopt);
  EXPECT_EQ(oracle.index_at(301 * kPage), std::nullopt);
}

TEST(OracleFloors, ASyncCoversWhatWasAcknowledgedBeforeItBegan) {
  Bench b;
  const auto before = b.intend(0), after = b.intend(1), never = b.intend(2);
  b.oracle.returned(before.lsn, true);
  const SyncTicket ticket = b.oracle.sync_begins();
  b.oracle.returned(after.lsn, true);
  EXPECT_EQ(b.oracle.floor(0), 0u) << "not before it returns";
  b.oracle.sync_succeeded(ticket);
  EXPECT_EQ(b.oracle.floor(0), before.lsn);
  EXPECT_EQ(b.oracle.floor(1), 0u);
  EXPECT_EQ(b.oracle.floor(2), 0u);
  b.sync();
  EXPECT_EQ(b.oracle.floor(1), after.lsn);
  EXPECT_EQ(b.oracle.floor(2), 0u) << "version " << never.lsn << " was never acknowledged";
}

TEST(OracleFloors, TakeTheNewestCoveredVersion) {
  Bench b;
  const auto one = b.intend(0), two = b.intend(0), three = b.intend(0);
  b.oracle.returned(one.lsn, true);
  b.oracle.returned(two.lsn, true);
  const SyncTicket ticket = b.oracle.sync_begins();
  b.oracle.returned(three.lsn, true);
  b.oracle.sync_succeeded(ticket);
  EXPECT_EQ(b.oracle.floor(0), two.lsn);
}

TEST(OracleFloors, AFailedWriteRaisesNothing) {
  Bench b;
  const auto good = b.intend(0), bad = b.intend(0);
  b.oracle.returned(good.lsn, true);
  b.oracle.returned(bad.lsn, false);
  b.sync();
  EXPECT_EQ(b.oracle.floor(0), good.lsn);
}

TEST(OracleFloors, AnOlderSyncThatEndsLateLowersNothing) {
  Bench b;
  const auto one = b.intend(0);
  b.oracle.returned(one.lsn, true);
  const SyncTicket early = b.oracle.sync_begins();
  const auto two = b.intend(0);
  b.oracle.returned(two.lsn, true);
  b.sync();
  b.oracle.sync_succeeded(early);
  EXPECT_EQ(b.oracle.floor(0), two.lsn);
}

TEST(OracleFloors, AFailedFlushMakesDoubtfulForLaterSyncsOnly) {
  Bench b;
  const auto lost = b.intend(0);
  b.oracle.returned(lost.lsn, true);
  const SyncTicket under_way = b.oracle.sync_begins();
  b.oracle.flush_failed();
  b.sync();
  EXPECT_EQ(b.oracle.floor(0), 0u) << "a later sync does not bring back what a failed flush dropped";
  b.oracle.flush_failed();
  b.sync();
  EXPECT_EQ(b.oracle.floor(0), 0u);
  b.oracle.sync_succeeded(under_way);
  EXPECT_EQ(b.oracle.floor(0), lost.lsn) << "but an Ok is a promise, whatever failed while it was on its way";
}

TEST(OracleFloors, AFailedFlushTouchesNeitherWhatIsCoveredNorWhatComesLater) {
  Bench b;
  const auto covered = b.intend(0);
  b.oracle.returned(covered.lsn, true);
  b.sync();
  const auto in_flight = b.intend(1);
  b.oracle.flush_failed();
  b.oracle.returned(in_flight.lsn, true);
  const auto later = b.intend(2);
  b.oracle.returned(later.lsn, true);
  b.sync();
  EXPECT_EQ(b.oracle.floor(0), covered.lsn);
  EXPECT_EQ(b.oracle.floor(1), in_flight.lsn);
  EXPECT_EQ(b.oracle.floor(2), later.lsn);
}

TEST(OracleFloors, AreSaidInTheObligationsWhateverTheOrder) {
  Bench left, right;
  for (Bench* b : {&left, &right}) {
    (void)b->intend(0);
    (void)b->intend(0);
    (void)b->intend(1);
  }
  const sim::StateHash none = left.oracle.obligations();
  EXPECT_EQ(none, right.oracle.obligations());
  left.oracle.returned(1, true);
  left.sync();
  const sim::StateHash one = left.oracle.obligations();
  EXPECT_NE(one, none);
  left.sync();
  EXPECT_EQ(left.oracle.obligations(), one) << "a sync with nothing to cover obliges to nothing";
  left.oracle.returned(2, true);
  left.sync();
  const sim::StateHash two = left.oracle.obligations();
  EXPECT_NE(two, one);
  EXPECT_NE(two, none);
  left.oracle.returned(3, true);
  left.sync();
  right.oracle.returned(3, true);
  right.sync();
  EXPECT_NE(right.oracle.obligations(), two);
  right.oracle.returned(2, true);
  right.sync();
  EXPECT_EQ(left.oracle.obligations(), right.oracle.obligations());
}

TEST(OracleFloors, CreatedAndImagesAreObligationsToo) {
  Bench b;
  const sim::StateHash none = b.oracle.obligations();
  EXPECT_FALSE(b.oracle.is_created());
  b.oracle.created();
  EXPECT_TRUE(b.oracle.is_created());
  const sim::StateHash created = b.oracle.obligations();
  EXPECT_NE(created, none);
  b.oracle.created();
  EXPECT_EQ(b.oracle.obligations(), created);
  b.oracle.images_from(5);
  const sim::StateHash images = b.oracle.obligations();
  EXPECT_NE(images, created);
  b.oracle.images_from(3);
  EXPECT_EQ(b.oracle.obligations(), images) << "it never goes back";
  b.oracle.images_from(6);
  EXPECT_NE(b.oracle.obligations(), images);
}

// ---- What stands in a page's place

TEST(OracleState, IntactAndStaleByIdentity) {
  Bench b;
  const auto one = b.write(0), two = b.write(0);
  b.land(one);
  EXPECT_EQ(b.state(0, 0), PageState::intact);
  EXPECT_EQ(b.state(0, one.lsn), PageState::intact);
  EXPECT_EQ(b.state(0, two.lsn), PageState::stale);
  b.land(two);
  EXPECT_EQ(b.state(0, two.lsn), PageState::intact);
  EXPECT_EQ(b.state(0, one.lsn), PageState::intact);
}

TEST(OracleState, IntactAndStaleWhenAPageCameInPieces) {
  Bench b;
  const auto page = b.intend(0);
  b.land_piece(page, 0, 3);
  EXPECT_EQ(b.state(0, 0), PageState::torn);
  b.land_piece(page, 3, 5);
  EXPECT_EQ(b.state(0, page.lsn), PageState::intact);
  EXPECT_EQ(b.state(0, page.lsn + 1), PageState::stale);
}

TEST(OracleState, Absent) {
  Bench b;
  EXPECT_EQ(b.state(0, 0), PageState::absent) << "never written";
  std::vector<std::byte> zeros(kPage);
  b.land(b.record(kPage, zeros));
  EXPECT_EQ(b.state(0, 0), PageState::absent) << "zeros were written";
  b.land(b.write(3));
  b.length = 300 * kPage;
  EXPECT_EQ(b.state(3, 0), PageState::absent) << "past the end: whatever the medium has there cannot be read";
}

TEST(OracleState, AnExtensionThatStoppedHalfWay) {
  Bench b;
  b.length = 300 * kPage + 1024;
  EXPECT_EQ(b.state(3, 0), PageState::absent);
  const auto page = b.intend(3);
  b.land_piece(page, 2, 6);
  EXPECT_EQ(b.state(3, 0), PageState::absent) << "only what lies past the end was written";
  b.damage(3, 2, {sim::DamageKind::garbage, 0, 1});
  EXPECT_EQ(b.state(3, 0), PageState::absent);
  b.land_piece(page, 1, 1);
  EXPECT_EQ(b.state(3, 0), PageState::torn);
  // Damage that a cut read-modify-write left needs no write of the page itself.
  b.damage(3, 0, {sim::DamageKind::garbage, 0, 1});
  EXPECT_EQ(b.state(3, 0), PageState::damaged);
  b.damage(3, 1, {sim::DamageKind::unreadable, 0, 0});
  EXPECT_EQ(b.state(3, 0), PageState::unreadable);
}

TEST(OracleState, Torn) {
  Bench b;
  const auto one = b.write(0), two = b.write(0);
  for (std::uint64_t sector = 0; sector < 8; ++sector) {
    b.land(one);
    b.land_sectors(two, sector, 1);
    EXPECT_EQ(b.state(0, 0), PageState::torn) << sector;
  }
  b.media.reset(nullptr);
  b.land_sectors(one, 0, 7);
  EXPECT_EQ(b.state(0, 0), PageState::torn) << "one sector never came";
}

TEST(OracleState, Damaged) {
  for (std::uint64_t sector = 0; sector < 8; ++sector) {
    Bench b;
    b.land(b.write(0));
    b.damage(0, sector, {sim::DamageKind::flipped, 77, 0});
    EXPECT_EQ(b.state(0, 0), PageState::damaged) << sector;
    b.damage(0, sector, {sim::DamageKind::garbage, 0, 99});
    EXPECT_EQ(b.state(0, 0), PageState::damaged) << sector;
    EXPECT_EQ(b.state(1, 0), PageState::absent) << "the neighbour is none of it";
  }
}

TEST(OracleState, Unreadable) {
  for (std::uint64_t sector = 0; sector < 8; ++sector) {
    Bench b;
    b.land(b.write(0));
    b.damage(0, sector, {sim::DamageKind::unreadable, 0, 0});
    EXPECT_EQ(b.state(0, 0), PageState::unreadable) << sector;
  }
}

TEST(OracleState, Foreign) {
  Bench b;
  const auto page = b.intend(1);
  b.land(b.submit(b.record(kPage, page.bytes, 2 * kPage)));
  EXPECT_EQ(b.state(0, 0), PageState::foreign) << "a write that was sent elsewhere";
  EXPECT_EQ(b.state(1, 0), PageState::absent);
  b.media.reset(nullptr);
  b.land(*b.record(kPage, std::span(page.bytes).first(1024)));
  b.land(*b.record(kPage + 1024, std::span(page.bytes).subspan(1024)));
  EXPECT_EQ(b.state(0, 0), PageState::foreign) << "told by its page id";
  b.media.reset(nullptr);
  sim::WriteRecord* tagged = b.record(kPage, page.bytes);
  tagged->tag = page.lsn;
  b.land(*tagged);
  EXPECT_EQ(b.state(0, 0), PageState::foreign) << "a tag counts only on its own page";
}

TEST(OracleState, AMisdirectedWriteHidesAPageUntilItIsWrittenAgain) {
  Bench b;
  const auto page = b.write(0);
  b.land(page);
  b.land_sectors(b.submit(b.record(kPage, b.intend(1).bytes, 2 * kPage)), 0, 8);
  EXPECT_EQ(b.state(0, 0), PageState::foreign);
  b.land(page);
  EXPECT_EQ(b.state(0, 0), PageState::intact) << "written again";
}

TEST(OracleState, AVersionThatNobodyIntendedIsNoVersion) {
  Bench b;
  auto page = b.intend(0);
  page.bytes[4000] ^= std::byte{1};
  seal_by_hand(page.bytes);
  b.land(*b.record(kPage, page.bytes));
  EXPECT_EQ(b.state(0, 0), PageState::torn);
}

// ---- Judging a recovered page that reads Ok

TEST(OracleRecovered, AnyVersionFromTheFloorOnIsLegal) {
  Bench b;
  const auto one = b.write(0);
  b.acknowledge(one);
  b.sync();
  const auto two = b.write(0), unfinished = b.write(0);
  b.acknowledge(two);
  for (const auto* page : {&one, &two, &unfinished}) {
    b.land(*page);
    EXPECT_EQ(b.recovered(0, page->bytes).kind, Kind::legal) << page->lsn;
  }
}

TEST(OracleRecovered, OlderThanTheFloorBreaksDurability) {
  Bench b;
  const auto one = b.write(0), two = b.write(0);
  b.acknowledge(one);
  b.acknowledge(two);
  b.land(one);
  EXPECT_EQ(b.recovered(0, one.bytes).kind, Kind::legal) << "nothing was synced yet";
  b.sync();
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
}

TEST(OracleRecovered, BytesThatWereNeverWrittenBreakIntegrity) {
  Bench b;
  const auto one = b.write(0), two = b.write(0), other = b.write(1);
  b.land(two);
  for (const std::size_t at : {std::size_t{32}, std::size_t{2000}, kPage - 1}) {
    auto wrong = two.bytes;
    wrong[at] ^= std::byte{1};
    expect_broken(b.recovered(0, wrong), Invariant::integrity, "never written there");
  }
  auto mixed = two.bytes;
  std::memcpy(mixed.data() + 512, one.bytes.data() + 512, 512);
  expect_broken(b.recovered(0, mixed), Invariant::integrity, "never written there");
  expect_broken(b.recovered(0, other.bytes), Invariant::integrity, "page 2");
  auto elsewhere = two.bytes;
  put(std::span(elsewhere), 8, std::uint64_t{2});
  expect_broken(b.recovered(0, elsewhere), Invariant::integrity, "they say page 2");
  auto relabelled = other.bytes;
  put(std::span(relabelled), 8, std::uint64_t{1});
  expect_broken(b.recovered(0, relabelled), Invariant::integrity, "never written there");
  auto future = two.bytes;
  put(std::span(future), 16, std::uint64_t{400});
  expect_broken(b.recovered(0, future), Invariant::integrity, "lsn 400");
  expect_broken(b.recovered(0, std::vector<std::byte>(kPage)), Invariant::integrity, "never written there");
}

TEST(OracleRecovered, ALegalReadOfADamagedPageWasRepaired) {
  Bench b;
  const auto page = b.write(0);
  b.acknowledge(page);
  b.sync();
  b.land(page);
  EXPECT_EQ(b.recovered(0, page.bytes).kind, Kind::legal);
  b.damage(0, 4, {sim::DamageKind::garbage, 0, 1});
  EXPECT_EQ(b.recovered(0, page.bytes).kind, Kind::repaired);
  EXPECT_EQ(b.live(0, page.bytes).kind, Kind::legal) << "a running process repairs nothing";
}

TEST(OracleRecovered, TheOldVersionIsExcusedWhenTheDevicePutTheNewOneElsewhere) {
  Bench b;
  const auto [one, two] = b.one_and_astray();
  EXPECT_EQ(b.oracle.floor(0), two.lsn);
  EXPECT_EQ(b.recovered(0, one.bytes).kind, Kind::excused);
  EXPECT_EQ(b.live(0, one.bytes).kind, Kind::excused);
  // Not for ever: a newer version that went where it should is owed.
  const auto three = b.write(0);
  b.acknowledge(three);
  b.sync();
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
}

TEST(OracleRecovered, OnlyTheVersionBeforeTheMisdirectedOneIsExcused) {
  Bench b;
  const auto one = b.write(0), two = b.write(0);
  b.acknowledge(one);
  b.acknowledge(two);
  const auto three = b.misdirect(0, 2 * kPage);
  b.acknowledge(three);
  b.sync();
  EXPECT_EQ(b.recovered(0, two.bytes).kind, Kind::excused);
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
}

TEST(OracleRecovered, AVersionThatWasNeverSentIsNotOwedBelowAMisdirectedOne) {
  Bench b;
  const auto one = b.write(0);
  b.acknowledge(one);
  b.land(one);
  static_cast<void>(b.intend(0));  // logged, say; the next version was written in its stead
  const auto three = b.misdirect(0, 2 * kPage);
  b.acknowledge(three);
  b.sync();
  EXPECT_EQ(b.recovered(0, one.bytes).kind, Kind::excused);
  // A version that is promised, and was never sent, is nobody's fault but the engine's.
  const auto four = b.intend(0);
  b.acknowledge(four);
  b.sync();
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
}

// ---- Judging a running process

TEST(OracleLive, OlderThanTheNewestAcknowledgedBreaksDurability) {
  Bench b;
  const auto one = b.write(0), two = b.write(0), three = b.write(0);
  b.acknowledge(one);
  b.acknowledge(two);
  b.land(two);
  EXPECT_EQ(b.live(0, two.bytes).kind, Kind::legal);
  EXPECT_EQ(b.live(0, three.bytes).kind, Kind::legal) << "under way";
  expect_broken(b.live(0, one.bytes), Invariant::durability, "acknowledged");
  auto wrong = two.bytes;
  wrong[100] ^= std::byte{1};
  expect_broken(b.live(0, wrong), Invariant::integrity, "never written there");
}

TEST(OracleLive, IsCurrentSaysTheSameWithoutAMedium) {
  Bench b;
  const auto one = b.write(0), two = b.write(0), three = b.write(0), other = b.write(1);
  b.acknowledge(two);
  EXPECT_FALSE(b.oracle.is_current(0, one.bytes));
  EXPECT_TRUE(b.oracle.is_current(0, two.bytes));
  EXPECT_TRUE(b.oracle.is_current(0, three.bytes));
  EXPECT_FALSE(b.oracle.is_current(0, other.bytes));
  auto wrong = two.bytes;
  wrong[100] ^= std::byte{1};
  EXPECT_FALSE(b.oracle.is_current(0, wrong));
  seal_by_hand(wrong);
  EXPECT_FALSE(b.oracle.is_current(0, wrong));
}

}  // namespace
}  // namespace pagedb::scenarios
