// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// UringIo: streaming, faults in completions and in the ring itself, registration, threads.
#include "engine/io/uring_io.h"

#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/mman.h>

#include <cerrno>
#include <thread>

#include "engine/io/real_file_test.h"

namespace pagedb {
namespace {

class Uring : public testing::Test {
 protected:
  // Opens a new file of `pages` marked pages.
  void open(UringIoOptions options = {}, std::size_t pages = 64) {
    file_.reset();  // before its backend
    path_ = std::make_unique<TempPath>();
    auto disk = UringIo::make(options, system_);
    if (!disk) std::abort();  // this machine forbids io_uring, and the tests of it mean nothing
    disk_ = std::move(*disk);
    auto file = disk_->create(path_->str());
    ASSERT_TRUE(file);
    file_ = std::move(*file);
    const TestPages out(pages);
    out.mark(kSalt);
    for (const IoRequest& request : out.requests(IoOp::write)) ASSERT_TRUE(all_whole(run_all(*file_, {&request, 1})));
    system_.positioned = 0;
    system_.entered = 0;
  }
  // Reads all pages in one run and checks that each arrived, whole.
  void expect_all_read(std::size_t pages = 64) {
    const TestPages in(pages);
    EXPECT_TRUE(all_whole(run_all(*file_, in.requests(IoOp::read))));
    for (std::size_t i = 0; i < pages; ++i) EXPECT_TRUE(in.marked(i, kSalt)) << "page " << i;
  }

