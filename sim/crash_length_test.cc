// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Crash: which length and which directory entries a power loss leaves.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

#include "sim/crash.h"
#include "sim/testing/disk_world.h"

namespace pagedb::sim {
namespace {

using faults::FaultKind;

constexpr std::uint32_t kLoseAll = 1;  // a draw of Site::crash_mode

class CrashLengthTest : public ::testing::Test {
 protected:
  Scripted honest;  // of the origin
  Scripted fate;    // of the crash
  HarnessScope scope;
};

TEST_F(CrashLengthTest, LengthsSurviveInOrder) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  EXPECT_EQ(file->resize(8 * kSectorBytes), 0);
  EXPECT_EQ(file->resize(6 * kSectorBytes), 0);
  EXPECT_EQ(world.write(*file, 6, 4, 'b').error, 0);
  const std::uint64_t expected[] = {10, 6, 8, 4};  // the newest first
  for (std::uint32_t back = 0; back < 4; ++back) {
    fate.then(Site::length_fate, {back}).always(Site::length_fate, 0);
    const auto image = world.crash(fate);
    EXPECT_EQ(image->length(), expected[back]);
    EXPECT_EQ(image->durable_length(), expected[back]);
    EXPECT_EQ(image->entered(FaultKind::stale_length), back == 0 ? 0 : 1) << back;
    const std::string kept = std::string("aaaa..bbbb").substr(0, expected[back]);
    EXPECT_EQ(image->durable(16), kept + std::string(16 - kept.size(), '.')) << "data past the end";
  }
}

TEST_F(CrashLengthTest, AnExtensionMayStopHalfWay) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  EXPECT_EQ(world.write(*file, 4, 8, 'b').error, 0);
  fate.then(Site::length_fate, {0, 3, 5});
  const auto image = world.crash(fate);
  EXPECT_EQ(image->length(), 7u);
  EXPECT_EQ(image->durable(12), "aaaabbb.....");
  ASSERT_EQ(image->entered(FaultKind::stale_length), 1);
  EXPECT_EQ(image->ledger.faults().back().offset, 7 * kSectorBytes);
  EXPECT_EQ(image->ledger.faults().back().intended, 12 * kSectorBytes);
  std::set<std::uint64_t> lengths;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    PrngChoices random(seed);
    lengths.insert(world.crash(random)->length());
  }
  EXPECT_EQ(lengths, (std::set<std::uint64_t>{4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST_F(CrashLengthTest, AnExtensionInFlightThatIsLostIsNoStaleLength) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  const TaskId writer = world.background([&] { (void)world.write(*file, 4, 4, 'b'); });
  auto image = world.crash(fate);  // it made it: longer than anybody has seen, and no fault
  EXPECT_EQ(image->length(), 8u);
  EXPECT_TRUE(image->ledger.empty());
  fate.then(Site::length_fate, {1});
  image = world.crash(fate);
  EXPECT_EQ(image->length(), 4u);
  EXPECT_EQ(image->entered(FaultKind::stale_length), 0);
  world.scheduler->join(writer);
}

TEST_F(CrashLengthTest, WhatAShrinkCutDoesNotComeBackWhenTheFileGrewAgain) {
  DiskWorld world(honest);
  auto file = world.create_durable(8, 'a');
  EXPECT_EQ(file->resize(2 * kSectorBytes), 0);
  EXPECT_EQ(file->resize(8 * kSectorBytes), 0);
  EXPECT_EQ(world.write(*file, 4, 1, 'b').error, 0);
  EXPECT_EQ(world.crash(fate)->durable(8), "aa..b...");
  fate.then(Site::length_fate, {2});  // neither resize made it
  fate.then(Site::crash_mode, {kLoseAll});
  EXPECT_EQ(world.crash(fate)->durable(8), "aaaaaaaa");
}

TEST_F(CrashLengthTest, AnEntryIsLostOnlyWhenItWasNeverSynced) {
  DiskWorld world(honest);
  auto never = world.create("never"), synced = world.create("synced");
  EXPECT_EQ(world.disk.sync_directory("synced"), 0);
  EXPECT_EQ(world.write(*never, 0, 8, 'a').error + never->sync(), 0);
  int missing = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    PrngChoices random(seed);
    const auto image = world.crash(random);
    EXPECT_TRUE(image->disk.open("synced", Access::read_only));
    const auto opened = image->disk.open("never", Access::read_only);
    EXPECT_EQ(image->entered(FaultKind::missing_entry), opened ? 0 : 1);
    if (opened) continue;
    ++missing;
    EXPECT_EQ(opened.error(), ENOENT);
    EXPECT_EQ(image->disk.files()[0]->missing, true);
    auto made = image->create("never");  // as if there had never been one
    EXPECT_EQ(*made->size(), 0u);
  }
  EXPECT_GT(missing, 50);
  EXPECT_LT(missing, 150);
}

}  // namespace
}  // namespace pagedb::sim
