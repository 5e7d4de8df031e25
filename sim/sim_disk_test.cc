// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimDisk as an honest device: who may open, what is refused, what is visible when, and what a sync covers. What it
// tells the harness, and its end, are in sim_disk_life_test.cc; faults in sim_disk_faults_test.cc; crashes in
// crash_test.cc.
#include "sim/sim_disk.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

#include "sim/testing/disk_world.h"

namespace pagedb::sim {
namespace {

constexpr std::uint64_t kWriteNs = 20'000, kReadNs = 80'000, kSyncNs = 500'000;  // of nvme-512, without jitter

/// Tasks of these tests share data that only joins and the virtual clock order.
class SimDiskTest : public ::testing::Test {
 protected:
  Scripted choices;
  HarnessScope scope;
};

TEST_F(SimDiskTest, RefusesWhatIsNotAlignedAlways) {
  for (const char* name : {"nvme-512", "nvme-4k"}) {
    DiskWorld world(choices, profile_named(name));
    const auto file = world.create();
    const std::uint32_t sector = world.profile.logical_sector_bytes, memory_align = world.profile.memory_align_bytes;
    EXPECT_EQ(file->limits().offset_align, sector);
    EXPECT_EQ(file->limits().memory_align, memory_align);
    AlignedBuffer memory = *AlignedBuffer::allocate(8 * sector);
    std::byte* data = memory.span().data();
    for (const IoOp op : {IoOp::read, IoOp::write}) {
      for (const IoRequest& bad :
           {IoRequest{op, 0, data, 0}, IoRequest{op, 1, data, sector}, IoRequest{op, sector / 2, data, sector},
            IoRequest{op, 0, data, sector + 1}, IoRequest{op, 0, data, sector / 2}, IoRequest{op, 0, data + 1, sector},
            IoRequest{op, 0, data + memory_align / 2, sector},
            IoRequest{op, ~std::uint64_t{0} - sector + 1, data, 2 * sector}}) {
        const IoStatus status = DiskWorld::run_one(*file, bad);
        EXPECT_EQ(status.error, EINVAL) << name << " offset " << bad.offset << " size " << bad.size;
        EXPECT_EQ(status.bytes, 0u);
      }
      EXPECT_EQ(DiskWorld::run_one(*file, {op, sector, data + memory_align, sector}).error, 0);
    }
    EXPECT_EQ(world.submitted.size(), 1u) << "what was refused, nobody saw";
  }
}

TEST_F(SimDiskTest, CreateAndOpen) {
  DiskWorld world(choices);
  EXPECT_EQ(world.disk.open("f", Access::read_only).error(), ENOENT);
  EXPECT_EQ(world.disk.sync_directory("f"), ENOENT);
  auto file = world.create();
  EXPECT_EQ(*file->size(), 0u);
  EXPECT_EQ(world.disk.create("f").error(), EEXIST);
  EXPECT_EQ(world.disk.open("g", Access::read_write).error(), ENOENT);
  EXPECT_EQ(world.disk.file("f"), world.disk.files()[0].get());
  EXPECT_EQ(world.disk.file("g"), nullptr);
}

TEST_F(SimDiskTest, OneWriterAtATime) {
  DiskWorld world(choices);
  auto creator = world.create();
  EXPECT_EQ(world.disk.open("f", Access::read_write).error(), EWOULDBLOCK);
  auto reader = world.disk.open("f", Access::read_only);
  EXPECT_TRUE(reader);
  creator.reset();
  auto second = world.disk.open("f", Access::read_write);
  ASSERT_TRUE(second);
  reader->reset();  // a reader that goes frees nothing
  EXPECT_EQ(world.disk.open("f", Access::read_write).error(), EWOULDBLOCK);
  EXPECT_TRUE(world.disk.create("g")) << "each file has its own lock";
}

TEST_F(SimDiskTest, AReaderCannotWriteOrResize) {
  DiskWorld world(choices);
  world.create_durable(8, 'a').reset();
  auto reader = *world.disk.open("f", Access::read_only);
  EXPECT_EQ(world.write(*reader, 0, 8, 'b').error, EBADF);
  EXPECT_EQ(reader->resize(0), EINVAL);
  EXPECT_EQ(world.read(*reader, 0, 8), "aaaaaaaa");
  EXPECT_EQ(reader->sync(), 0);
}

TEST_F(SimDiskTest, AWriteIsVisibleWhenItCompletesAndNotDurableBeforeASync) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  EXPECT_EQ(world.write(*file, 2, 3, 'b').bytes, 3 * kSectorBytes);
  EXPECT_EQ(world.read(*file, 0, 8), "aabbbaaa");
  EXPECT_EQ(world.durable(8), "aaaaaaaa");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8), "aabbbaaa");
  EXPECT_EQ(world.read(*file, 0, 8), "aabbbaaa");
}