  static constexpr std::size_t kSalt = 11;
  FaultySystem system_;
  std::unique_ptr<TempPath> path_;
  std::unique_ptr<UringIo> disk_;
  std::unique_ptr<IoFile> file_;
};

TEST_F(Uring, StreamsMoreRequestsThanItsDepthAndFillsIt) {
  for (const unsigned depth : {1u, 2u, 5u, 32u, 200u}) {
    open({.queue_depth = depth}, 128);
    EXPECT_EQ(file_->limits().queue_depth, depth);
    system_.in_flight_max = 0;
    expect_all_read(128);
    EXPECT_LE(system_.in_flight_max, static_cast<int>(depth));
    EXPECT_GE(system_.in_flight_max, static_cast<int>(std::min(depth, 4u)));
    EXPECT_EQ(system_.in_flight, 0);
    EXPECT_EQ(system_.positioned, 0);
  }
}

TEST_F(Uring, RefillsAsCompletionsArriveInsteadOfInWaves) {
  open({.queue_depth = 16}, 256);
  const TestPages in(256);
  const auto requests = in.requests(IoOp::read);
  int with_others_in_flight = 0;
  file_->run(requests, [&](std::size_t, IoStatus) { with_others_in_flight += system_.in_flight > 0 ? 1 : 0; });
  EXPECT_GT(with_others_in_flight, 128);
}

TEST_F(Uring, MixedRunsDoBoth) {
  open();
  const TestPages memory(8);
  memory.mark(77);
  std::vector<IoRequest> requests = memory.requests(IoOp::write, 16);
  const TestPages in(8);
  for (const IoRequest& request : in.requests(IoOp::read, 0)) requests.push_back(request);
  EXPECT_TRUE(all_whole(run_all(*file_, requests)));
  EXPECT_TRUE(in.marked(5, kSalt));
  const TestPages again(8);
  EXPECT_TRUE(all_whole(run_all(*file_, again.requests(IoOp::read, 16))));
  for (std::size_t i = 0; i < 8; ++i) EXPECT_TRUE(again.marked(i, 77));
}

TEST_F(Uring, ASingleRequestNeedsNoRing) {
  open();
  expect_all_read(1);
  EXPECT_EQ(system_.positioned, 1);
  EXPECT_EQ(system_.entered, 0);
  EXPECT_EQ(disk_->facts().rings, 0u);
}

TEST_F(Uring, CompletionsReportWhatCame) {
  for (const IoOp op : {IoOp::read, IoOp::write}) {
    for (const int fault : {-EINTR, -EAGAIN, -EIO, -ENOSPC, -EBUSY, -ECANCELED, 0, 512}) {
      open();
      const TestPages memory(10);
      system_.completions = {std::nullopt, fault};
      const auto ends = run_all(*file_, memory.requests(op));
      int hit = 0;
      for (const IoStatus& end : ends) {
        if (end.error == 0 && end.bytes == kTestPage) continue;
        ++hit;
        EXPECT_EQ(end.error, fault < 0 ? -fault : 0);
        EXPECT_EQ(end.bytes, fault < 0 ? 0u : static_cast<std::size_t>(fault));
      }
      EXPECT_EQ(hit, 1);
      EXPECT_EQ(system_.positioned, 0) << "nothing is tried again below the seam";
    }
  }
}

TEST_F(Uring, EveryRequestMayFail) {
  open({.queue_depth = 8});
  const TestPages memory(64);
  for (int i = 0; i < 64; ++i) system_.completions.push_back(-EIO);
  for (const IoStatus& end : run_all(*file_, memory.requests(IoOp::read))) EXPECT_EQ(end.error, EIO);
  expect_all_read();
}

TEST_F(Uring, MisalignedRequestsAmongGoodOnes) {
  open({.queue_depth = 4});
  const TestPages memory(64);
  auto requests = memory.requests(IoOp::read);
  for (std::size_t i = 0; i < requests.size(); i += 3) requests[i].offset += 1;
  const auto ends = run_all(*file_, requests);
  for (std::size_t i = 0; i < ends.size(); ++i) EXPECT_EQ(ends[i].error, i % 3 == 0 ? EINVAL : 0) << i;
}

TEST_F(Uring, TroubleOfTheRingIsNotTroubleOfARequest) {
  for (const int fault : {-EINTR, -EAGAIN, -EBUSY}) {
    open({.queue_depth = 8});
    system_.submits = {fault, std::nullopt, fault, fault, std::nullopt, fault, fault, fault};
    expect_all_read();
    EXPECT_EQ(system_.positioned, 0);
    EXPECT_EQ(disk_->facts().rings, 1u) << "the ring is kept";
  }
}

TEST_F(Uring, ARingThatIsAlwaysRefusedIsDoneWithout) {
  open({.queue_depth = 8});
  for (int i = 0; i < 1000; ++i) system_.submits.push_back(-EAGAIN);
  expect_all_read();
  EXPECT_EQ(system_.positioned, 64);
  EXPECT_LT(system_.pauses, 200);
  EXPECT_EQ(disk_->facts().rings, 0u);
}

TEST_F(Uring, ABrokenRingHandsBackEveryRequestOnceAndIsDropped) {
  // Breaks at each of its first calls: with nothing, a part, and all of the depth in the kernel's hands.
  for (std::size_t calls = 0; calls < 12; ++calls) {
    open({.queue_depth = 8});
    for (std::size_t i = 0; i < calls; ++i) system_.submits.push_back(std::nullopt);
    system_.submits.push_back(-EBADF);
    const TestPages memory(64);
    auto requests = memory.requests(IoOp::read);
    const auto misaligned = [](std::size_t i) { return i % 8 == 1; };  // also among those that the kernel never took
    for (std::size_t i = 0; i < requests.size(); ++i) requests[i].offset += misaligned(i) ? 1 : 0;
    const auto ends = run_all(*file_, requests);
    for (std::size_t i = 0; i < ends.size(); ++i) {
      EXPECT_EQ(ends[i].error, misaligned(i) ? EINVAL : 0);
      EXPECT_TRUE(misaligned(i) || memory.marked(i, kSalt)) << i;
    }
    EXPECT_EQ(system_.in_flight, 0) << "the kernel still held memory of the caller";
    EXPECT_GT(system_.positioned, 0);
    EXPECT_EQ(disk_->facts().rings, 0u);
    EXPECT_EQ(system_.setups, system_.exits);
    expect_all_read();  // with a new ring
    EXPECT_EQ(disk_->facts().rings, 1u);
    file_.reset();
    disk_.reset();
    system_.setups = 0;
    system_.exits = 0;
  }
}

TEST_F(Uring, ARefusedWaitBreaksTheRingTooAndIsRepeatedUntilTheKernelHasLetGo) {
  open({.queue_depth = 8});
  system_.submits = {std::nullopt, -EAGAIN};
  system_.waits_refused = 5;
  expect_all_read();
  EXPECT_EQ(system_.waits_refused, 0);
  EXPECT_GT(system_.positioned, 0);
  EXPECT_EQ(system_.in_flight, 0);
  EXPECT_EQ(disk_->facts().rings, 0u);
}

TEST_F(Uring, AThreadIdThatIsUsedAgainCostsARingAndNothingElse) {
  system_.thread = 4242;  // both threads
  open({.queue_depth = 8});
  expect_all_read();
  EXPECT_EQ(system_.positioned, 0);
  std::thread([&] { expect_all_read(); }).join();
  EXPECT_EQ(system_.positioned, 64) << "the kernel refuses a ring of another thread";
  expect_all_read();
  EXPECT_EQ(disk_->facts().rings, 1u);
}

TEST_F(Uring, ARefusedKernelIsATypedRefusal) {
  for (const int error : {ENOSYS, EPERM, ENOMEM, EMFILE}) {
    system_.fail_setup = -error;
    const auto disk = UringIo::make({}, system_);
    ASSERT_FALSE(disk);
    EXPECT_EQ(disk.error(), error);
  }
}

TEST_F(Uring, AKernelThatIsTooOldIsRefused) {
  system_.setup_features = ~(1u << 5);
  const auto disk = UringIo::make({}, system_);
  ASSERT_FALSE(disk);
  EXPECT_EQ(disk.error(), ENOSYS);
  EXPECT_EQ(system_.setups, system_.exits);
}

TEST_F(Uring, OlderKernelsGetFewerFlags) {
  for (const unsigned known : {0u, 1u << 8}) {
    system_.setup_flags_known = known;
    open({.queue_depth = 8});
    expect_all_read();
    EXPECT_EQ(system_.positioned, 0);
  }
}

TEST_F(Uring, ARingThatCannotBeHadLaterIsDoneWithout) {
  open();
  system_.fail_setup = -EMFILE;
  expect_all_read();
  EXPECT_EQ(system_.positioned, 64);
  system_.fail_setup = 0;
  expect_all_read();
  EXPECT_EQ(system_.positioned, 64);
}

TEST_F(Uring, RegisteredMemoryAndFile) {
  const TestPages region(16);
  open({.registered_memory = region.span()});
  const TestPages outside(16);
  auto requests = region.requests(IoOp::read);
  for (const IoRequest& request : outside.requests(IoOp::read, 16)) requests.push_back(request);
  EXPECT_TRUE(all_whole(run_all(*file_, requests)));
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_TRUE(region.marked(i, kSalt));
    EXPECT_TRUE(outside.marked(i, i + 16, kSalt));
  }
  EXPECT_EQ(disk_->facts().rings, 1u);
  EXPECT_EQ(disk_->facts().rings_with_file, 1u);
  EXPECT_EQ(disk_->facts().rings_with_memory, 1u);
  region.mark(99);
  EXPECT_TRUE(all_whole(run_all(*file_, region.requests(IoOp::write, 32))));
  EXPECT_TRUE(all_whole(run_all(*file_, outside.requests(IoOp::read, 32))));
  EXPECT_TRUE(outside.marked(15, 99));
  file_.reset();
  EXPECT_EQ(disk_->facts().rings, 0u);
  EXPECT_EQ(disk_->facts().rings_with_memory, 0u);
}

// The kernel registers memory in pieces of 1 GiB. The region is one small file in memory, mapped again and again.
TEST_F(Uring, RegisteredMemoryOfSeveralPieces) {
  constexpr std::size_t kWindow = std::size_t{2} << 20;
  constexpr std::size_t kPiece = std::size_t{1} << 30;
  const int memory = ::memfd_create("window", 0);
  ASSERT_EQ(::ftruncate(memory, kWindow), 0);
  void* mapped = ::mmap(nullptr, kPiece + kWindow, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* base = static_cast<std::byte*>(mapped);
  for (std::size_t at = 0; at <= kPiece; at += kWindow) {
    ASSERT_NE(::mmap(base + at, kWindow, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0), MAP_FAILED);
  }
  open({.registered_memory = {base, kPiece + kWindow}});
  const std::vector<IoRequest> requests = {
      {IoOp::read, 5 * kTestPage, base + kPiece - 8 * kTestPage, kTestPage},   // in the first piece
      {IoOp::read, 6 * kTestPage, base + kPiece + 8 * kTestPage, kTestPage},   // in the second
      {IoOp::read, 20 * kTestPage, base + kPiece - kTestPage, 2 * kTestPage},  // in both
      {IoOp::read, 7 * kTestPage, base + kPiece + kWindow - kTestPage * 16, kTestPage}};
  const auto ends = run_all(*file_, requests);
  const TestPages expected(64);
  expected.mark(kSalt);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(ends[i].error, 0) << i;
    EXPECT_EQ(ends[i].bytes, requests[i].size) << i;
    EXPECT_EQ(std::memcmp(requests[i].data, expected.span().data() + requests[i].offset, requests[i].size), 0) << i;
  }
  EXPECT_EQ(system_.positioned, 0);
  file_.reset();
  ::munmap(base, kPiece + kWindow);
  ::close(memory);
}

TEST_F(Uring, RefusedRegistrationsAreDoneWithout) {
  const TestPages region(64);
  system_.fail_register_buffers = -ENOMEM;  // the limit on locked memory
  system_.fail_register_file = -EMFILE;
  open({.registered_memory = region.span()});
  EXPECT_TRUE(all_whole(run_all(*file_, region.requests(IoOp::read))));
  for (std::size_t i = 0; i < 64; ++i) EXPECT_TRUE(region.marked(i, kSalt));
  EXPECT_EQ(system_.positioned, 0);
  EXPECT_EQ(disk_->facts().rings, 1u);
  EXPECT_EQ(disk_->facts().rings_with_file, 0u);
  EXPECT_EQ(disk_->facts().rings_with_memory, 0u);
}

TEST_F(Uring, TheFileIsNotRegisteredUnlessAskedFor) {
  open({.register_file = false});
  expect_all_read();
  EXPECT_EQ(disk_->facts().rings, 1u);
  EXPECT_EQ(disk_->facts().rings_with_file, 0u);
}

TEST_F(Uring, BufferedByName) {
  open({.caching = Caching::buffered, .queue_depth = 8});
  EXPECT_EQ(file_->limits().offset_align, 1u);
  expect_all_read();
  EXPECT_EQ(system_.positioned, 0);
}

// On the plain operating system, because FaultySystem counts without synchronization.
TEST(UringThreads, ManyThreadsRunOnOneFile) {
  const TempPath path;
  auto disk = UringIo::make({.queue_depth = 8, .rings_kept_max = 3});
  ASSERT_TRUE(disk);
  const auto file = (*disk)->create(path.str());
  ASSERT_TRUE(file);
  constexpr std::size_t kThreads = 6;
  constexpr std::size_t kPages = 24;
  constexpr std::size_t kRounds = 30;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const TestPages out(kPages);
      const TestPages in(kPages);
      for (std::size_t round = 0; round < kRounds; ++round) {
        out.mark(t * 31 + round);
        if (!all_whole(run_all(**file, out.requests(IoOp::write, t * kPages)))) ++wrong;
        if (!all_whole(run_all(**file, in.requests(IoOp::read, t * kPages)))) ++wrong;
        for (std::size_t i = 0; i < kPages; ++i) wrong += in.marked(i, t * 31 + round) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE((*disk)->facts().rings, 3u);
  EXPECT_GE((*disk)->facts().rings, 1u);
}

TEST(UringThreads, AThreadFindsItsRingAgain) {
  const TempPath path;
  FaultySystem system;
  auto disk = UringIo::make({.rings_kept_max = 2}, system);
  ASSERT_TRUE(disk);
  const auto file = (*disk)->create(path.str());
  ASSERT_TRUE(file);
  const TestPages memory(4);
  const auto run = [&] { EXPECT_TRUE(all_whole(run_all(**file, memory.requests(IoOp::write)))); };
  const int before = system.setups;
  for (int i = 0; i < 5; ++i) run();
  EXPECT_EQ(system.setups, before + 1);
  std::thread(run).join();
  run();
  EXPECT_EQ(system.setups, before + 2);
  std::thread(run).join();  // its ring replaces that of the thread that has ended
  run();
  EXPECT_EQ((*disk)->facts().rings, 2u);
  EXPECT_EQ(system.setups, before + 3);
}

TEST(UringDeathTest, BrokenOptionsAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<void>(UringIo::make({.queue_depth = 0})), "queue_depth is 1 to 4096");
  EXPECT_DEATH(static_cast<void>(UringIo::make({.rings_kept_max = 0})), "at least one ring");
}

}  // namespace
}  // namespace pagedb
