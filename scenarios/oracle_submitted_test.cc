// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the oracle makes of each write that the engine submits: the tag by which it is told later, and what nobody asked
// for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "scenarios/oracle.h"
#include "scenarios/testing/hand_made_map.h"
#include "scenarios/testing/oracle_bench.h"

namespace pagedb::scenarios {
namespace {

using faults::PageState;
using ::testing::HasSubstr;
using Kind = Verdict::Kind;

// ---- What the engine submits

TEST(OracleSubmitted, TagsAPageWithItsLsnAndASuperblockWithItsGeneration) {
  Bench b;
  const auto page = b.intend(0);
  EXPECT_EQ(b.submit(b.record(kPage, page.bytes)).tag, page.lsn);
  for (const std::uint64_t at : {std::uint64_t{0}, kTwinOffset})
    EXPECT_EQ(b.submit(b.record(at, superblock_by_hand(at, 7))).tag, kSuperblockTag | 7) << at;
}

TEST(OracleSubmitted, APageThatDoesNotVerifyBreaksIntegrity) {
  Bench b;
  auto page = b.intend(0);
  page.bytes[24] ^= std::byte{1};
  sim::WriteRecord* record = b.record(kPage, page.bytes);
  expect_broken(b.oracle.submitted(*record, false), Invariant::integrity, "does not verify");
  EXPECT_EQ(record->tag, 0u);
  expect_broken(b.oracle.submitted(*b.record(0, page.bytes), false), Invariant::integrity, "does not verify");
}

TEST(OracleSubmitted, APageThatNobodyAskedForBreaksIntegrity) {
  Bench b;
  const auto page = b.intend(0);
  const auto refused = [&](std::uint64_t offset, const std::vector<std::byte>& bytes) {
    sim::WriteRecord* record = b.record(offset, bytes);
    expect_broken(b.oracle.submitted(*record, false), Invariant::integrity, "nobody asked for");
    EXPECT_EQ(record->tag, 0u);
  };
  refused(2 * kPage, page.bytes);  // another page's place
  refused(0, page.bytes);          // a superblock's
  refused(9 * kPage, page.bytes);  // a page that the workload does not use
  auto wrong = page.bytes;
  put(std::span(wrong), 8, std::uint64_t{2});
  seal_by_hand(wrong);
  refused(kPage, wrong);
  wrong = page.bytes;
  put(std::span(wrong), 16, page.lsn + 1);
  seal_by_hand(wrong);
  refused(kPage, wrong);
  wrong = page.bytes;
  wrong[3000] ^= std::byte{1};
  seal_by_hand(wrong);
  refused(kPage, wrong);
  refused(kPage, superblock_by_hand(0, 1));
  refused(0, superblock_by_hand(kTwinOffset, 1));
  refused(kTwinOffset, superblock_by_hand(0, 1));
}

/// The page in which a map's only node, a root, stands: the home of `generation`.
std::pair<std::uint64_t, std::vector<std::byte>> node(std::uint64_t generation, const HandMap::Change& change = {}) {
  HandMap map = one_leaf();
  map.generation = generation;
  if (change) map.changes[{0, 0}] = change;
  return *map.make(0).pages.begin();
}

TEST(OracleSubmitted, TagsANodeOfTheAllocationMapWithItsGeneration) {
  Bench b;
  for (const std::uint64_t generation : {1u, 7u, 8u}) {
    const auto [page, bytes] = node(generation);
    EXPECT_EQ(b.submit(b.record(page * kPage, bytes)).tag, kNodeTag | generation);
  }
  // Above the leaves, and in other regions.
  HandMap map = three_levels();
  for (const auto& [page, bytes] : map.make(2).pages)
    EXPECT_NE(b.submit(b.record(page * kPage, bytes)).tag & kNodeTag, 0u) << page;
}

TEST(OracleSubmitted, ANodeThatIsNotWhereItBelongsBreaksIntegrity) {
  Bench b;
  const auto refused = [&](std::uint64_t page, const std::vector<std::byte>& bytes) {
    sim::WriteRecord* record = b.record(page * kPage, bytes);
    expect_broken(b.oracle.submitted(*record, false), Invariant::integrity, "nobody asked for");
    EXPECT_EQ(record->tag, 0u);
  };
  const auto [home, bytes] = node(7);
  const auto at = [&](std::uint64_t page) {
    auto elsewhere = bytes;
    head_by_hand(elsewhere, page, 0, 3, kHandTag);
    return elsewhere;
  };
  b.submit(b.record(home * kPage, at(home)));
  for (const std::uint64_t page : {home - 2, home + 4, home - 1, std::uint64_t{1}, std::uint64_t{300}})
    refused(page, at(page));
  refused(home - 2, bytes);
  // Nor is it one that claims to be something else, or nothing.
  for (const std::size_t field : {32u, 40u, 48u, 56u})
    refused(home, node(7, [&](std::span<std::byte> page) { page[field] ^= std::byte{1}; }).second);
  for (const auto& [lsn, flags] : {std::pair<std::uint64_t, std::uint16_t>{1, 3}, {0, 2}}) {
    auto other = bytes;
    head_by_hand(other, home, lsn, flags, kHandTag);
    refused(home, other);
  }
}

TEST(OracleSubmitted, APieceOfAPageIsLeftAlone) {
  Bench b;
  const auto page = b.intend(0);
  EXPECT_EQ(b.submit(b.record(kPage + 512, std::span(page.bytes).subspan(512))).tag, 0u);
  EXPECT_EQ(b.submit(b.record(kPage, std::span(page.bytes).first(512))).tag, 0u);
  EXPECT_EQ(b.submit(b.record(kPage + 512, page.bytes)).tag, 0u);
}

TEST(OracleSubmitted, WhatARecoveryWritesLeavesNoMark) {
  Bench b;
  const auto page = b.intend(0);
  const auto other = b.write(1);
  b.acknowledge(other);
  b.land(other);
  // A recovery that misdirects a write is another world: no excuse for this one.
  sim::WriteRecord* record = b.record(2 * kPage, page.bytes, kPage);
  record->id = 50;
  EXPECT_EQ(b.oracle.submitted(*record, true).kind, Kind::legal);
  EXPECT_EQ(record->tag, page.lsn);
  expect_broken(b.live(1, ErrorCode::bad_checksum), Invariant::durability, "must be recovered");
  // Its first write is the one that the trunk makes, not the recovery's with the higher id.
  const sim::WriteRecord& first = b.submit(b.record(kPage, page.bytes));
  ASSERT_LT(first.id, 50u);
  b.oracle.returned(page.lsn, true);
  b.sync();
  b.land(first);
  b.land_sectors(b.write(0), 0, 4);
  EXPECT_EQ(b.recovered(0, ErrorCode::bad_checksum).kind, Kind::detected);
}

}  // namespace
}  // namespace pagedb::scenarios
