// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the tests of the real backends share: a file of one's own, memory, a collector of completions, and a System that
// can be faulted.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/system.h"

namespace pagedb {

inline constexpr std::size_t kTestPage = 4096;

/// A path in the current directory that no other test has; removed at both ends of its life.
class TempPath {
 public:
  explicit TempPath(const std::string& content = {}, bool exists = false)
      : path_("real_io_" + std::to_string(::getpid()) + "_" +
              testing::UnitTest::GetInstance()->current_test_info()->test_suite_name() + "_" +
              std::to_string(++made_)) {
    std::replace(path_.begin(), path_.end(), '/', '_');
    remove();
    if (exists || !content.empty()) std::ofstream(path_, std::ios::binary) << content;
  }
  ~TempPath() { remove(); }
  TempPath(const TempPath&) = delete;
  TempPath& operator=(const TempPath&) = delete;

  const std::string& str() const { return path_; }
  bool exists() const { return ::access(path_.c_str(), F_OK) == 0; }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  void remove() {
    ::unlink(path_.c_str());
    ::rmdir(path_.c_str());
  }
  static inline std::atomic<int> made_{0};
  std::string path_;
};

/// Page-aligned memory for `pages` pages, filled with zeros.
class TestPages {
 public:
  explicit TestPages(std::size_t pages)
      : bytes_(static_cast<std::byte*>(std::aligned_alloc(kTestPage, pages * kTestPage))), pages_(pages) {
    std::memset(bytes_, 0, pages * kTestPage);
  }
  ~TestPages() { std::free(bytes_); }
  TestPages(const TestPages&) = delete;
  TestPages& operator=(const TestPages&) = delete;

  std::byte* page(std::size_t i) const { return bytes_ + i * kTestPage; }
  std::span<std::byte> span() const { return {bytes_, pages_ * kTestPage}; }
  /// Fills page i with bytes that tell which page it is.
  void mark(std::size_t salt) const {
    for (std::size_t i = 0; i < pages_ * kTestPage; ++i) bytes_[i] = expected(i, salt);
  }
  /// Whether page i holds what `mark` gives to page `of`.
  bool marked(std::size_t i, std::size_t of, std::size_t salt) const {
    for (std::size_t at = 0; at < kTestPage; ++at) {
      if (page(i)[at] != expected(of * kTestPage + at, salt)) return false;
    }
    return true;
  }
  bool marked(std::size_t i, std::size_t salt) const { return marked(i, i, salt); }
  /// A request for each page, page i at file page first + i.
  std::vector<IoRequest> requests(IoOp op, std::size_t first = 0) const {
    std::vector<IoRequest> all;
    for (std::size_t i = 0; i < pages_; ++i) all.push_back({op, (first + i) * kTestPage, page(i), kTestPage});
    return all;
  }

 private:
  static std::byte expected(std::size_t at, std::size_t salt) {
    return static_cast<std::byte>(((at / kTestPage) * 37 + at % kTestPage / 16 + salt) & 0xff);
  }
  std::byte* bytes_;
  std::size_t pages_;
};

/// Runs `requests` and returns how each ended; fails the test unless each completed exactly once.
inline std::vector<IoStatus> run_all(IoFile& file, std::span<const IoRequest> requests) {
  std::vector<IoStatus> ends(requests.size());
  std::vector<int> completions(requests.size(), 0);
  file.run(requests, [&](std::size_t index, IoStatus status) {
    ASSERT_LT(index, ends.size());
    ends[index] = status;
    ++completions[index];
  });
  for (std::size_t i = 0; i < completions.size(); ++i) EXPECT_EQ(completions[i], 1) << "request " << i;
  return ends;
}

/// Whether each transfer moved a whole page.
inline bool all_whole(const std::vector<IoStatus>& ends) {
  return std::all_of(ends.begin(), ends.end(), [](IoStatus s) { return s.error == 0 && s.bytes == kTestPage; });
}

/// The operating system, with faults. A script holds one entry a call or completion: nothing, let it pass; negative,
/// the result instead; otherwise at most so many bytes. An exhausted script lets everything pass.
class FaultySystem : public System {
 public:
  using Script = std::deque<std::optional<int>>;

  mutable Script transfers;    ///< for pread and pwrite
  mutable Script completions;  ///< for what io_uring delivers
  mutable Script submits;      ///< for uring_submit_and_wait; the call is not made where there is an entry
  int fail_open = 0, fail_fstat = 0, fail_flags = 0, fail_lock = 0, fail_fsync = 0, fail_fdatasync = 0,
      fail_truncate = 0;
  int fail_setup = 0, fail_register_file = 0, fail_register_buffers = 0,
      fail_wait = 0;                         ///< results instead, when not 0
  std::optional<DirectAlignment> alignment;  ///< what statx answers instead
  std::optional<pid_t> thread;               ///< what gettid answers instead
  unsigned setup_flags_known = ~0u;          ///< other set-up flags are refused
  unsigned setup_features = ~0u;             ///< other features are hidden
  mutable std::atomic<int> opened{0}, closed{0}, positioned{0}, entered{0}, setups{0}, exits{0}, pauses{0};
  mutable std::atomic<int> open_flags{0};
  mutable int waits_refused = 0;  ///< so many calls of uring_wait still fail
  mutable int in_flight = 0, in_flight_max = 0;

