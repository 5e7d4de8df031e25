// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What every real backend does alike: opening, creating, locking, alignment, length, sync.
#include "engine/io/real_file_test.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <limits>

#include "engine/io/direct_io.h"
#include "engine/io/uring_io.h"

namespace pagedb {

namespace {

enum class Kind { direct, uring };

class RealFile : public testing::TestWithParam<Kind> {
 protected:
  // A backend that lives as long as the test.
  IoBackend& backend(Caching caching = Caching::direct) { return backend(GetParam(), caching); }
  IoBackend& backend(Kind kind, Caching caching) {
    if (kind == Kind::direct) {
      backends_.push_back(std::make_unique<DirectIo>(DirectIoOptions{.caching = caching}, system_));
    } else {
      auto uring = UringIo::make({.caching = caching}, system_);
      if (!uring) std::abort();  // this machine forbids io_uring, and the tests of it mean nothing
      backends_.push_back(std::move(*uring));
    }
    return *backends_.back();
  }
  // How an open of `path` ends: 0, or the errno value. No descriptor may be left over.
  int open_error(const std::string& path, Access access, Caching caching = Caching::direct) {
    IoBackend& made = backend(caching);
    const int error = [&] {
      const auto file = made.open(path, access);
      return file ? 0 : file.error();
    }();
    EXPECT_EQ(system_.opened, system_.closed);
    return error;
  }
  int create_error(const std::string& path, Caching caching = Caching::direct) {
    IoBackend& made = backend(caching);
    const int error = [&] {
      const auto file = made.create(path);
      return file ? 0 : file.error();
    }();
    EXPECT_EQ(system_.opened, system_.closed);
    return error;
  }
  std::unique_ptr<IoFile> created(IoBackend& from, const TempPath& path) {
    auto file = from.create(path.str());
    EXPECT_TRUE(file) << std::strerror(file ? 0 : file.error());
    return file ? std::move(*file) : nullptr;
  }

  FaultySystem system_;

