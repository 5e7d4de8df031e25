// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Crash: what a power loss may leave, what it must not, and that the ledger says what it did. Some tests take every
// decision themselves; the others look at many seeds and ask which outcomes exist at all.
// Lengths and names are in crash_length_test.cc.
#include "sim/crash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "sim/testing/disk_world.h"

namespace pagedb::sim {
namespace {

using faults::FaultKind;
using ::testing::IsSupersetOf;

enum Mode : std::uint32_t { kLoseAll = 1, kMixed = 4, kInOrder = 6, kEveryUnit = 7 };
enum UnitDraw : std::uint32_t { kKeep = 0, kLose = 7, kGarble = 14, kUnreadable = 15 };

class CrashTest : public ::testing::Test {
 protected:
  Scripted honest;  // of the origin
  Scripted fate;    // of the crash
  HarnessScope scope;

  /// What the crashes of `seeds` seeds leave of the first `sectors` sectors of the first file.
  static std::set<std::string> outcomes(const DiskWorld& origin, std::uint64_t sectors, std::uint64_t seeds = 600) {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      PrngChoices random(seed);
      seen.insert(origin.crash(random)->durable(sectors));
    }
    return seen;
  }
};

TEST_F(CrashTest, WhatWasSyncedIsNeverLost) {
  for (const std::string_view name : faults::profile_names()) {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      PrngChoices random(seed);
      DiskWorld world(random, profile_named(name));
      auto file = world.create_durable(64, 'a');
      EXPECT_EQ(world.write(*file, 16, 24, 'b').error, 0);
      EXPECT_EQ(world.write(*file, 64, 8, 'c').error, 0);
      EXPECT_EQ(file->sync(), 0);
      const auto image = world.crash(random);
      EXPECT_EQ(image->durable(72),
                std::string(16, 'a') + std::string(24, 'b') + std::string(24, 'a') + std::string(8, 'c'))
          << name;
      EXPECT_EQ(image->length(), 72u);
      EXPECT_TRUE(image->ledger.empty());
    }
  }
}

TEST_F(CrashTest, AnUnsyncedWriteIsKeptLostOrTornAtSectors) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  EXPECT_EQ(world.write(*file, 0, 4, 'b').error, 0);
  std::set<std::string> all;
  for (int bits = 0; bits < 16; ++bits) {
    std::string text;
    for (int i = 0; i < 4; ++i) text += (bits >> i & 1) != 0 ? 'b' : 'a';
    all.insert(text);
  }
  EXPECT_EQ(outcomes(world, 4), all);
}

TEST_F(CrashTest, AWriteInFlightMayHaveMadeItOrNot) {
  DiskWorld world(honest);
  auto file = world.create_durable(2, 'a');
  const TaskId writer = world.background([&] { (void)world.write(*file, 0, 2, 'b'); });
  EXPECT_EQ(outcomes(world, 2), (std::set<std::string>{"aa", "ab", "ba", "bb"}));
  world.scheduler->join(writer);
}

TEST_F(CrashTest, AllZerosLoseNothing) {
  for (const std::string_view name : faults::profile_names()) {
    DiskWorld world(honest, profile_named(name));
    auto file = world.create();
    EXPECT_EQ(world.write(*file, 0, 24, 'a').error, 0);
    const TaskId writer = world.background([&] { (void)world.write(*file, 8, 24, 'b'); });
    const auto image = world.crash(fate);
    EXPECT_EQ(image->durable(40), "aaaaaaaa" + std::string(24, 'b') + "........") << name;
    EXPECT_EQ(image->length(), 32u);
    EXPECT_TRUE(image->ledger.empty()) << name;
    EXPECT_NE(image->disk.file("f"), nullptr);
    world.scheduler->join(writer);
  }
}

