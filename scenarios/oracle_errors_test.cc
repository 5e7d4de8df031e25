// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// How the oracle judges a page that reads as an error: for each state of the medium, which codes name it, when an error
// is no answer at all, and when the checksum that caught it only hides a broken promise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "scenarios/testing/oracle_bench.h"

namespace pagedb::scenarios {
namespace {

using faults::PageState;
using ::testing::HasSubstr;
using Kind = Verdict::Kind;

std::vector<ErrorCode> every_code() {
  std::vector<ErrorCode> codes;
  for (unsigned code = 0; code <= static_cast<unsigned>(ErrorCode::allocation_damaged); ++code)
    codes.push_back(static_cast<ErrorCode>(code));
  return codes;
}

/// A way to bring page 0 into a state, with a version that a sync covers, and no promise broken by it.
struct Row {
  PageState state;
  std::function<void(Bench&)> make;
  std::vector<ErrorCode> right;
};

void make_durable(Bench& b) {
  const auto page = b.write(0);
  b.acknowledge(page);
  b.sync();
  b.land(page);
}

std::vector<Row> rows() {
  const std::vector<ErrorCode> does_not_verify = {ErrorCode::bad_magic, ErrorCode::bad_version,
                                                  ErrorCode::bad_checksum};
  return {
      {PageState::torn,
       [](Bench& b) {
         make_durable(b);
         b.land_sectors(b.write(0), 2, 4);
       },
       does_not_verify},
      {PageState::damaged,
       [](Bench& b) {
         make_durable(b);
         b.damage(0, 0, {sim::DamageKind::garbage, 0, 7});
       },
       does_not_verify},
      {PageState::unreadable,
       [](Bench& b) {
         make_durable(b);
         b.damage(0, 3, {sim::DamageKind::unreadable, 0, 0});
       },
       {ErrorCode::io_error}},
      {PageState::foreign,
       [](Bench& b) {
         make_durable(b);
         b.land(b.misdirect(1, kPage));
       },
       {ErrorCode::wrong_page_id}},
      {PageState::stale,
       [](Bench& b) {
         make_durable(b);
         b.acknowledge(b.misdirect(0, 2 * kPage));
         b.sync();
       },
       {}},
      {PageState::absent,
       [](Bench& b) {
         b.acknowledge(b.misdirect(0, 2 * kPage));
         b.sync();
       },
       {ErrorCode::never_written, ErrorCode::beyond_end}},
  };
}

TEST(OracleErrors, EachStateOfTheMediumHasItsOwnCodes) {
  for (const Row& row : rows()) {
    Bench b;
    row.make(b);
    ASSERT_EQ(faults::name(b.state(0, b.oracle.floor(0))), faults::name(row.state));
    for (const ErrorCode code : every_code()) {
      const Verdict verdict = b.recovered(0, code);
      SCOPED_TRACE(std::string(faults::name(row.state)) + " read as " + std::string(name(code)));
      if (std::find(row.right.begin(), row.right.end(), code) != row.right.end()) {
        EXPECT_EQ(verdict.kind, Kind::detected) << verdict.message;
      } else {
        expect_broken(verdict, Invariant::typed_errors, "reading says " + std::string(name(code)));
      }
    }
  }
}

TEST(OracleErrors, ARunningProcessIsHeldToTheSameCodes) {
  for (const Row& row : rows()) {
    if (row.state == PageState::foreign) continue;  // a page that a misdirected write hit: see below
    Bench b;
    row.make(b);
    for (const ErrorCode code : every_code()) {
      const bool right = std::find(row.right.begin(), row.right.end(), code) != row.right.end();
      EXPECT_EQ(b.live(0, code).kind, right ? Kind::detected : Kind::broken)
          << faults::name(row.state) << " read as " << name(code);
    }
  }
}

TEST(OracleErrors, WithItsImageInTheLogAPageMustComeBack) {
  for (const Row& row : rows()) {
    Bench b;
    row.make(b);
    b.oracle.has_log();
    for (const ErrorCode code : every_code())
      expect_broken(b.recovered(0, code), Invariant::durability, "the log holds its image");
    for (const ErrorCode code : row.right) {
      EXPECT_EQ(b.live(0, code).kind, Kind::detected) << "no recovery, no log";
      b.oracle.images_from(b.oracle.floor(0) + 1);
      EXPECT_EQ(b.recovered(0, code).kind, Kind::detected) << "the log no longer reaches back to its image";
    }
  }
}

TEST(OracleErrors, ALogOwesNothingToAPageThatNoSyncCovered) {
  Bench b;
  b.oracle.has_log();
  b.land_sectors(b.write(0), 0, 4);
  EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected);
  EXPECT_EQ(b.recovered(1, ErrorCode::never_written).kind, Kind::legal);
}

TEST(OracleErrors, ASoundPageMustNotBeRefused) {
  for (const bool synced : {false, true}) {
    Bench b;
    const auto page = b.write(0);
    b.acknowledge(page);
    b.land(page);
    if (synced) b.sync();
    for (const ErrorCode code : every_code()) {
      expect_broken(b.recovered(0, code), Invariant::durability, "must be recovered (the medium holds it intact)");
      expect_broken(b.live(0, code), Invariant::durability, "must be recovered");
    }
  }
}

TEST(OracleErrors, APageThatWasNeverWrittenSaysSo) {
  Bench b;
  for (const ErrorCode code : every_code()) {
    const bool right = code == ErrorCode::never_written || code == ErrorCode::beyond_end;
    if (right) {
      EXPECT_EQ(b.recovered(0, code).kind, Kind::legal);
      EXPECT_EQ(b.live(0, code).kind, Kind::legal);
    } else {
      expect_broken(b.recovered(0, code), Invariant::typed_errors, "never written, but reading says");
      expect_broken(b.live(0, code), Invariant::typed_errors, "never written, but reading says");
    }
  }
}

TEST(OracleErrors, AHalfWayExtensionReadsAsBeyondTheEndOrAsTorn) {
  Bench b;
  b.length = 300 * kPage + 1024;
  b.land_sectors(b.write(3), 0, 2);
  for (const ErrorCode code : every_code()) {
    const bool right = code == ErrorCode::beyond_end || code == ErrorCode::bad_magic ||
                       code == ErrorCode::bad_version || code == ErrorCode::bad_checksum;
    EXPECT_EQ(b.recovered(3, code).kind, right ? Kind::detected : Kind::broken) << name(code);
  }
}

TEST(OracleErrors, AHalfWayExtensionMayBeDamagedWithoutAnyWriteOfThePage) {
  for (const sim::DamageKind kind : {sim::DamageKind::garbage, sim::DamageKind::unreadable}) {
    Bench b;
    b.length = 300 * kPage + 1024;
    b.damage(3, 1, {kind, 0, 1});
    for (const ErrorCode code : every_code()) {
      const bool right =
          code == ErrorCode::beyond_end ||
          (kind == sim::DamageKind::unreadable
               ? code == ErrorCode::io_error
               : code == ErrorCode::bad_magic || code == ErrorCode::bad_version || code == ErrorCode::bad_checksum);
      EXPECT_EQ(b.recovered(3, code).kind, right ? Kind::detected : Kind::broken) << name(code);
    }
  }
}

TEST(OracleErrors, ARunningProcessNeedNotSeeAWriteThatIsUnderWayOrFailed) {
  Bench b;
  const auto page = b.write(0);
  b.land(page);
  EXPECT_EQ(b.live(0, ErrorCode::never_written).kind, Kind::legal);
  EXPECT_EQ(b.live(0, ErrorCode::beyond_end).kind, Kind::legal);
  EXPECT_EQ(b.live(0, ErrorCode::bad_checksum).kind, Kind::broken);
  EXPECT_EQ(b.recovered(0, ErrorCode::never_written).kind, Kind::broken) << "a recovery reads what is there";
  b.acknowledge(page);
  expect_broken(b.live(0, ErrorCode::never_written), Invariant::durability, "must be recovered");
}

TEST(OracleErrors, AReadThatRacedAMisdirectedWriteMayHaveSeenAnything) {
  Bench b;
  const auto page = b.write(0);
  b.acknowledge(page);
  b.land(page);
  expect_broken(b.live(0, ErrorCode::bad_checksum), Invariant::durability, "must be recovered");
  (void)b.misdirect(1, kPage);
  for (const ErrorCode code : {ErrorCode::bad_magic, ErrorCode::bad_version, ErrorCode::bad_checksum,
                               ErrorCode::wrong_page_id, ErrorCode::never_written, ErrorCode::beyond_end}) {
    EXPECT_EQ(b.live(0, code).kind, Kind::detected) << name(code);
    EXPECT_EQ(b.recovered(0, code).kind, Kind::broken) << "nothing races a recovery: " << name(code);
  }
  EXPECT_EQ(b.live(0, ErrorCode::io_error).kind, Kind::broken);
  EXPECT_EQ(b.live(1, ErrorCode::bad_checksum).kind, Kind::broken) << "only the page that was hit";
}

// ---- Promises that a checksum must not hide

TEST(OraclePromises, ATornPageWithSectorsOlderThanItsFloorBreaksDurability) {
  Bench b;
  const auto one = b.write(0), two = b.write(0), three = b.write(0);
  b.acknowledge(one);
  b.acknowledge(two);
  b.land(one);
  b.land_sectors(two, 3, 5);
  EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected) << "nothing was synced yet";
  expect_broken(b.live(0, ErrorCode::bad_checksum), Invariant::durability, "was acknowledged");
  b.sync();
  expect_broken(b.recovered(0, ErrorCode::bad_checksum), Invariant::durability,
                "lsn 2 was made durable by a sync, but the medium holds a page that is torn");
  b.land_sectors(three, 0, 3);
  EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected) << "torn by a newer write only";
}

