// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// How the oracle judges the opening of a page file: by what stands in the two superblock slots, and by whether create
// had returned Ok.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "scenarios/testing/oracle_bench.h"

namespace pagedb::scenarios {
namespace {

using Kind = Verdict::Kind;

/// A Bench with files on it, and the outcomes of opening them.
struct OpenBench : Bench {
  OpenBench() { length = kTwinOffset + kPage; }

  void superblock(std::uint64_t at, std::uint64_t generation) {
    land(submit(record(at, superblock_by_hand(at, generation))));
  }
  void both() {
    superblock(0, 1);
    superblock(kTwinOffset, 1);
  }
  void spoil(std::uint64_t at, sim::DamageKind kind) { media.damage(at / sim::kSectorBytes, {kind, 3, 1}); }

  /// Ok; `interrupted`: reported as an interrupted create.
  [[nodiscard]] Verdict ok(bool interrupted = false, bool finished = false) const {
    return oracle.judge_open(nullptr, interrupted, &media, length, finished);
  }
  [[nodiscard]] Verdict error(ErrorCode code) const {
    const PageError wrong{.code = code};
    return oracle.judge_open(&wrong, false, &media, length, false);
  }
  /// Only `right` name what is there; all other codes break `invariant`.
  void expect_codes(std::initializer_list<ErrorCode> right, Invariant invariant) const {
    for (unsigned number = 0; number <= static_cast<unsigned>(ErrorCode::allocation_damaged); ++number) {
      const auto code = static_cast<ErrorCode>(number);
      const Verdict verdict = error(code);
      if (std::find(right.begin(), right.end(), code) != right.end()) {
        EXPECT_EQ(verdict.kind, Kind::detected) << name(code) << ": " << verdict.message;
      } else {
        expect_broken(verdict, invariant, std::string(name(code)));
      }
    }
  }
};

constexpr std::initializer_list<ErrorCode> kNoSuperblock = {ErrorCode::superblock_damaged, ErrorCode::not_a_page_file,
                                                            ErrorCode::headerless_file};

TEST(OracleOpen, AMissingFileIsNotFoundUntilCreateHasReturned) {
  OpenBench b;
  const auto judge = [&](const PageError* error) { return b.oracle.judge_open(error, false, nullptr, 0, false); };
  const PageError not_found{.code = ErrorCode::not_found}, other{.code = ErrorCode::io_error};
  EXPECT_EQ(judge(&not_found).kind, Kind::legal);
  expect_broken(judge(&other), Invariant::typed_errors, "not_found");
  expect_broken(judge(nullptr), Invariant::typed_errors, "not_found");
  b.oracle.created();
  expect_broken(judge(&not_found), Invariant::durability, "the file's name");
  expect_broken(judge(nullptr), Invariant::durability, "the file's name");
}

TEST(OracleOpen, ABlankFileIsAnInterruptedCreate) {
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{512}, kTwinOffset, kTwinOffset + kPage}) {
    OpenBench b;
    b.length = length;
    EXPECT_EQ(b.ok(true).kind, Kind::legal) << length;
    EXPECT_EQ(b.ok(true, true).kind, Kind::legal) << length;
    expect_broken(b.ok(false), Invariant::integrity, "Ok, with superblocks absent and absent");
    b.expect_codes({}, Invariant::durability);
  }
}

TEST(OracleOpen, AFileWhoseCreateReturnedIsNoInterruptedOne) {
  OpenBench b;
  b.oracle.created();
  expect_broken(b.ok(true), Invariant::integrity, "absent and absent");
  b.both();
  expect_broken(b.ok(true), Invariant::integrity, "intact and intact");
  expect_broken(b.ok(true, true), Invariant::integrity, "intact and intact");
  EXPECT_EQ(b.ok().kind, Kind::legal);
}

TEST(OracleOpen, AnInterruptedCreateMayHaveBeenFinished) {
  OpenBench b;
  b.both();
  EXPECT_EQ(b.ok(true, true).kind, Kind::legal) << "the opening itself has put them there";
  expect_broken(b.ok(true, false), Invariant::integrity, "intact and intact");
}

TEST(OracleOpen, AFileWithOtherBytesThanZerosIsNotBlank) {
  OpenBench b;
  b.land(b.write(2));
  expect_broken(b.ok(true), Invariant::integrity, "absent and absent");
  b.expect_codes(kNoSuperblock, Invariant::typed_errors);
}

TEST(OracleOpen, TwoSoundSlotsOpen) {
  OpenBench b;
  b.both();
  EXPECT_EQ(b.ok().kind, Kind::legal);
  b.expect_codes({}, Invariant::durability);
}