TEST_F(SimDiskTest, NeitherClosingNorReadingNorTimeMakesDurable) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  (void)world.write(*file, 0, 8, 'b');
  EXPECT_EQ(world.read(*file, 0, 8), "bbbbbbbb");
  file.reset();
  world.sleep(1'000'000'000);
  EXPECT_EQ(world.durable(8), "aaaaaaaa");
  file = *world.disk.open("f", Access::read_write);
  EXPECT_EQ(world.read(*file, 0, 8), "bbbbbbbb");
  EXPECT_EQ(file->sync(), 0) << "a later opener's sync covers it";
  EXPECT_EQ(world.durable(8), "bbbbbbbb");
}

TEST_F(SimDiskTest, OneFilesSyncDoesNothingForAnother) {
  DiskWorld world(choices);
  auto first = world.create_durable(8, 'a');
  auto second = world.create("g");
  (void)world.write(*first, 0, 8, 'b');
  EXPECT_EQ(second->sync(), 0);
  EXPECT_EQ(world.durable(8), "aaaaaaaa");
}

TEST_F(SimDiskTest, ASyncPassesOverAWriteInFlight) {
  DiskWorld world(choices);
  auto file = world.create_durable(16, 'a');
  (void)world.write(*file, 0, 8, 'b');
  const TaskId writer = world.background([&] { (void)world.write(*file, 8, 8, 'c'); });
  EXPECT_EQ(file->sync(), 0);  // longer than the write: it completes and is delivered meanwhile
  EXPECT_EQ(world.seen(16), "bbbbbbbbcccccccc");
  EXPECT_EQ(world.durable(16), "bbbbbbbbaaaaaaaa");
  world.scheduler->join(writer);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(16), "bbbbbbbbcccccccc");
}

TEST_F(SimDiskTest, ASyncCoversWhatWasDeliveredAndNotMerelyCompleted) {
  DiskWorld world(choices);
  auto file = world.create_durable(16, 'a');
  // Two writes of one run; the sync is asked for between their deliveries.
  AlignedBuffer memory = *AlignedBuffer::allocate(16 * kSectorBytes);
  std::memset(memory.span().data(), 'b', memory.span().size());
  const IoRequest requests[] = {{IoOp::write, 0, memory.span().data(), kBlockBytes},
                                {IoOp::write, kBlockBytes, memory.span().data(), kBlockBytes}};
  choices.then(Site::io_latency, {0, 4});
  const TaskId writer = world.background([&] { file->run(requests, [](std::size_t, IoStatus) {}); });
  world.sleep(kWriteNs + kWriteNs / 8);  // the first is delivered, the second still in flight
  EXPECT_EQ(world.seen(16), "bbbbbbbbaaaaaaaa");
  EXPECT_EQ(file->sync(), 0);
  world.scheduler->join(writer);
  EXPECT_EQ(world.durable(16), "bbbbbbbbaaaaaaaa");
}

TEST_F(SimDiskTest, AWriteSubmittedDuringASyncIsNotCovered) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  const TaskId syncer = world.background([&] { EXPECT_EQ(file->sync(), 0); });
  (void)world.write(*file, 0, 8, 'b');
  EXPECT_LT(world.scheduler->now(), Time(kWriteNs * 4 + kSyncNs * 2));
  world.scheduler->join(syncer);
  EXPECT_EQ(world.durable(8), "aaaaaaaa");
  EXPECT_EQ(world.seen(8), "bbbbbbbb");
}