 private:
  std::vector<std::unique_ptr<IoBackend>> backends_;
};

INSTANTIATE_TEST_SUITE_P(Backends, RealFile, testing::Values(Kind::direct, Kind::uring),
                         [](const auto& made) { return made.param == Kind::direct ? "Direct" : "Uring"; });

TEST_P(RealFile, WhatIsWrittenIsReadBack) {
  for (const Caching caching : {Caching::direct, Caching::buffered}) {
    const TempPath path;
    IoBackend& disk = backend(caching);
    {
      const auto file = created(disk, path);
      EXPECT_EQ(file->size().value(), 0u);
      const TestPages out(40);
      out.mark(3);
      EXPECT_TRUE(all_whole(run_all(*file, out.requests(IoOp::write))));
      EXPECT_EQ(file->size().value(), 40 * kTestPage);
      EXPECT_EQ(file->sync(), 0);
    }
    EXPECT_EQ(disk.sync_directory(path.str()), 0);
    const auto file = disk.open(path.str(), Access::read_only);
    ASSERT_TRUE(file);
    const TestPages in(40);
    EXPECT_TRUE(all_whole(run_all(**file, in.requests(IoOp::read))));
    for (std::size_t i = 0; i < 40; ++i) EXPECT_TRUE(in.marked(i, 3)) << i;
    EXPECT_NE(system_.open_flags & O_CLOEXEC, 0);
  }
}

TEST_P(RealFile, ReadsEndAtTheEndOfTheFile) {
  const TempPath path(std::string(kTestPage + 100, 'x'));
  const auto file = backend().open(path.str(), Access::read_only);
  ASSERT_TRUE(file);
  const TestPages in(3);
  const auto ends = run_all(**file, in.requests(IoOp::read));
  EXPECT_EQ(ends[0].bytes, kTestPage);
  EXPECT_EQ(ends[1].bytes, 100u);
  EXPECT_EQ(ends[2].bytes, 0u);
  for (const IoStatus& end : ends) EXPECT_EQ(end.error, 0);
}

TEST_P(RealFile, ARunOfNothingCompletesNothing) {
  const TempPath path;
  IoBackend& disk = backend();
  const auto file = created(disk, path);
  EXPECT_TRUE(run_all(*file, {}).empty());
}

TEST_P(RealFile, MissingFile) {
  const TempPath path;
  EXPECT_EQ(open_error(path.str(), Access::read_only), ENOENT);
  EXPECT_EQ(open_error(path.str(), Access::read_write), ENOENT);
  EXPECT_FALSE(path.exists());
  EXPECT_EQ(create_error(path.str() + "/no/such/directory"), ENOENT);
}

TEST_P(RealFile, CreateLeavesWhatIsThere) {
  const TempPath path("somebody's");
  EXPECT_EQ(create_error(path.str()), EEXIST);
  EXPECT_EQ(path.content(), "somebody's");
}

TEST_P(RealFile, DirectoryIsRefused) {
  const TempPath path;
  ASSERT_EQ(::mkdir(path.str().c_str(), 0700), 0);
  for (const Caching caching : {Caching::direct, Caching::buffered}) {
    EXPECT_EQ(open_error(path.str(), Access::read_only, caching), EISDIR);
    EXPECT_EQ(open_error(path.str(), Access::read_write, caching), EISDIR);
  }
  EXPECT_EQ(create_error(path.str()), EEXIST);
}

TEST_P(RealFile, WhatIsNoRegularFileIsRefusedWithoutHanging) {
  const TempPath pipe;
  ASSERT_EQ(::mkfifo(pipe.str().c_str(), 0600), 0);
  const TempPath socket_path;
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(socket_path.str().size(), sizeof address.sun_path);
  socket_path.str().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  for (const Access access : {Access::read_only, Access::read_write}) {
    EXPECT_EQ(open_error(pipe.str(), access), ENXIO);
    EXPECT_EQ(open_error(socket_path.str(), access), ENXIO);
    EXPECT_EQ(open_error("/dev/null", access), ENXIO);
  }
  ::close(socket);
}

TEST_P(RealFile, OpeningChangesNothing) {
  const TempPath path("not a page file, and it shall stay that way");
  struct stat before{};
  ASSERT_EQ(::stat(path.str().c_str(), &before), 0);
  EXPECT_EQ(open_error(path.str(), Access::read_write), 0);
  struct stat after{};
  ASSERT_EQ(::stat(path.str().c_str(), &after), 0);
  EXPECT_EQ(path.content(), "not a page file, and it shall stay that way");
  EXPECT_EQ(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

TEST_P(RealFile, ErrorsOfOpenComeAsTheyAre) {
  const TempPath path("x");
  for (const int error : {EACCES, EROFS, EMFILE, EINTR, EIO}) {
    system_.fail_open = -error;
    EXPECT_EQ(open_error(path.str(), Access::read_write), error);
    EXPECT_EQ(create_error(path.str()), error);
  }
  EXPECT_EQ(path.content(), "x");
}

TEST_P(RealFile, ReadOnlyFileRefusesWritesAndResize) {
  const TempPath path(std::string(2 * kTestPage, 'x'));
  const auto file = backend().open(path.str(), Access::read_only);
  ASSERT_TRUE(file);
  const TestPages out(2);
  for (const IoStatus& end : run_all(**file, out.requests(IoOp::write))) EXPECT_EQ(end.error, EBADF);
  EXPECT_NE((*file)->resize(0), 0);
  EXPECT_EQ(path.content(), std::string(2 * kTestPage, 'x'));
}

TEST_P(RealFile, OneWriterAFile) {
  const TempPath path;
  IoBackend& disk = backend();
  auto first = created(disk, path);
  for (const Kind kind : {Kind::direct, Kind::uring}) {
    IoBackend& second = backend(kind, Caching::buffered);
    const auto refused = second.open(path.str(), Access::read_write);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), EWOULDBLOCK);
    EXPECT_TRUE(second.open(path.str(), Access::read_only));
  }
  first.reset();
  const auto next = disk.open(path.str(), Access::read_write);
  ASSERT_TRUE(next);
  const auto refused = disk.open(path.str(), Access::read_write);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), EWOULDBLOCK);
}

TEST_P(RealFile, OneWriterAFileAcrossProcesses) {
  const TempPath path;
  IoBackend& disk = backend();
  const auto file = created(disk, path);
  const pid_t child = ::fork();
  if (child == 0) {
    DirectIo other;
    const auto refused = other.open(path.str(), Access::read_write);
    ::_exit(refused ? 255 : refused.error());
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EWOULDBLOCK);
}

TEST_P(RealFile, TheLockIsFreeAsSoonAsTheFileIsClosed) {
  const TempPath path;
  IoBackend& disk = backend();
  created(disk, path).reset();
  const TestPages pages(8);
  for (int round = 0; round < 50; ++round) {
    const auto file = disk.open(path.str(), Access::read_write);
    ASSERT_TRUE(file) << "round " << round;
    EXPECT_TRUE(all_whole(run_all(**file, pages.requests(IoOp::write))));
  }
}