TEST(OraclePromises, OneOldSectorIsEnough) {
  for (std::uint64_t sector = 0; sector < 8; ++sector) {
    Bench b;
    const auto one = b.write(0), two = b.write(0);
    b.acknowledge(two);
    b.sync();
    b.land(two);
    b.land_sectors(one, sector, 1);
    EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::broken) << sector;
    // Unless that very sector was damaged: nobody can say what it held.
    b.damage(0, sector, {sim::DamageKind::garbage, 0, 1});
    EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected) << sector;
  }
}

TEST(OraclePromises, AVersionThatWasWrittenTwiceIsKeptByEitherWrite) {
  Bench b;
  const auto page = b.write(0);
  (void)b.submit(b.record(kPage, page.bytes));  // again, after EINTR
  b.acknowledge(page);
  b.sync();
  b.land(page);
  b.land_sectors(b.write(0), 0, 4);
  EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected);
}

TEST(OraclePromises, AnOlderMisdirectedWriteMayLandLast) {
  Bench b;
  const auto astray = b.misdirect(1, kPage);
  const auto page = b.write(0);
  ASSERT_LT(astray.record->id, page.record->id);
  b.acknowledge(page);
  b.sync();
  b.land(page);
  b.land(astray);
  EXPECT_EQ(b.recovered(0, ErrorCode::wrong_page_id).kind, Kind::detected);
}