TEST_F(SimDiskTest, ASyncMakesTheLengthDurableThatItsDataNeeds) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  (void)world.write(*file, 8, 8, 'b');
  EXPECT_EQ(*file->size(), 16 * kSectorBytes);
  EXPECT_EQ(world.durable_length(), 8u);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable_length(), 16u);
}

TEST_F(SimDiskTest, ASyncedWriteKeepsItsLengthThoughAnotherOneExtendedTheFile) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  (void)world.write(*file, 8, 8, 'b');
  // As if its task had not run since: to the disk it has completed, but its completion was not delivered.
  FileState& state = *world.disk.files().front();
  ASSERT_EQ(state.lengths.size(), 1u);
  state.lengths[0].delivered = state.pending[0].delivered = 0;
  (void)world.write(*file, 12, 2, 'd');
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable_length(), 14u);
  EXPECT_EQ(world.durable(16), "aaaaaaaa....dd..");
  EXPECT_EQ(world.seen(16), "aaaaaaaabbbbddbb");
}

TEST_F(SimDiskTest, ResizeGrowsWithZerosAndIsDurableAfterASync) {
  DiskWorld world(choices);
  auto file = world.create_durable(4, 'a');
  EXPECT_EQ(file->resize(12 * kSectorBytes), 0);
  EXPECT_EQ(*file->size(), 12 * kSectorBytes);
  EXPECT_EQ(world.read(*file, 0, 12), "aaaa........");
  EXPECT_EQ(world.durable_length(), 4u);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable_length(), 12u);
}

TEST_F(SimDiskTest, WhatAResizeCutDoesNotComeBack) {
  DiskWorld world(choices);
  auto file = world.create_durable(12, 'a');
  EXPECT_EQ(file->resize(4 * kSectorBytes), 0);
  EXPECT_EQ(world.read(*file, 0, 12), "aaaa");
  EXPECT_EQ(file->resize(12 * kSectorBytes), 0);
  EXPECT_EQ(world.read(*file, 0, 12), "aaaa........");
  world.disk.files().front()->rebuild_current();  // as damage elsewhere does
  EXPECT_EQ(world.read(*file, 0, 12), "aaaa........");
  EXPECT_EQ(world.durable(12), "aaaaaaaaaaaa");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(12), "aaaa........");
  EXPECT_EQ(world.durable_length(), 12u);
}

TEST_F(SimDiskTest, AWriteAfterAShrinkIsNotCutByIt) {
  DiskWorld world(choices);
  auto file = world.create_durable(12, 'a');
  EXPECT_EQ(file->resize(4 * kSectorBytes), 0);
  (void)world.write(*file, 8, 2, 'b');
  EXPECT_EQ(world.read(*file, 0, 12), "aaaa....bb");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(12), "aaaa....bb..");
  EXPECT_EQ(world.durable_length(), 10u);
  EXPECT_EQ(world.read(*file, 0, 12), "aaaa....bb");
}

TEST_F(SimDiskTest, AWriteBeforeAShrinkIsCutByIt) {
  DiskWorld world(choices);
  auto file = world.create_durable(4, 'a');
  (void)world.write(*file, 4, 8, 'b');
  EXPECT_EQ(file->resize(6 * kSectorBytes), 0);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(file->resize(12 * kSectorBytes), 0);
  EXPECT_EQ(world.read(*file, 0, 12), "aaaabb......");
  EXPECT_EQ(world.durable_length(), 6u);
}

TEST_F(SimDiskTest, ReadsPastTheEndAreShort) {
  DiskWorld world(choices);
  auto file = world.create_durable(4, 'a');
  EXPECT_EQ(world.read(*file, 2, 8), "aa");
  EXPECT_EQ(world.read(*file, 4, 8), "");
  EXPECT_EQ(world.read(*file, 1'000'000, 8), "");
  EXPECT_EQ(file->resize(2 * kSectorBytes + 100), 0);
  AlignedBuffer memory = *AlignedBuffer::allocate(4096);
  EXPECT_EQ(DiskWorld::run_one(*file, {IoOp::read, 2 * kSectorBytes, memory.span().data(), 4096}).bytes, 100u);
}

TEST_F(SimDiskTest, AHoleReadsAsZeros) {
  DiskWorld world(choices);
  auto file = world.create();
  (void)world.write(*file, 8, 2, 'b');
  EXPECT_EQ(world.read(*file, 0, 16), "........bb");
}