  int open(const char* path, int flags, mode_t mode) const noexcept override {
    open_flags |= flags;
    if (fail_open != 0) return fail_open;
    const int fd = System::open(path, flags, mode);
    if (fd >= 0) ++opened;
    return fd;
  }
  int close(int fd) const noexcept override {
    ++closed;
    return System::close(fd);
  }
  int fstat(int fd, struct stat& out) const noexcept override {
    return fail_fstat != 0 ? fail_fstat : System::fstat(fd, out);
  }
  int direct_alignment(int fd, DirectAlignment& out) const noexcept override {
    if (!alignment) return System::direct_alignment(fd, out);
    out = *alignment;
    return 0;
  }
  int set_status_flags(int fd, int flags) const noexcept override {
    return fail_flags != 0 && (flags & O_DIRECT) != 0 ? fail_flags : System::set_status_flags(fd, flags);
  }
  int set_lock(int fd, short type) const noexcept override {
    return fail_lock != 0 && type == F_WRLCK ? fail_lock : System::set_lock(fd, type);
  }
  ssize_t pread(int fd, std::byte* data, std::size_t size, off_t offset) const noexcept override {
    return transfer(size, [&](std::size_t limited) { return System::pread(fd, data, limited, offset); });
  }
  ssize_t pwrite(int fd, const std::byte* data, std::size_t size, off_t offset) const noexcept override {
    return transfer(size, [&](std::size_t limited) { return System::pwrite(fd, data, limited, offset); });
  }
  int fdatasync(int fd) const noexcept override { return fail_fdatasync != 0 ? fail_fdatasync : System::fdatasync(fd); }
  int fsync(int fd) const noexcept override { return fail_fsync != 0 ? fail_fsync : System::fsync(fd); }
  int ftruncate(int fd, off_t bytes) const noexcept override {
    return fail_truncate != 0 ? fail_truncate : System::ftruncate(fd, bytes);
  }
  int uring_setup(unsigned entries, io_uring& ring, io_uring_params& params) const noexcept override;
  void uring_exit(io_uring& ring) const noexcept override {
    ++exits;
    System::uring_exit(ring);
  }
  int uring_register_buffers(io_uring& ring, std::span<const iovec> buffers) const noexcept override {
    return fail_register_buffers != 0 ? fail_register_buffers : System::uring_register_buffers(ring, buffers);
  }
  int uring_register_file(io_uring& ring, int fd) const noexcept override {
    return fail_register_file != 0 ? fail_register_file : System::uring_register_file(ring, fd);
  }
  int uring_submit_and_wait(io_uring& ring, unsigned wait) const noexcept override;
  int uring_wait(io_uring& ring) const noexcept override {
    if (waits_refused > 0) {
      --waits_refused;
      return -EBADF;
    }
    return System::uring_wait(ring);
  }
  unsigned uring_reap(io_uring& ring, std::span<UringCompletion> out) const noexcept override;
  pid_t thread_id() const noexcept override { return thread ? *thread : System::thread_id(); }
  void pause() const noexcept override {
    ++pauses;
    System::pause();
  }

 private:
  template <class Call>
  ssize_t transfer(std::size_t size, Call call) const noexcept {
    ++positioned;
    if (transfers.empty()) return call(size);
    const std::optional<int> fault = transfers.front();
    transfers.pop_front();
    if (!fault) return call(size);
    if (*fault < 0) return *fault;
    return *fault == 0 ? 0 : call(std::min(size, static_cast<std::size_t>(*fault)));
  }
};

inline int FaultySystem::uring_setup(unsigned entries, io_uring& ring, io_uring_params& params) const noexcept {
  ++setups;
  if (fail_setup != 0) return fail_setup;
  if ((params.flags & ~setup_flags_known) != 0) return -EINVAL;
  const int result = System::uring_setup(entries, ring, params);
  params.features &= setup_features;
  return result;
}

inline int FaultySystem::uring_submit_and_wait(io_uring& ring, unsigned wait) const noexcept {
  ++entered;
  if (!submits.empty()) {
    const std::optional<int> fault = submits.front();
    submits.pop_front();
    if (fault) return *fault;
  }
  const unsigned ready = io_uring_sq_ready(&ring);
  const int result = System::uring_submit_and_wait(ring, wait);
  in_flight += static_cast<int>(ready - io_uring_sq_ready(&ring));
  in_flight_max = std::max(in_flight_max, in_flight);
  return result;
}

inline unsigned FaultySystem::uring_reap(io_uring& ring, std::span<UringCompletion> out) const noexcept {
  const unsigned taken = System::uring_reap(ring, out);
  in_flight -= static_cast<int>(taken);
  for (UringCompletion& completion : out.first(taken)) {
    if (completions.empty()) break;
    const std::optional<int> fault = completions.front();
    completions.pop_front();
    if (fault) completion.result = *fault < 0 ? *fault : std::min(completion.result, *fault);
  }
  return taken;
}

}  // namespace pagedb