TEST(OraclePromises, APageThatIsGoneBreaksDurability) {
  Bench b;
  const auto page = b.write(3);
  b.acknowledge(page);
  EXPECT_EQ(b.recovered(3, ErrorCode::never_written).kind, Kind::legal) << "no sync yet";
  b.sync();
  expect_broken(b.recovered(3, ErrorCode::never_written), Invariant::durability, "absent");
  b.land(page);
  b.length = 300 * kPage;
  expect_broken(b.recovered(3, ErrorCode::beyond_end), Invariant::durability, "absent");
  b.length = 301 * kPage - 512;
  expect_broken(b.recovered(3, ErrorCode::beyond_end), Invariant::durability, "torn");
}

TEST(OraclePromises, AnErrorForAnOldPageBreaksDurabilityToo) {
  Bench b;
  const auto one = b.write(0), two = b.write(0);
  b.acknowledge(one);
  b.acknowledge(two);
  b.sync();
  b.land(one);
  expect_broken(b.recovered(0, ErrorCode::bad_checksum), Invariant::durability, "stale");
}

TEST(OraclePromises, AMisdirectedVersionIsOwedByNobody) {
  Bench b;
  const auto one = b.write(0);
  b.acknowledge(one);
  b.land(one);
  b.acknowledge(b.misdirect(0, 2 * kPage));
  b.sync();
  b.damage(0, 5, {sim::DamageKind::flipped, 3, 0});
  EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected);
  b.media.reset(nullptr);
  expect_broken(b.recovered(0, ErrorCode::never_written), Invariant::durability, "absent");
}

}  // namespace
}  // namespace pagedb::scenarios