TEST_F(SimDiskTest, KeepsTheQueueFullAndNeverFuller) {
  DiskWorld world(choices);
  world.profile.queue_depth = 4;
  auto file = world.create_durable(64, 'a');
  AlignedBuffer memory = *AlignedBuffer::allocate(64 * kSectorBytes);
  std::vector<IoRequest> requests;
  for (std::size_t i = 0; i < 32; ++i)
    requests.push_back({IoOp::read, i * 1024, memory.span().data() + i * 1024, 1024});
  const std::size_t before = world.trace.events().size();
  std::size_t delivered = 0;
  file->run(requests, [&](std::size_t, IoStatus status) {
    EXPECT_EQ(status.error, 0);
    ++delivered;
  });
  EXPECT_EQ(delivered, 32u);
  int in_flight = 0, most = 0, submitted = 0;
  for (std::size_t i = before; i < world.trace.events().size(); ++i) {
    const EventKind kind = world.trace.events()[i].kind;
    if (kind == EventKind::submit_read) {
      most = std::max(most, ++in_flight);
      ++submitted;
    }
    if (kind == EventKind::done_read) --in_flight;
  }
  EXPECT_EQ(most, 4);
  EXPECT_EQ(in_flight, 0);
  EXPECT_EQ(submitted, 32);
  EXPECT_EQ(world.disk.ios(), 33u);
}

TEST_F(SimDiskTest, OneCompletionIsReplacedByOneRequest) {
  DiskWorld world(choices);
  world.profile.queue_depth = 2;
  auto file = world.create_durable(8, 'a');
  AlignedBuffer memory = *AlignedBuffer::allocate(4 * kSectorBytes);
  std::vector<IoRequest> requests;
  for (std::size_t i = 0; i < 4; ++i)
    requests.push_back({IoOp::read, i * kSectorBytes, memory.span().data() + i * kSectorBytes, kSectorBytes});
  // The first takes long; the others pass it one after the other.
  choices.then(Site::io_latency, {15, 0, 0, 0});
  std::vector<std::size_t> order;
  const Time start = world.scheduler->now();
  file->run(requests, [&](std::size_t index, IoStatus) { order.push_back(index); });
  EXPECT_EQ(order, (std::vector<std::size_t>{1, 0, 2, 3}));
  const std::uint64_t first_ns = kReadNs + kReadNs * 15 / 16;  // when it ends, the last is submitted
  EXPECT_EQ(world.scheduler->now() - start, Time(first_ns + kReadNs));
}

TEST_F(SimDiskTest, CompletionsComeOutOfOrder) {
  PrngChoices random(7);
  DiskWorld world(random);
  auto file = world.create_durable(64, 'a');
  AlignedBuffer memory = *AlignedBuffer::allocate(64 * kSectorBytes);
  std::vector<IoRequest> requests;
  for (std::size_t i = 0; i < 64; ++i)
    requests.push_back({IoOp::read, i * kSectorBytes, memory.span().data() + i * kSectorBytes, kSectorBytes});
  std::vector<std::size_t> order;
  file->run(requests, [&](std::size_t index, IoStatus) { order.push_back(index); });
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(order[i], i) << "each exactly once";
}

TEST_F(SimDiskTest, ServesSeveralTasksAtOnce) {
  DiskWorld world(choices);
  auto file = world.create_durable(64, 'a');
  const Time start = world.scheduler->now();
  std::vector<TaskId> tasks;
  for (std::uint64_t i = 0; i < 8; ++i) {
    tasks.push_back(world.spawn([&world, &file, i] {
      const char letter = static_cast<char>('b' + i);
      EXPECT_EQ(world.write(*file, i * 8, 8, letter).error, 0);
      EXPECT_EQ(world.read(*file, i * 8, 8), std::string(8, letter));
    }));
  }
  for (const TaskId task : tasks) world.scheduler->join(task);
  EXPECT_EQ(world.scheduler->now() - start, Time(kWriteNs + kReadNs)) << "nobody waited for another";
}

