// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimDisk with faults: each kind does what the taxonomy says, is entered in the ledger, and is told to the observer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cerrno>
#include <set>
#include <string>

#include "sim/sim_disk.h"
#include "sim/testing/disk_world.h"

namespace pagedb::sim {
namespace {

using faults::FaultKind;
using faults::FaultPlan;
using ::testing::ElementsAre;

constexpr std::uint32_t kHit = FaultPlan::kDice - 1;  // the roll that every plan with one certain fault answers to

class SimDiskFaultsTest : public ::testing::Test {
 protected:
  Scripted choices;
  HarnessScope scope;

  /// From the next request on, requests that `plan` can hit are hit.
  void break_down(DiskWorld& world, const FaultPlan& plan, std::initializer_list<std::uint32_t> rolls) {
    world.plan = plan;
    choices.then(Site::io_fault, rolls);
  }
  static void expect_one(const DiskWorld& world, FaultKind kind, int sys_errno) {
    ASSERT_EQ(world.ledger.faults().size(), 1u);
    EXPECT_EQ(world.ledger.faults()[0].kind, kind);
    EXPECT_EQ(world.ledger.faults()[0].sys_errno, sys_errno);
    EXPECT_EQ(world.ledger.faults()[0].file, 1u);
    EXPECT_FALSE(world.ledger.faults()[0].closed);
    EXPECT_THAT(world.told, ElementsAre(kind));
  }
};

TEST_F(SimDiskFaultsTest, AnHonestPlanThrowsNoDice) {
  PrngChoices random(1);
  RecordingChoices recorded(random);
  DiskWorld world(recorded);
  auto file = world.create_durable(8, 'a');
  EXPECT_EQ(file->resize(0), 0);
  for (const RecordedChoice& choice : recorded.log()) EXPECT_NE(choice.key.site, Site::io_fault);
}

TEST_F(SimDiskFaultsTest, OnlyTheFaultyPathIsHit) {
  DiskWorld world(choices);
  auto good = world.create_durable(8, 'a', "good"), bad = world.create_durable(8, 'b', "bad");
  DiskSetup setup = world.disk.setup();
  world.plan.read_error = FaultPlan::kDice;
  choices.always(Site::io_fault, kHit);
  good.reset(), bad.reset();
  setup.faulty_path = "bad";
  world.disk.reset(setup);
  good = world.create("good"), bad = world.create("bad");
  EXPECT_EQ(world.read(*good, 0, 8), "");
  EXPECT_EQ(world.read(*bad, 0, 8), "error " + std::to_string(EIO));
}

TEST_F(SimDiskFaultsTest, ReadError) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  break_down(world, {.read_error = 65'536}, {kHit, 0});
  EXPECT_EQ(world.read(*file, 0, 8), "error " + std::to_string(EIO));
  EXPECT_EQ(world.read(*file, 0, 8), "aaaaaaaa") << "one read failed; the next does not";
  expect_one(world, FaultKind::read_error, EIO);
  EXPECT_EQ(world.ledger.faults()[0].size, kBlockBytes);
}

TEST_F(SimDiskFaultsTest, WriteErrorLeavesAnyPrefixVisibleAndIsNeverCovered) {
  for (std::uint32_t prefix = 0; prefix <= 8; ++prefix) {
    DiskWorld world(choices);
    auto file = world.create_durable(8, 'a');
    break_down(world, {.write_error = 65'536}, {kHit, 0});
    choices.then(Site::fault_detail, {prefix});
    EXPECT_EQ(world.write(*file, 0, 8, 'b').error, EIO);
    expect_one(world, FaultKind::write_error, EIO);
    EXPECT_EQ(world.ledger.faults()[0].record, world.submitted.back()->id);
    EXPECT_EQ(world.read(*file, 0, 8), std::string(prefix, 'b') + std::string(8 - prefix, 'a'));
    EXPECT_EQ(file->sync(), 0);
    EXPECT_EQ(world.durable(8), "aaaaaaaa") << "no sync answers for a write that failed";
    // It stays possible until something newer is durable there.
    EXPECT_EQ(world.disk.files()[0]->pending.size(), 1u);
    EXPECT_EQ(world.write(*file, 0, 8, 'c').error, 0);
    EXPECT_EQ(file->sync(), 0);
    EXPECT_TRUE(world.disk.files()[0]->pending.empty());
    EXPECT_EQ(world.read(*file, 0, 8), "cccccccc");
  }
}

TEST_F(SimDiskFaultsTest, AFailedWriteExtendsTheFileOnlyByWhatIsVisible) {
  for (std::uint32_t prefix : {0u, 3u}) {
    DiskWorld world(choices);
    auto file = world.create_durable(4, 'a');
    break_down(world, {.write_error = 65'536}, {kHit, 0});
    choices.then(Site::fault_detail, {prefix});
    EXPECT_EQ(world.write(*file, 8, 4, 'b').error, EIO);
    EXPECT_EQ(world.length(), prefix == 0 ? 4u : 11u);
    EXPECT_EQ(file->sync(), 0);
    EXPECT_EQ(world.durable_length(), prefix == 0 ? 4u : 11u);
  }
}

TEST_F(SimDiskFaultsTest, NoSpaceHitsOnlyWhatExtends) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  world.plan.no_space = 65'536;
  choices.always(Site::io_fault, kHit);
  EXPECT_EQ(world.write(*file, 0, 8, 'b').error, 0);
  EXPECT_TRUE(world.told.empty());
  EXPECT_EQ(world.write(*file, 4, 8, 'c').error, ENOSPC);
  expect_one(world, FaultKind::no_space, ENOSPC);
  EXPECT_EQ(file->resize(16 * kSectorBytes), ENOSPC);
  EXPECT_EQ(file->resize(4 * kSectorBytes), 0) << "shrinking always finds space";
  EXPECT_EQ(world.ledger.faults().size(), 2u);
  EXPECT_EQ(world.read(*file, 0, 16), "bbbb");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(16), "bbbb............");
  EXPECT_TRUE(world.disk.files()[0]->pending.empty()) << "nothing of it lands, ever";
}

TEST_F(SimDiskFaultsTest, AFailedFlushThatDropsForgetsTheDataForGood) {
  DiskWorld world(choices);
  ASSERT_EQ(world.profile.failed_flush, faults::FailedFlush::drop);
  auto file = world.create_durable(8, 'a');
  EXPECT_EQ(world.write(*file, 0, 8, 'b').error, 0);
  break_down(world, {.flush_failure = 65'536}, {kHit, 0});
  EXPECT_EQ(file->sync(), EIO);
  expect_one(world, FaultKind::flush_failure, EIO);
  EXPECT_EQ(world.durable(8), "aaaaaaaa");
  EXPECT_EQ(file->sync(), 0) << "the retry says Ok ...";
  EXPECT_EQ(world.durable(8), "aaaaaaaa") << "... and has written nothing";
  EXPECT_EQ(world.read(*file, 0, 8), "bbbbbbbb") << "a process still sees it";
}

TEST_F(SimDiskFaultsTest, AFailedFlushThatKeepsIsMendedByTheNext) {
  DiskWorld world(choices, profile_named("flaky"));
  ASSERT_EQ(world.profile.failed_flush, faults::FailedFlush::keep);
  auto file = world.create_durable(8, 'a');
  EXPECT_EQ(world.write(*file, 0, 8, 'b').error, 0);
  break_down(world, {.flush_failure = 65'536}, {kHit, 0});
  EXPECT_EQ(file->sync(), EIO);
  EXPECT_EQ(world.durable(8), "aaaaaaaa");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8), "bbbbbbbb");
}

TEST_F(SimDiskFaultsTest, AFailedFlushSparesWhatItDidNotCover) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  break_down(world, {.flush_failure = 65'536}, {kHit});
  const TaskId syncer = world.background([&] { EXPECT_EQ(file->sync(), EIO); });
  world.plan = {};
  EXPECT_EQ(world.write(*file, 0, 8, 'b').error, 0);  // submitted after the sync
  world.scheduler->join(syncer);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8), "bbbbbbbb");
}

TEST_F(SimDiskFaultsTest, SyncDirectoryFailsToo) {
  DiskWorld world(choices);
  auto file = world.create();
  break_down(world, {.flush_failure = 65'536}, {kHit, 0});
  EXPECT_EQ(world.disk.sync_directory("f"), EIO);
  expect_one(world, FaultKind::flush_failure, EIO);
  EXPECT_FALSE(world.disk.files()[0]->entry_durable);
  EXPECT_EQ(world.disk.sync_directory("f"), 0);
  EXPECT_TRUE(world.disk.files()[0]->entry_durable);
}

TEST_F(SimDiskFaultsTest, ShortTransfersMoveSomeSectorsAndNotAll) {
  std::set<std::size_t> reads, writes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    PrngChoices random(seed);
    DiskWorld world(random);
    auto file = world.create_durable(8, 'a');
    world.plan.short_transfer = 65'536;
    AlignedBuffer memory = *AlignedBuffer::allocate(kBlockBytes);
    const IoStatus read = DiskWorld::run_one(*file, {IoOp::read, 0, memory.span().data(), kBlockBytes});
    const IoStatus written = world.write(*file, 0, 8, 'b');
    EXPECT_EQ(read.error, 0);
    EXPECT_EQ(written.error, 0);
    reads.insert(read.bytes);
    writes.insert(written.bytes);
    const auto sectors = written.bytes / kSectorBytes;
    EXPECT_EQ(world.seen(8), std::string(sectors, 'b') + std::string(8 - sectors, 'a'));
    EXPECT_THAT(world.told, ElementsAre(FaultKind::short_transfer, FaultKind::short_transfer));
    // One sector cannot be cut any shorter.
    EXPECT_EQ(world.write(*file, 0, 1, 'c').bytes, kSectorBytes);
    EXPECT_EQ(world.told.size(), 2u);
    EXPECT_EQ(file->sync(), 0);
    EXPECT_EQ(world.durable(8), world.seen(8)) << "the part that was moved is as durable as any";
  }
  std::set<std::size_t> possible;
  for (std::size_t i = 1; i < 8; ++i) possible.insert(i * kSectorBytes);
  EXPECT_EQ(reads, possible);
  EXPECT_EQ(writes, possible);
}

TEST_F(SimDiskFaultsTest, AShortTransferOfLargeSectorsIsCutBetweenThem) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    PrngChoices random(seed);
    DiskWorld world(random, profile_named("nvme-4k"));
    auto file = world.create_durable(32, 'a');
    world.plan.short_transfer = 65'536;
    const std::size_t bytes = world.write(*file, 0, 32, 'b').bytes;
    EXPECT_EQ(bytes % 4096, 0u);
    EXPECT_GT(bytes, 0u);
    EXPECT_LT(bytes, 32 * kSectorBytes);
  }
}

TEST_F(SimDiskFaultsTest, TransientErrorsHaveNoEffect) {
  for (const char* profile : {"nvme-512", "nvme-4k"}) {
    for (const std::uint32_t which : {0u, 1u}) {
      const int error = which == 0 ? EINTR : EAGAIN;
      DiskWorld world(choices, profile_named(profile));
      auto file = world.create_durable(8, 'a');
      break_down(world, {.transient_error = 65'536}, {kHit, kHit, kHit, 0});
      choices.then(Site::fault_detail, {which, which});
      EXPECT_EQ(world.write(*file, 0, 16, 'b').error, error);
      EXPECT_EQ(world.read(*file, 0, 8), "error " + std::to_string(error));
      EXPECT_EQ(file->sync(), EINTR);
      EXPECT_THAT(world.told,
                  ElementsAre(FaultKind::transient_error, FaultKind::transient_error, FaultKind::transient_error));
      EXPECT_EQ(world.ledger.faults()[0].sys_errno, error);
      EXPECT_EQ(world.read(*file, 0, 16), "aaaaaaaa");
      EXPECT_TRUE(world.disk.files()[0]->pending.empty());
    }
  }
}

TEST_F(SimDiskFaultsTest, AMisdirectedWriteLandsElsewhere) {
  DiskWorld world(choices);
  auto file = world.create_durable(32, 'a');
  break_down(world, {.misdirected_write = 65'536}, {kHit});
  choices.then(Site::fault_detail, {3});
  const IoStatus status = world.write(*file, 8, 8, 'm');
  EXPECT_EQ(status.error, 0) << "nobody is told";
  EXPECT_EQ(status.bytes, kBlockBytes);
  expect_one(world, FaultKind::misdirected_write, 0);
  EXPECT_EQ(world.ledger.faults()[0].intended, 8 * kSectorBytes);
  EXPECT_EQ(world.ledger.faults()[0].offset, 24 * kSectorBytes);
  EXPECT_TRUE(world.submitted.back()->misdirected());
  EXPECT_EQ(world.seen(32), "aaaaaaaaaaaaaaaaaaaaaaaammmmmmmm");
  world.plan = {};
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(32), "aaaaaaaaaaaaaaaaaaaaaaaammmmmmmm") << "and it is as durable as any";
}

TEST_F(SimDiskFaultsTest, ADroppedWriteNeverHappened) {
  DiskWorld world(choices);
  auto file = world.create_durable(32, 'a');
  break_down(world, {.dropped_write = 65'536}, {kHit});
  const IoStatus status = world.write(*file, 8, 8, 'm');
  EXPECT_EQ(status.error, 0) << "nobody is told";
  EXPECT_EQ(status.bytes, kBlockBytes);
  expect_one(world, FaultKind::dropped_write, 0);
  EXPECT_EQ(world.ledger.faults()[0].offset, 8 * kSectorBytes);
  EXPECT_TRUE(world.submitted.back()->misdirected()) << "it is not where it was sent";
  EXPECT_EQ(world.seen(32), std::string(32, 'a'));
  EXPECT_TRUE(world.disk.files()[0]->pending.empty());
  world.plan = {};
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(32), std::string(32, 'a'));
}

TEST_F(SimDiskFaultsTest, AWriteThatExtendsTheFileIsNotDropped) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  break_down(world, {.dropped_write = 65'536}, {kHit});
  EXPECT_EQ(world.write(*file, 8, 8, 'm').error, 0);
  EXPECT_TRUE(world.ledger.empty());
  EXPECT_EQ(world.seen(16), "aaaaaaaammmmmmmm");
}

TEST_F(SimDiskFaultsTest, AWriteIsNotMisdirectedToItsOwnPlaceOrOutOfTheFile) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    PrngChoices random(seed);
    DiskWorld world(random);
    auto file = world.create_durable(20, 'a');
    world.plan.misdirected_write = 65'536;
    (void)world.write(*file, 2, 8, 'm');   // places of 8 sectors that start at 2, 10; 18 would end outside
    (void)world.write(*file, 16, 8, 'e');  // extends: goes where it was sent
    EXPECT_EQ(world.seen(8, 16), "eeeeeeee");
    EXPECT_EQ(world.length(), 24u);
    for (const auto& fault : world.ledger.faults()) EXPECT_NE(fault.offset, fault.intended);
    const bool moved = !world.ledger.empty();
    EXPECT_EQ(world.seen(16), moved ? "aaaaaaaaaammmmmm" : "aammmmmmmmaaaaaa");
  }
}

TEST_F(SimDiskFaultsTest, BitRotFlipsOneBitOfADurableSectorForGood) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    PrngChoices random(seed);
    DiskWorld world(random);
    auto file = world.create_durable(32, 'a');
    Span span(Span(), 77, seed);
    ASSERT_TRUE(world.disk.damage_something(span, *world.disk.files()[0], FaultKind::bit_rot));
    expect_one(world, FaultKind::bit_rot, 0);
    EXPECT_EQ(world.ledger.faults()[0].size, kSectorBytes);
    AlignedBuffer memory = *AlignedBuffer::allocate(32 * kSectorBytes);
    for (int attempt = 0; attempt < 2; ++attempt) {
      ASSERT_EQ(DiskWorld::run_one(*file, {IoOp::read, 0, memory.span().data(), memory.span().size()}).error, 0);
      int bits = 0;
      for (std::size_t i = 0; i < memory.span().size(); ++i) {
        const auto difference = std::to_integer<unsigned>(memory.span()[i] ^ std::byte{'a'});
        bits += std::popcount(difference);
        EXPECT_TRUE(difference == 0 || i / kSectorBytes * kSectorBytes == world.ledger.faults()[0].offset);
      }
      EXPECT_EQ(bits, 1);
    }
    EXPECT_EQ(world.write(*file, 0, 32, 'b').error, 0);
    EXPECT_EQ(world.read(*file, 0, 32), std::string(32, 'b'));
    EXPECT_EQ(file->sync(), 0);
    EXPECT_EQ(world.durable(32), std::string(32, 'b'));
  }
}

TEST_F(SimDiskFaultsTest, ALatentErrorStaysUntilTheSectorIsRewritten) {
  DiskWorld world(choices);
  auto file = world.create_durable(16, 'a');
  break_down(world, {.latent_sector_error = 65'536}, {kHit});
  choices.then(Site::fault_detail, {1, 3, 0});  // block, sector of it, and a bit that means nothing here
  EXPECT_EQ(file->sync(), 0) << "the medium is hit, not the request";
  expect_one(world, FaultKind::latent_sector_error, 0);
  EXPECT_EQ(world.ledger.faults()[0].offset, 11 * kSectorBytes);
  world.plan = {};
  const std::string eio = "error " + std::to_string(EIO);
  EXPECT_EQ(world.read(*file, 8, 8), eio);
  EXPECT_EQ(world.read(*file, 8, 8), eio);
  EXPECT_EQ(world.read(*file, 0, 8), "aaaaaaaa");
  EXPECT_EQ(world.ledger.faults().size(), 1u) << "each answer is the same fault";
  EXPECT_EQ(world.write(*file, 11, 1, 'b').error, 0);
  EXPECT_EQ(world.read(*file, 8, 8), "aaabaaaa");
  EXPECT_EQ(world.durable(8, 8), "aaa!aaaa") << "until a sync, the rewrite is not on the medium";
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8, 8), "aaabaaaa");
}

TEST_F(SimDiskFaultsTest, DamageTakesOnlyDurableSectorsThatAreStillWhole) {
  DiskWorld world(choices);
  auto file = world.create();
  FileState& state = *world.disk.files()[0];
  Span span;
  EXPECT_FALSE(world.disk.damage_something(span, state, FaultKind::bit_rot)) << "nothing durable";
  EXPECT_EQ(world.write(*file, 0, 4, 'a').error, 0);
  EXPECT_FALSE(world.disk.damage_something(span, state, FaultKind::bit_rot));
  EXPECT_EQ(file->sync(), 0);
  choices.then(Site::fault_detail, {5, 0});  // the one block is no decision; a sector that was never written
  EXPECT_FALSE(world.disk.damage_something(span, state, FaultKind::bit_rot));
  choices.then(Site::fault_detail, {2, 0, 2, 1});
  EXPECT_TRUE(world.disk.damage_something(span, state, FaultKind::bit_rot));
  EXPECT_FALSE(world.disk.damage_something(span, state, FaultKind::bit_rot)) << "once is enough";
  EXPECT_EQ(world.ledger.faults().size(), 1u);
  EXPECT_EQ(choices.unused(), 0u);
}

TEST_F(SimDiskFaultsTest, AFaultCarriesTheFiberWhoseRequestItHit) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  break_down(world, {.read_error = 65'536}, {kHit, kHit});
  std::vector<std::uint16_t> fibers;
  std::vector<TaskId> tasks;
  for (int i = 0; i < 2; ++i) {
    tasks.push_back(world.spawn([&] {
      fibers.push_back(world.scheduler->fiber_number());
      (void)world.read(*file, 0, 8);
    }));
  }
  for (const TaskId task : tasks) world.scheduler->join(task);
  ASSERT_EQ(world.ledger.faults().size(), 2u);
  EXPECT_EQ(world.ledger.faults()[0].fiber, fibers[0]);
  EXPECT_EQ(world.ledger.faults()[1].fiber, fibers[1]);
  EXPECT_NE(fibers[0], fibers[1]);
}

}  // namespace
}  // namespace pagedb::sim