TEST_F(CrashTest, TheSameDecisionsGiveTheSameImage) {
  DiskWorld world(honest, profile_named("flaky"));
  auto file = world.create_durable(32, 'a');
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(world.write(*file, i * 8, 16, 'b').error, 0);
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    PrngChoices random(seed);
    const auto one = world.crash(random), same = world.crash(random), other = world.crash(random, 1);
    EXPECT_EQ(one->disk.durable_hash(), same->disk.durable_hash());
    EXPECT_EQ(one->trace.hash(), same->trace.hash());
    EXPECT_EQ(one->durable(48), same->durable(48));
    hashes.insert(one->disk.durable_hash().low);
    hashes.insert(other->disk.durable_hash().low);
  }
  EXPECT_GT(hashes.size(), 60u);
}

TEST_F(CrashTest, TheOriginStaysAsItWas) {
  PrngChoices random(3);
  DiskWorld world(honest, profile_named("flaky"));
  auto file = world.create_durable(16, 'a');
  EXPECT_EQ(world.write(*file, 4, 20, 'b').error, 0);
  const StateHash hash = world.disk.durable_hash();
  for (int i = 0; i < 20; ++i) {
    const auto image = world.crash(random, static_cast<std::uint64_t>(i));
    auto opened = *image->disk.open("f", Access::read_write);
    (void)image->write(*opened, 0, 16, 'r');
    EXPECT_EQ(opened->resize(0) + opened->sync(), 0);
  }
  EXPECT_EQ(world.disk.durable_hash(), hash);
  EXPECT_EQ(world.read(*file, 0, 24), "aaaabbbbbbbbbbbbbbbbbbbb");
  EXPECT_EQ(world.durable(16), "aaaaaaaaaaaaaaaa");
  EXPECT_EQ(world.disk.files()[0]->pending.size(), 1u);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(24), "aaaabbbbbbbbbbbbbbbbbbbb");
}

TEST_F(CrashTest, AnAlignedRequestWithinTheAtomicUnitNeverTears) {
  DiskWorld world(honest, profile_named("nvme-awu16k"));
  auto file = world.create_durable(32, 'a');
  EXPECT_EQ(world.write(*file, 0, 32, 'b').error, 0);
  EXPECT_EQ(outcomes(world, 32), (std::set<std::string>{std::string(32, 'a'), std::string(32, 'b')}));
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.write(*file, 8, 8, 'c').error, 0);  // a smaller one, aligned to its own size
  const auto small = outcomes(world, 16);
  EXPECT_EQ(small, (std::set<std::string>{"bbbbbbbbbbbbbbbb", "bbbbbbbbcccccccc"}));
}

TEST_F(CrashTest, TheAtomicUnitPromisesNothingMore) {
  const auto tears = [this](std::uint64_t sector, std::uint64_t count) {
    DiskWorld world(honest, profile_named("nvme-awu16k"));
    auto file = world.create_durable(96, 'a');
    EXPECT_EQ(world.write(*file, sector, count, 'b').error, 0);
    return outcomes(world, 96, 100).size() > 2;
  };
  EXPECT_FALSE(tears(32, 32));
  EXPECT_TRUE(tears(0, 64)) << "larger than the unit";
  EXPECT_TRUE(tears(4, 8)) << "not aligned to its own size";
  EXPECT_TRUE(tears(0, 24)) << "not a power of two";
}

TEST_F(CrashTest, APhysicalSectorIsKeptOrLostAsAWhole) {
  for (const char* name : {"nvme-4k", "sata-512e"}) {
    DiskWorld world(honest, profile_named(name));
    auto file = world.create_durable(16, 'a');
    EXPECT_EQ(world.write(*file, 0, 16, 'b').error, 0);
    const std::string a(8, 'a'), b(8, 'b');
    EXPECT_EQ(outcomes(world, 16), (std::set<std::string>{a + a, a + b, b + a, b + b})) << name;
  }
}