TEST(OracleOpen, OneSoundSlotIsEnough) {
  for (const std::uint64_t bad : {std::uint64_t{0}, kTwinOffset}) {
    for (const sim::DamageKind kind : {sim::DamageKind::flipped, sim::DamageKind::garbage}) {
      OpenBench b;
      b.both();
      b.spoil(bad, kind);
      EXPECT_EQ(b.ok().kind, Kind::legal);
      b.expect_codes({}, Invariant::durability);
    }
    OpenBench b;
    b.superblock(bad == 0 ? kTwinOffset : 0, 1);
    EXPECT_EQ(b.ok().kind, Kind::legal) << "the other one was never written";
    b.expect_codes({}, Invariant::durability);
  }
}

TEST(OracleOpen, AFileTooShortForItsTwinHasOneSlot) {
  OpenBench b;
  b.both();
  b.length = kTwinOffset + kPage - 512;
  EXPECT_EQ(b.ok().kind, Kind::legal);
  b.spoil(0, sim::DamageKind::flipped);
  expect_broken(b.ok(), Invariant::integrity, "damaged and absent");
}

TEST(OracleOpen, ASlotTornBetweenTwoSuperblocksIsSound) {
  OpenBench b;
  b.superblock(0, 1);
  const auto newer = superblock_by_hand(0, 2);
  b.land_sectors(b.submit(b.record(0, newer)), 0, 1);
  EXPECT_EQ(b.ok().kind, Kind::legal) << "all that differs stands in the first sector";
}

TEST(OracleOpen, NoSoundSlotIsAnErrorThatSaysSo) {
  OpenBench b;
  b.both();
  b.spoil(0, sim::DamageKind::garbage);
  b.spoil(kTwinOffset, sim::DamageKind::flipped);
  expect_broken(b.ok(), Invariant::integrity, "damaged and damaged");
  expect_broken(b.ok(true), Invariant::integrity, "damaged and damaged");
  b.expect_codes(kNoSuperblock, Invariant::typed_errors);
}

TEST(OracleOpen, AMisdirectedPageInASlotIsForeign) {
  OpenBench b;
  b.both();
  for (const std::uint64_t at : {std::uint64_t{0}, kTwinOffset}) b.land(b.misdirect(0, at));
  expect_broken(b.ok(), Invariant::integrity, "foreign and foreign");
  b.expect_codes(kNoSuperblock, Invariant::typed_errors);
  // A superblock that was sent to the twin's place and landed in the first one's is no superblock there either.
  b.land(b.submit(b.record(0, superblock_by_hand(kTwinOffset, 1), kTwinOffset)));
  expect_broken(b.ok(), Invariant::integrity, "foreign and foreign");
}

TEST(OracleOpen, AnUnreadableSlotIsAnIoError) {
  for (const std::uint64_t bad : {std::uint64_t{0}, kTwinOffset}) {
    OpenBench b;
    b.both();
    b.spoil(bad, sim::DamageKind::unreadable);
    b.expect_codes({ErrorCode::io_error}, Invariant::typed_errors);
    EXPECT_EQ(b.ok().kind, Kind::legal) << "the other one is sound";
    b.spoil(bad == 0 ? kTwinOffset : 0, sim::DamageKind::unreadable);
    b.expect_codes({ErrorCode::io_error}, Invariant::typed_errors);
    expect_broken(b.ok(), Invariant::integrity, "unreadable and unreadable");
  }
}

TEST(OracleOpen, WhereNoSlotTellsWhatCannotBeReadMightHave) {
  OpenBench b;
  b.length = 700 * kPage;
  b.land(b.write(2));
  b.land(b.write(3));
  b.damage(2, 6, {sim::DamageKind::unreadable, 0, 0});
  EXPECT_EQ(b.error(ErrorCode::io_error).kind, Kind::detected);
  // With a sound slot, nobody has to look there.
  b.superblock(0, 1);
  expect_broken(b.error(ErrorCode::io_error), Invariant::durability, "intact and absent");
}

TEST(OracleOpen, WhatLiesBeyondTheFirstTwoMegabytesIsNotLookedAt) {
  OpenBench b;
  b.length = 700 * kPage;
  b.land(b.write(2));
  b.land(b.record(600 * kPage, std::vector<std::byte>(512, std::byte{1})));
  b.media.damage(600 * 8, {sim::DamageKind::unreadable, 0, 0});
  b.expect_codes(kNoSuperblock, Invariant::typed_errors);
}

}  // namespace
}  // namespace pagedb::scenarios