TEST_F(SimDiskTest, OfOverlappingWritesTheLaterSubmittedWinsHoweverTheyComplete) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  choices.then(Site::io_latency, {15, 0});
  const TaskId slow = world.background([&] { (void)world.write(*file, 0, 6, 'b'); });
  (void)world.write(*file, 2, 6, 'c');
  EXPECT_EQ(world.seen(8), "aacccccc");
  world.scheduler->join(slow);
  EXPECT_EQ(world.seen(8), "bbcccccc");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8), "bbcccccc");
}

TEST_F(SimDiskTest, ASyncOverAnOlderWriteInFlightLeavesItPending) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  // Slow enough to be in flight when the sync of the newer one ends.
  world.profile.write_latency_ns = 10'000'000;
  const TaskId slow = world.background([&] { EXPECT_EQ(world.write(*file, 0, 8, 'b').error, 0); });
  world.profile.write_latency_ns = 1000;
  (void)world.write(*file, 0, 8, 'c');
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8), "cccccccc");
  world.scheduler->join(slow);
  EXPECT_EQ(world.seen(8), "cccccccc");
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(world.durable(8), "cccccccc");
  EXPECT_TRUE(world.disk.files().front()->pending.empty());
}

TEST_F(SimDiskTest, AReadThatRacesAWriteMaySeeAnyMixture) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    PrngChoices random(seed);
    DiskWorld world(random);
    auto file = world.create_durable(4, 'a');
    world.profile.write_latency_ns = 1'000'000;
    const TaskId writer = world.background([&] { (void)world.write(*file, 0, 2, 'b'); });
    seen.insert(world.read(*file, 0, 4));
    world.scheduler->join(writer);
    EXPECT_EQ(world.read(*file, 0, 4), "bbaa");
  }
  EXPECT_EQ(seen, (std::set<std::string>{"aaaa", "abaa", "baaa", "bbaa"}));
}

TEST_F(SimDiskTest, ChangingTheMemoryOfAWriteInFlightIsReported) {
  DiskWorld world(choices);
  auto file = world.create_durable(8, 'a');
  AlignedBuffer memory = *AlignedBuffer::allocate(kBlockBytes);
  std::memset(memory.span().data(), 'b', kBlockBytes);
  const IoRequest request{IoOp::write, 0, memory.span().data(), kBlockBytes};
  const TaskId writer = world.background([&] { (void)DiskWorld::run_one(*file, request); });
  memory.span()[4095] = std::byte{'x'};
  world.scheduler->join(writer);
  EXPECT_EQ(world.changed, std::vector<std::uint64_t>{world.submitted.back()->id});
  EXPECT_EQ(world.seen(8), "bbbbbbbb") << "what was submitted is what lands";
  memory.span()[0] = std::byte{'y'};  // now it is free
  EXPECT_EQ(world.changed.size(), 1u);
}

TEST_F(SimDiskTest, ADeviceWithoutAVolatileCacheIsDurableAtOnce) {
  for (const bool protection : {false, true}) {
    DiskWorld world(choices);
    world.profile.volatile_cache = protection;  // a cache that survives power loss, or none
    world.profile.power_loss_protection = protection;
    auto file = world.create();
    EXPECT_EQ(world.write(*file, 0, 8, 'a').error, 0);
    EXPECT_EQ(world.durable(8), "aaaaaaaa");
    EXPECT_EQ(world.durable_length(), 8u);
    const TaskId writer = world.background([&] { (void)world.write(*file, 0, 8, 'b'); });
    EXPECT_EQ(world.durable(8), "aaaaaaaa") << "in flight is not acknowledged";
    world.scheduler->join(writer);
    EXPECT_EQ(world.durable(8), "bbbbbbbb");
    // What a file system does to lengths, it does in order.
    EXPECT_EQ(file->resize(2 * kSectorBytes), 0);
    EXPECT_EQ(world.durable_length(), 8u);
    EXPECT_EQ(world.write(*file, 4, 2, 'c').error, 0);
    EXPECT_EQ(world.durable(8), "bb..cc..");
    EXPECT_EQ(world.durable_length(), 6u);
    EXPECT_EQ(file->sync(), 0);
    EXPECT_EQ(world.durable(8), "bb..cc..");
    EXPECT_EQ(world.durable_length(), 6u);
  }
}

}  // namespace
}  // namespace pagedb::sim