TEST_F(CrashTest, OnAMisalignedPartitionAPageTearsAndItsNeighbourIsDamaged) {
  DiskWorld world(honest, profile_named("sata-512e-misaligned"));
  ASSERT_EQ(world.profile.partition_offset_bytes % 4096, 7 * kSectorBytes);
  auto file = world.create_durable(24, 'a');
  EXPECT_EQ(world.write(*file, 8, 8, 'b').error, 0);  // one sector at the end of one physical sector, seven of the next
  // What nobody was writing can be hit: physical sectors are [1, 9) and [9, 17) of the file.
  fate.then(Site::crash_mode, {kEveryUnit}).then(Site::unit_fate, {kGarble, kLose});
  auto image = world.crash(fate);
  EXPECT_EQ(image->durable(24), "a????????aaaaaaaaaaaaaaa");
  EXPECT_EQ(image->entered(FaultKind::neighbour_damage), 1);
  EXPECT_EQ(image->entered(FaultKind::torn_write), 1);
  for (const auto& fault : image->ledger.faults()) {
    if (fault.kind != FaultKind::neighbour_damage) continue;
    EXPECT_EQ(fault.offset, kSectorBytes);
    EXPECT_EQ(fault.size, 8 * kSectorBytes);
    EXPECT_EQ(fault.record, world.submitted.back()->id);
  }
  fate.then(Site::crash_mode, {kEveryUnit}).then(Site::unit_fate, {kKeep, kUnreadable});
  image = world.crash(fate);
  EXPECT_EQ(image->durable(24), "aaaaaaaab!!!!!!!!aaaaaaa");
  EXPECT_EQ(fate.unused(), 0u);
  // Over many seeds: torn between the two, and never at other places.
  std::set<std::string> undamaged;
  for (const std::string& text : outcomes(world, 24)) {
    if (text.find_first_of("?!") == std::string::npos) undamaged.insert(text);
  }
  EXPECT_EQ(undamaged, (std::set<std::string>{"aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaabbbbbbbbaaaaaaaa",
                                              "aaaaaaaabaaaaaaaaaaaaaaa", "aaaaaaaaabbbbbbbaaaaaaaa"}));
}

TEST_F(CrashTest, TheFirstSectorsOfAMisalignedFileHaveNoNeighboursBeforeThem) {
  DiskWorld world(honest, profile_named("sata-512e-misaligned"));
  auto file = world.create_durable(16, 'a');
  EXPECT_EQ(world.write(*file, 0, 8, 'b').error, 0);
  fate.then(Site::crash_mode, {kEveryUnit}).then(Site::unit_fate, {kUnreadable, kLose});
  const auto image = world.crash(fate);
  EXPECT_EQ(image->durable(16), "!aaaaaaaaaaaaaaa");
}

TEST_F(CrashTest, NothingPastTheEndOfTheFileIsDamaged) {
  DiskWorld world(honest, profile_named("sata-512e-misaligned"));
  auto file = world.create_durable(16, 'a');
  EXPECT_EQ(world.write(*file, 8, 8, 'b').error, 0);  // its last physical sector is [9, 17)
  fate.then(Site::crash_mode, {kEveryUnit}).then(Site::unit_fate, {kKeep, kGarble});
  const auto image = world.crash(fate);
  EXPECT_EQ(image->durable(17), "aaaaaaaab???????.");
  for (const auto& fault : image->ledger.faults()) {
    if (fault.kind == FaultKind::neighbour_damage) {
      EXPECT_EQ(fault.size, 7 * kSectorBytes);
    }
  }
}

TEST_F(CrashTest, AKeptReadModifyWriteCarriesTheEarlierOnesOfItsSector) {
  DiskWorld world(honest, profile_named("sata-512e"));
  auto file = world.create_durable(8, 'a');
  EXPECT_EQ(world.write(*file, 0, 2, 'b').error, 0);
  EXPECT_EQ(world.write(*file, 4, 2, 'c').error, 0);
  EXPECT_EQ(outcomes(world, 8), (std::set<std::string>{"aaaaaaaa", "bbaaaaaa", "bbaaccaa"}));
  // So does one over a write of the whole sector.
  EXPECT_EQ(world.write(*file, 0, 8, 'd').error, 0);
  EXPECT_EQ(world.write(*file, 7, 1, 'e').error, 0);
  EXPECT_EQ(outcomes(world, 8), (std::set<std::string>{"aaaaaaaa", "bbaaaaaa", "bbaaccaa", "dddddddd", "ddddddde"}));
}

