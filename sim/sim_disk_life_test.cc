// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimDisk as the harness sees it: the power goes, it starts again, and it says what happened: counts, boundaries,
// clocks and hashes.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "sim/sim_disk.h"
#include "sim/testing/disk_world.h"

namespace pagedb::sim {
namespace {

class SimDiskLifeTest : public ::testing::Test {
 protected:
  Scripted choices;
  HarnessScope scope;
};

TEST_F(SimDiskLifeTest, SealedItAnswersCrashedWithoutEffectAndWakesEverybody) {
  DiskWorld world(choices);
  auto file = world.create_durable(16, 'a');
  (void)world.write(*file, 0, 8, 'b');
  world.profile.sync_latency_ns = 4'000'000'000;
  int woken = 0;
  std::vector<TaskId> tasks;
  tasks.push_back(world.background([&] {
    EXPECT_EQ(world.write(*file, 8, 8, 'c').error, SimDisk::kCrashed);
    ++woken;
  }));
  tasks.push_back(world.background([&] {
    EXPECT_EQ(world.read(*file, 8, 8), "error " + std::to_string(SimDisk::kCrashed));
    ++woken;
  }));
  tasks.push_back(world.background([&] {
    EXPECT_EQ(file->sync(), SimDisk::kCrashed);
    ++woken;
  }));
  world.disk.seal();
  const Time sealed = world.scheduler->now();
  for (const TaskId task : tasks) world.scheduler->join(task);
  EXPECT_EQ(woken, 3);
  EXPECT_EQ(world.scheduler->now(), sealed) << "at once, not when the I/O would have ended";
  EXPECT_EQ(world.disk.create("g").error(), SimDisk::kCrashed);
  EXPECT_EQ(world.disk.open("f", Access::read_only).error(), SimDisk::kCrashed);
  EXPECT_EQ(world.disk.sync_directory("f"), SimDisk::kCrashed);
  EXPECT_EQ(file->size().error(), SimDisk::kCrashed);
  EXPECT_EQ(file->resize(0), SimDisk::kCrashed);
  EXPECT_EQ(file->sync(), SimDisk::kCrashed);
  EXPECT_EQ(world.write(*file, 0, 8, 'd').error, SimDisk::kCrashed);
  EXPECT_EQ(world.read(*file, 0, 8), "error " + std::to_string(SimDisk::kCrashed));
  world.sleep(1'000'000);  // events of what was in flight come and find nobody
  EXPECT_EQ(world.seen(16), "bbbbbbbbaaaaaaaa");
  EXPECT_EQ(world.durable(16), "aaaaaaaaaaaaaaaa");
  file.reset();
}

TEST_F(SimDiskLifeTest, SealedWithIoInFlightItCanStartAgain) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  const TaskId task = world.background([&] { (void)world.write(*file, 0, 8, 'b'); });
  world.disk.seal();
  world.scheduler->join(task);
  file.reset();
  // The event of the write is still to come, and goes with its scheduler.
  world.scheduler = std::make_unique<SimScheduler>(choices, Span(Span(), 9, 0), world.trace, world.stacks);
  world.start();
  EXPECT_TRUE(world.disk.files().empty());
  file = world.create_durable(8, 'c');
  EXPECT_EQ(world.read(*file, 0, 8), "cccccccc");
}

TEST_F(SimDiskLifeTest, StartingAgainForgetsFilesAndCounts) {
  DiskWorld world(choices);
  world.create_durable(8, 'a').reset();
  EXPECT_GT(world.disk.ios(), 0u);
  world.start(1, 100);
  EXPECT_EQ(world.disk.ios(), 0u);
  EXPECT_EQ(world.disk.io_bytes(), 0u);
  EXPECT_EQ(world.disk.open("f", Access::read_only).error(), ENOENT);
  auto file = world.create();
  EXPECT_EQ(world.read(*file, 0, 8), "");
  (void)world.write(*file, 0, 8, 'b');
  EXPECT_EQ(world.submitted.back()->id, 100u);
  EXPECT_EQ(world.disk.next_record(), 101u);
}

TEST_F(SimDiskLifeTest, CountsTransfersAndBytes) {
  DiskWorld world(choices);
  auto file = world.create();
  (void)world.write(*file, 0, 8, 'a');
  (void)world.read(*file, 4, 8);
  EXPECT_EQ(world.disk.ios(), 2u);
  EXPECT_EQ(world.disk.io_bytes(), 12 * kSectorBytes);
}

TEST_F(SimDiskLifeTest, BoundariesComeAtEverySubmissionAndCompletion) {
  DiskWorld world(choices);
  int boundaries = 0;
  world.at_boundary = [&] { ++boundaries; };
  auto file = world.create();
  EXPECT_EQ(boundaries, 1);
  (void)world.write(*file, 0, 8, 'a');
  EXPECT_EQ(boundaries, 3);
  (void)world.read(*file, 0, 8);
  EXPECT_EQ(boundaries, 5);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(boundaries, 7);
  EXPECT_EQ(file->resize(0), 0);
  EXPECT_EQ(world.disk.sync_directory("f"), 0);
  EXPECT_EQ(boundaries, 9);
}

TEST_F(SimDiskLifeTest, TheChangeClockMovesWhenACrashCouldTell) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  const auto moves = [&](const std::function<void()>& action) {
    const std::uint64_t before = world.disk.change_clock();
    action();
    return world.disk.change_clock() != before;
  };
  EXPECT_FALSE(moves([&] { (void)world.read(*file, 0, 8); }));
  EXPECT_TRUE(moves([&] { (void)world.write(*file, 0, 8, 'b'); }));
  EXPECT_TRUE(moves([&] { EXPECT_EQ(file->sync(), 0); }));
  EXPECT_TRUE(moves([&] { EXPECT_EQ(file->resize(0), 0); }));
  EXPECT_TRUE(moves([&] { (void)world.create("g"); }));
  EXPECT_TRUE(moves([&] { EXPECT_EQ(world.disk.sync_directory("g"), 0); }));
}

