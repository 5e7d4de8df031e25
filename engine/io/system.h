// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// System: the table of system calls under both real backends.
//
// Every call that DirectIo and UringIo make to the kernel goes through here, so that a test (or faults/) can derive
// from System, override one call and see the real backend meet EINTR, EAGAIN, a short or zero transfer, EIO or ENOSPC.
// The base class is the operating system itself and has no state. Each call is made once: nothing here retries or
// interprets.
//
// Results:       a value >= 0, or a negated errno value.
// Thread-safety: all members of the base class may be called from any thread; an io_uring is used by one thread at a
// time.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

struct io_uring;
struct io_uring_params;
struct iovec;

namespace pagedb {

/// What the kernel says about direct I/O on a file (statx, STATX_DIOALIGN, Linux 6.1 and later).
struct DirectAlignment {
  bool known = false;        ///< the kernel and file system answered; otherwise the rest means nothing
  std::uint32_t memory = 0;  ///< alignment of memory in bytes; 0: the file does not support direct I/O
  std::uint32_t offset = 0;  ///< alignment of offsets and lengths in bytes; 0: the file does not support direct I/O
};

/// One completion from an io_uring.
struct UringCompletion {
  std::uint64_t user_data = 0;  ///< what the submission carried
  std::int32_t result = 0;      ///< bytes moved, or a negated errno value
};

/// System calls, each made exactly once. Derive and override to inject faults.
class System {
 public:
  virtual ~System() = default;

  /// open(2). A descriptor, or a negated errno value.
  [[nodiscard]] virtual int open(const char* path, int flags, mode_t mode) const noexcept;
  /// close(2).
  virtual int close(int fd) const noexcept;
  /// unlink(2).
  virtual int unlink(const char* path) const noexcept;
  /// fstat(2).
  [[nodiscard]] virtual int fstat(int fd, struct stat& out) const noexcept;
  /// statx(2) for STATX_DIOALIGN alone. 0 also when the kernel does not know it; then `out.known` is false.
  [[nodiscard]] virtual int direct_alignment(int fd, DirectAlignment& out) const noexcept;
  /// fcntl(2) F_SETFL.
  [[nodiscard]] virtual int set_status_flags(int fd, int flags) const noexcept;
  /// fcntl(2) F_OFD_SETLK over the whole file. `type` is F_WRLCK or F_UNLCK; never blocks.
  [[nodiscard]] virtual int set_lock(int fd, short type) const noexcept;
  /// pread(2).
  [[nodiscard]] virtual ssize_t pread(int fd, std::byte* data, std::size_t size, off_t offset) const noexcept;
  /// pwrite(2).
  [[nodiscard]] virtual ssize_t pwrite(int fd, const std::byte* data, std::size_t size, off_t offset) const noexcept;
  /// fdatasync(2).
  [[nodiscard]] virtual int fdatasync(int fd) const noexcept;
  /// fsync(2).
  [[nodiscard]] virtual int fsync(int fd) const noexcept;
  /// ftruncate(2).
  [[nodiscard]] virtual int ftruncate(int fd, off_t bytes) const noexcept;

  /// io_uring_setup(2) and the ring's mappings. On success `ring` must be given to `uring_exit`.
  [[nodiscard]] virtual int uring_setup(unsigned entries, io_uring& ring, io_uring_params& params) const noexcept;
  /// Unmaps and closes the ring.
  virtual void uring_exit(io_uring& ring) const noexcept;
  /// io_uring_register(2) IORING_REGISTER_BUFFERS.
  [[nodiscard]] virtual int uring_register_buffers(io_uring& ring, std::span<const iovec> buffers) const noexcept;
  /// io_uring_register(2) IORING_REGISTER_FILES with one file, which gets index 0.
  [[nodiscard]] virtual int uring_register_file(io_uring& ring, int fd) const noexcept;
  /// io_uring_enter(2): submits what is queued and waits for `wait` completions. Submissions taken, or a negated errno
  /// value. Completions may have arrived in either case.
  [[nodiscard]] virtual int uring_submit_and_wait(io_uring& ring, unsigned wait) const noexcept;
  /// io_uring_enter(2) without submitting: waits for one completion, unless one is there already.
  [[nodiscard]] virtual int uring_wait(io_uring& ring) const noexcept;
  /// Takes up to `out.size()` completions off the ring; no system call. How many there were.
  [[nodiscard]] virtual unsigned uring_reap(io_uring& ring, std::span<UringCompletion> out) const noexcept;

  /// gettid(2).
  [[nodiscard]] virtual pid_t thread_id() const noexcept;
  /// Sleeps for some 50 microseconds.
  virtual void pause() const noexcept;
};

/// The operating system, without faults: the default of both backends. Constant, and safe to use from any thread.
[[nodiscard]] const System& operating_system() noexcept;

}  // namespace pagedb