TEST_F(CrashTest, DamageLiesUnderALaterWriteOfTheWholeSector) {
  DiskWorld world(honest, profile_named("flaky"));
  auto file = world.create_durable(1, 'a');
  EXPECT_EQ(world.write(*file, 0, 1, 'b').error, 0);
  EXPECT_EQ(world.write(*file, 0, 1, 'c').error, 0);
  fate.then(Site::crash_mode, {kEveryUnit}).then(Site::unit_fate, {kKeep, kGarble});  // newest first
  const auto image = world.crash(fate);
  EXPECT_EQ(image->durable(1), "c");
  EXPECT_EQ(image->entered(FaultKind::torn_write), 0);
  EXPECT_EQ(image->entered(FaultKind::lost_write), 1);
  fate.then(Site::crash_mode, {kEveryUnit}).then(Site::unit_fate, {kLose, kGarble});
  EXPECT_EQ(world.crash(fate)->durable(1), "?");
}

TEST_F(CrashTest, OnlyProfilesThatSaySoLeaveGarbageOrUnreadableSectors) {
  for (const std::string_view name : faults::profile_names()) {
    DiskWorld world(honest, profile_named(name));
    auto file = world.create_durable(24, 'a');
    const TaskId writer = world.background([&] { (void)world.write(*file, 8, 8, 'b'); });
    std::string seen;
    for (const std::string& text : outcomes(world, 24)) seen += text;
    EXPECT_EQ(seen.find('?') != std::string::npos, world.profile.crash_garbles) << name;
    EXPECT_EQ(seen.find('!') != std::string::npos, world.profile.crash_unreadable) << name;
    world.scheduler->join(writer);
  }
}

TEST_F(CrashTest, WithoutTearsARequestIsThereOrNot) {
  DiskWorld world(honest);
  world.profile.crash_tears = false;
  auto file = world.create_durable(16, 'a');
  EXPECT_EQ(world.write(*file, 0, 16, 'b').error, 0);
  EXPECT_EQ(outcomes(world, 16), (std::set<std::string>{std::string(16, 'a'), std::string(16, 'b')}));
}

TEST_F(CrashTest, AnyVersionSinceTheFloorMaySurvive) {
  DiskWorld world(honest);
  auto file = world.create_durable(1, 'a');
  for (const char letter : {'b', 'c', 'd'}) EXPECT_EQ(world.write(*file, 0, 1, letter).error, 0);
  EXPECT_EQ(outcomes(world, 1), (std::set<std::string>{"a", "b", "c", "d"}));
}