TEST_F(SimDiskLifeTest, TheDurableHashTellsFilesLengthsAndEntriesApart) {
  const auto hash_after = [&](const std::function<void(DiskWorld&, IoFile&, IoFile&)>& action) {
    DiskWorld world(choices);
    auto first = world.create("f"), second = world.create("g");
    (void)world.write(*first, 0, 8, 'a');
    (void)world.write(*second, 0, 8, 'a');
    EXPECT_EQ(first->sync() + second->sync(), 0);
    action(world, *first, *second);
    return world.disk.durable_hash();
  };
  const auto rot = [](DiskWorld& world, std::size_t file) {
    world.disk.files()[file]->durable.damage(3, {DamageKind::flipped, 5, 0});
  };
  using W = DiskWorld;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  int actions = 0;
  for (const auto& action : std::vector<std::function<void(W&, IoFile&, IoFile&)>>{
           [](W&, IoFile&, IoFile&) {},
           [&](W& world, IoFile&, IoFile&) { rot(world, 0); },
           [&](W& world, IoFile&, IoFile&) { rot(world, 1); },
           [&](W& world, IoFile&, IoFile&) { rot(world, 0), rot(world, 1); },
           [](W& world, IoFile&, IoFile&) { EXPECT_EQ(world.disk.sync_directory("g"), 0); },
           [](W&, IoFile& f, IoFile&) { EXPECT_EQ(f.resize(9 * kSectorBytes) + f.sync(), 0); },
           [](W&, IoFile&, IoFile& g) { EXPECT_EQ(g.resize(9 * kSectorBytes) + g.sync(), 0); },
       }) {
    const StateHash hash = hash_after(action);
    EXPECT_EQ(hash_after(action), hash) << "reproducible";
    EXPECT_TRUE(seen.insert({hash.low, hash.high}).second) << "action " << actions;
    ++actions;
  }
  // What only a process sees is not durable.
  const StateHash unsynced = hash_after([](W& world, IoFile& f, IoFile&) { (void)world.write(f, 0, 8, 'z'); });
  EXPECT_TRUE(seen.contains({unsynced.low, unsynced.high}));
}

TEST_F(SimDiskLifeTest, WritesOfSiblingImagesShareIdsButNotHashes) {
  const auto hash_of = [&](char letter, std::uint8_t depth) {
    DiskWorld world(choices, profile_named("nvme-512"), {}, depth, 50);
    auto file = world.create_durable(8, letter);
    EXPECT_EQ(world.submitted.back()->id, 50u);
    return world.disk.durable_hash();
  };
  EXPECT_NE(hash_of('a', 1), hash_of('b', 1));
  EXPECT_EQ(hash_of('a', 1), hash_of('a', 1));
}

TEST_F(SimDiskLifeTest, TheSameDecisionsGiveTheSameTrace) {
  const auto run = [](std::uint64_t seed) {
    PrngChoices random(seed);
    DiskWorld world(random);
    auto file = world.create_durable(32, 'a');
    std::vector<TaskId> tasks;
    for (std::uint64_t i = 0; i < 4; ++i) {
      tasks.push_back(world.spawn([&, i] {
        (void)world.write(*file, i * 8, 8, 'b');
        (void)world.read(*file, 0, 32);
        (void)file->sync();
      }));
    }
    for (const TaskId task : tasks) world.scheduler->join(task);
    return world.trace.hash();
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace pagedb::sim