TEST_P(RealFile, MisalignedRequestsEndWithEinvalAndMoveNothing) {
  const TempPath path(std::string(8 * kTestPage, 'x'));
  const auto file = backend().open(path.str(), Access::read_write);
  ASSERT_TRUE(file);
  const IoLimits limits = (*file)->limits();
  ASSERT_GT(limits.memory_align, 1u);
  ASSERT_GT(limits.offset_align, 1u);
  const TestPages memory(4);
  constexpr auto kLast = std::numeric_limits<std::uint64_t>::max();
  const std::vector<IoRequest> wrong = {
      {IoOp::write, limits.offset_align / 2, memory.page(0), kTestPage},
      {IoOp::write, 0, memory.page(0), kTestPage + limits.offset_align / 2},
      {IoOp::write, 0, memory.page(0) + limits.memory_align / 2, kTestPage},
      {IoOp::read, limits.offset_align / 2, memory.page(0), kTestPage},
      {IoOp::read, kLast, memory.page(0), kTestPage},
      {IoOp::write, kLast - kTestPage + 1, memory.page(0), kTestPage},
      {IoOp::write, std::uint64_t{1} << 63, memory.page(0), kTestPage},
      {IoOp::write, (std::uint64_t{1} << 63) - kTestPage, memory.page(0), kTestPage},
  };
  for (const IoStatus& end : run_all(**file, wrong)) EXPECT_EQ(end.error, EINVAL);
  for (const IoRequest& request : wrong) EXPECT_EQ(run_all(**file, {&request, 1})[0].error, EINVAL);
  EXPECT_EQ(system_.positioned + system_.entered, 0);
  EXPECT_EQ(path.content(), std::string(8 * kTestPage, 'x'));
}

TEST_P(RealFile, BufferedFilesHaveNoAlignment) {
  const TempPath path("0123456789");
  const auto file = backend(Caching::buffered).open(path.str(), Access::read_write);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->limits().memory_align, 1u);
  EXPECT_EQ((*file)->limits().offset_align, 1u);
  std::byte in[5] = {};
  std::byte out[2] = {std::byte{'A'}, std::byte{'B'}};
  const std::vector<IoRequest> odd = {{IoOp::read, 3, in + 1, 3}, {IoOp::write, 7, out + 1, 1}};
  const auto ends = run_all(**file, odd);
  EXPECT_EQ(ends[0].bytes, 3u);
  EXPECT_EQ(ends[1].bytes, 1u);
  EXPECT_EQ(std::memcmp(in + 1, "345", 3), 0);
  EXPECT_EQ(path.content(), "0123456B89");
}

TEST_P(RealFile, RefusedDirectIoIsItsOwnError) {
  const TempPath there("x");
  const TempPath fresh;
  system_.fail_flags = -EINVAL;
  EXPECT_EQ(open_error(there.str(), Access::read_only), EOPNOTSUPP);
  EXPECT_EQ(create_error(fresh.str()), EOPNOTSUPP);
  EXPECT_FALSE(fresh.exists()) << "a refused create left its file";
  EXPECT_EQ(there.content(), "x");
  EXPECT_EQ(open_error(there.str(), Access::read_write, Caching::buffered), 0);
  system_.fail_flags = 0;
  system_.alignment = DirectAlignment{true, 0, 0};  // accepted, but it would go through the page cache
  EXPECT_EQ(open_error(there.str(), Access::read_only), EOPNOTSUPP);
}

TEST_P(RealFile, AlignmentIsWhatTheKernelSaysElseSafe) {
  const TempPath path("x");
  system_.alignment = DirectAlignment{true, 16, 1024};
  auto file = backend().open(path.str(), Access::read_only);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->limits().memory_align, 16u);
  EXPECT_EQ((*file)->limits().offset_align, 1024u);
  system_.alignment = DirectAlignment{};
  file = backend().open(path.str(), Access::read_only);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->limits().memory_align, 4096u);
  EXPECT_EQ((*file)->limits().offset_align, 4096u);
  EXPECT_EQ((*file)->limits().atomic_write_bytes, 0u);
  EXPECT_EQ((*file)->limits().queue_depth, GetParam() == Kind::direct ? 1u : UringIoOptions{}.queue_depth);
}