TEST_F(CrashTest, AWriteThatAFailedFlushDroppedNeverComesBackOverANewerSyncedOne) {
  DiskWorld world(honest);
  auto file = world.create_durable(16, 'a');
  EXPECT_EQ(world.write(*file, 0, 16, 'b').error, 0);
  world.plan.flush_failure = 65'536;
  honest.then(Site::io_fault, {65'535});
  EXPECT_EQ(file->sync(), EIO);
  world.plan = {};
  EXPECT_THAT(outcomes(world, 1), IsSupersetOf({"a", "b"})) << "dropped: there or not";
  EXPECT_EQ(world.write(*file, 0, 8, 'c').error, 0);
  EXPECT_EQ(file->sync(), 0);
  ASSERT_EQ(world.disk.files()[0]->pending.size(), 1u) << "half of it is still possible";
  EXPECT_EQ(outcomes(world, 8), std::set<std::string>{"cccccccc"});
  EXPECT_GT(outcomes(world, 16).size(), 100u);
}

TEST_F(CrashTest, NorDoesTheRestOfItsSectorBringItBack) {
  DiskWorld world(honest, profile_named("sata-512e"));
  auto file = world.create_durable(8, 'a');
  world.plan.write_error = 65'536;
  honest.then(Site::io_fault, {65'535});
  EXPECT_EQ(world.write(*file, 0, 8, 'b').error, EIO);
  world.plan = {};
  EXPECT_EQ(world.write(*file, 0, 2, 'c').error, 0);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(outcomes(world, 8), (std::set<std::string>{"ccaaaaaa", "ccbbbbbb"}));
}

TEST_F(CrashTest, WhatTheDeviceGaveUpDamagesNothing) {
  for (const bool flush : {false, true}) {
    DiskWorld world(honest, profile_named("sata-512e-misaligned"));
    auto file = world.create_durable(24, 'a');
    world.plan = flush ? faults::FaultPlan{.flush_failure = 65'536} : faults::FaultPlan{.write_error = 65'536};
    honest.always(Site::io_fault, 65'535);
    EXPECT_EQ(world.write(*file, 8, 8, 'b').error, flush ? 0 : EIO);
    EXPECT_EQ(file->sync(), flush ? EIO : 0);
    honest.always(Site::io_fault, 0);
    for (const std::string& text : outcomes(world, 24)) {
      EXPECT_EQ(text.find_first_of("?!"), std::string::npos) << text;
      EXPECT_EQ(text.substr(0, 8) + text.substr(16), std::string(16, 'a'));
    }
  }
}

TEST_F(CrashTest, AnOlderWriteThatIsStillPendingHarmsNoNewerSyncedOne) {
  DiskWorld world(honest, profile_named("flaky"));
  auto file = world.create_durable(16, 'a');
  world.profile.write_latency_ns = 10'000'000;
  const TaskId slow = world.background([&] { (void)world.write(*file, 0, 16, 'b'); });
  world.profile.write_latency_ns = 1000;
  EXPECT_EQ(world.write(*file, 4, 4, 'c').error, 0);
  EXPECT_EQ(file->sync(), 0);
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    PrngChoices random(seed);
    EXPECT_EQ(world.crash(random)->durable(4, 4), "cccc");
  }
  world.scheduler->join(slow);
}

TEST_F(CrashTest, WhatSurvivedOneCrashSurvivesTheNext) {
  DiskWorld world(honest);
  auto file = world.create();
  EXPECT_EQ(world.write(*file, 0, 8, 'a').error, 0);
  PrngChoices random(11);
  const auto first = world.crash(fate);
  for (std::uint64_t i = 0; i < 50; ++i) {
    const auto second = first->crash(random, i);
    EXPECT_EQ(second->durable(8), "aaaaaaaa");
    EXPECT_EQ(second->length(), 8u);
    EXPECT_TRUE(second->ledger.empty());
  }
}

TEST_F(CrashTest, UnsyncedWritesOfARecoveryAreAtTheMercyOfTheNextCrash) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  EXPECT_EQ(world.write(*file, 0, 2, 'b').error, 0);
  const auto image = world.crash(fate);
  auto opened = *image->disk.open("f", Access::read_write);
  EXPECT_GT(image->disk.next_record(), world.submitted.back()->id);
  EXPECT_EQ(image->write(*opened, 1, 2, 'r').error, 0);
  EXPECT_GT(image->submitted.back()->id, world.submitted.back()->id);
  EXPECT_EQ(outcomes(*image, 4), (std::set<std::string>{"bbaa", "braa", "bbra", "brra"}));
  EXPECT_EQ(opened->sync(), 0);
  EXPECT_EQ(outcomes(*image, 4), std::set<std::string>{"brra"});
  EXPECT_EQ(outcomes(world, 4), (std::set<std::string>{"aaaa", "abaa", "baaa", "bbaa"})) << "the origin knows nothing";
}

TEST_F(CrashTest, TheLedgerSaysWhatHappened) {
  DiskWorld world(honest);
  auto file = world.create_durable(12, 'a');
  EXPECT_EQ(world.write(*file, 0, 4, 'b').error, 0);
  EXPECT_EQ(world.write(*file, 4, 4, 'c').error, 0);
  EXPECT_EQ(world.write(*file, 8, 4, 'd').error, 0);
  const std::uint64_t last = world.submitted.back()->id;
  const auto crash = [&](std::initializer_list<std::uint32_t> requests, std::initializer_list<std::uint32_t> units) {
    fate.then(Site::crash_mode, {kMixed}).then(Site::request_fate, requests).then(Site::unit_fate, units);
    auto image = world.crash(fate);
    EXPECT_EQ(fate.unused(), 0u);
    return image;
  };
  enum : std::uint32_t { keep = 0, lose = 2, tear = 3 };  // newest first

  auto image = crash({keep, tear, keep}, {kKeep, kLose, kKeep, kLose});
  EXPECT_EQ(image->durable(12), "bbbbcacadddd");
  ASSERT_EQ(image->ledger.faults().size(), 1u);
  EXPECT_EQ(image->ledger.faults()[0].kind, FaultKind::torn_write);
  EXPECT_EQ(image->ledger.faults()[0].record, last - 1);
  EXPECT_EQ(image->ledger.faults()[0].offset, 4 * kSectorBytes);
  EXPECT_EQ(image->ledger.faults()[0].size, 4 * kSectorBytes);

  image = crash({keep, keep, lose}, {});
  EXPECT_EQ(image->durable(12), "aaaaccccdddd");
  ASSERT_EQ(image->ledger.faults().size(), 2u);
  EXPECT_EQ(image->ledger.faults()[0].kind, FaultKind::lost_write);
  EXPECT_EQ(image->ledger.faults()[0].record, last - 2);
  EXPECT_EQ(image->ledger.faults()[1].kind, FaultKind::reordered_write);
  EXPECT_EQ(image->ledger.faults()[1].record, last - 1);

  image = crash({lose, lose, keep}, {});
  EXPECT_EQ(image->durable(12), "bbbbaaaaaaaa");
  EXPECT_EQ(image->entered(FaultKind::lost_write), 2);
  EXPECT_EQ(image->entered(FaultKind::reordered_write), 0);

  // All sectors of a tear kept, or none: no tear.
  image = crash({tear, tear, keep}, {kKeep, kKeep, kKeep, kKeep, kLose, kLose, kLose, kLose});
  EXPECT_EQ(image->durable(12), "bbbbaaaadddd");
  EXPECT_EQ(image->entered(FaultKind::torn_write), 0);
  EXPECT_EQ(image->entered(FaultKind::lost_write), 1);
  EXPECT_EQ(image->entered(FaultKind::reordered_write), 1);
}

TEST_F(CrashTest, AWriteInFlightThatIsLostIsNoFault) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  const TaskId writer = world.background([&] { (void)world.write(*file, 0, 4, 'b'); });
  fate.then(Site::crash_mode, {kLoseAll});
  const auto image = world.crash(fate);
  EXPECT_EQ(image->durable(4), "aaaa");
  EXPECT_TRUE(image->ledger.empty());
  world.scheduler->join(writer);
}

TEST_F(CrashTest, InOrderModeKeepsAPrefixOfTheWrites) {
  DiskWorld world(honest);
  auto file = world.create_durable(4, 'a');
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(world.write(*file, i, 1, 'b').error, 0);
  for (std::uint32_t lost = 0; lost <= 4; ++lost) {
    fate.then(Site::crash_mode, {kInOrder}).then(Site::request_fate, {lost}).always(Site::unit_fate, kLose);
    EXPECT_EQ(world.crash(fate)->durable(4), std::string(4 - lost, 'b') + std::string(lost, 'a'));
  }
}

TEST_F(CrashTest, PowerLossProtectionLeavesOnlyWhatWasInFlight) {
  DiskWorld world(honest, profile_named("nvme-plp"));
  auto file = world.create();
  EXPECT_EQ(world.disk.sync_directory("f"), 0);
  EXPECT_EQ(world.write(*file, 0, 4, 'a').error, 0);
  const TaskId writer = world.background([&] { (void)world.write(*file, 2, 2, 'b'); });
  EXPECT_EQ(outcomes(world, 4), (std::set<std::string>{"aaaa", "aaab", "aaba", "aabb"}));
  world.scheduler->join(writer);
  EXPECT_EQ(outcomes(world, 4), std::set<std::string>{"aabb"});
}

}  // namespace
}  // namespace pagedb::sim