TEST_P(RealFile, ACreateThatFailsLeavesNoFile) {
  const TempPath path;
  system_.fail_fstat = -EIO;
  EXPECT_EQ(create_error(path.str()), EIO);
  EXPECT_FALSE(path.exists());
  system_.fail_fstat = 0;
  system_.fail_lock = -ENOLCK;
  EXPECT_EQ(create_error(path.str()), ENOLCK);
  EXPECT_FALSE(path.exists());
  system_.fail_lock = -EACCES;  // another opener was quicker: the file is theirs
  EXPECT_EQ(create_error(path.str()), EWOULDBLOCK);
  EXPECT_TRUE(path.exists());
}

TEST_P(RealFile, SyncAndResizeReportWhatCame) {
  const TempPath path;
  IoBackend& disk = backend();
  const auto file = created(disk, path);
  for (const int error : {EIO, ENOSPC, EINTR, EDQUOT}) {
    system_.fail_fdatasync = system_.fail_truncate = -error;
    EXPECT_EQ(file->sync(), error);
    EXPECT_EQ(file->resize(kTestPage), error);
  }
  system_.fail_fdatasync = system_.fail_truncate = 0;
  EXPECT_EQ(file->sync(), 0);
  EXPECT_EQ(file->resize(5 * kTestPage), 0);
  EXPECT_EQ(file->size().value(), 5 * kTestPage);
  EXPECT_EQ(file->resize(kTestPage), 0);
  EXPECT_EQ(path.content(), std::string(kTestPage, '\0'));
  EXPECT_EQ(file->resize(std::numeric_limits<std::uint64_t>::max()), EFBIG);
  system_.fail_fstat = -EIO;
  EXPECT_EQ(file->size().error(), EIO);
}

TEST_P(RealFile, SyncDirectory) {
  const TempPath directory;
  ASSERT_EQ(::mkdir(directory.str().c_str(), 0700), 0);
  IoBackend& disk = backend();
  EXPECT_EQ(disk.sync_directory("in_the_current_directory"), 0);
  EXPECT_EQ(disk.sync_directory(directory.str() + "/file"), 0);
  EXPECT_EQ(disk.sync_directory("/file"), 0);
  EXPECT_EQ(disk.sync_directory(directory.str() + "/missing/file"), ENOENT);
  EXPECT_EQ(disk.sync_directory(std::string(10000, 'x') + "/file"), ENAMETOOLONG);
  system_.fail_fsync = -EIO;
  EXPECT_EQ(disk.sync_directory(directory.str() + "/file"), EIO);
  EXPECT_EQ(system_.opened, system_.closed);
}

// DirectIo's every transfer, and UringIo's single ones, are positioned calls.
TEST_P(RealFile, PositionedTransfersAreMadeOnceAndReportWhatCame) {
  const TempPath path(std::string(2 * kTestPage, 'x'));
  const auto file = backend().open(path.str(), Access::read_write);
  ASSERT_TRUE(file);
  const TestPages memory(1);
  for (const IoOp op : {IoOp::read, IoOp::write}) {
    const IoRequest request{op, kTestPage, memory.page(0), kTestPage};
    for (const int error : {EINTR, EAGAIN, EIO, ENOSPC, EDQUOT}) {
      system_.transfers = {-error};
      system_.positioned = 0;
      const IoStatus end = run_all(**file, {&request, 1})[0];
      EXPECT_EQ(end.error, error);
      EXPECT_EQ(end.bytes, 0u);
      EXPECT_EQ(system_.positioned, 1);
    }
    for (const int bytes : {0, 512, 3584}) {
      system_.transfers = {bytes};
      system_.positioned = 0;
      const IoStatus end = run_all(**file, {&request, 1})[0];
      EXPECT_EQ(end.error, 0);
      EXPECT_EQ(end.bytes, static_cast<std::size_t>(bytes));
      EXPECT_EQ(system_.positioned, 1);
    }
  }
}

TEST(DirectIo, AFaultStaysWithItsRequest) {
  const TempPath path;
  FaultySystem system;
  DirectIo disk({}, system);
  const auto file = disk.create(path.str());
  ASSERT_TRUE(file);
  const TestPages memory(5);
  system.transfers = {std::nullopt, -EIO, 512, -EINTR, std::nullopt};
  const auto ends = run_all(**file, memory.requests(IoOp::write));
  EXPECT_EQ(ends[0].bytes, kTestPage);
  EXPECT_EQ(ends[1].error, EIO);
  EXPECT_EQ(ends[2].bytes, 512u);
  EXPECT_EQ(ends[3].error, EINTR);
  EXPECT_EQ(ends[4].bytes, kTestPage);
}

}  // namespace
}  // namespace pagedb
