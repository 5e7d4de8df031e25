// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// UringRing: one io_uring for one file, and the loop that streams requests through it. The inside of UringIo.
//
// A ring belongs to the thread that made it: with IORING_SETUP_SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1) the kernel
// processes completions when this thread waits for them, and not by interrupting it, which makes several per cent of a
// disk's speed. Older kernels get fewer flags.
//
// Trouble of the ring is not trouble of a request. EINTR, EAGAIN and EBUSY from io_uring_enter are dealt with here;
// what a completion carries, -EINTR and -EAGAIN included, goes to the caller as it came. When the kernel refuses the
// ring for good, `run` first takes delivery of each request that the kernel has accepted, however long that lasts,
// because until then the kernel may still write into the caller's memory. The requests that it never accepted are then
// made with positioned calls. So every request completes exactly once, and nobody else holds its memory afterwards.
//
// Thread-safety: `create`, registering and `run` on one thread; it may be destroyed on another.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <span>

#include "engine/io/backend.h"
#include "engine/io/posix_file.h"
#include "engine/io/system.h"

namespace pagedb {

/// An io_uring and what is registered with it.
class UringRing {
 public:
  /// Sets up a ring for the calling thread that keeps up to `depth` requests in flight, or says with an errno value why
  /// the kernel will not. ENOSYS: io_uring is missing, or older than Linux 5.7.
  [[nodiscard]] static IoResult<std::unique_ptr<UringRing>> create(const System& system, unsigned depth) noexcept;

  ~UringRing();
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;

  /// Registers the file that every `run` will use, which spares the kernel a lookup per request. False: refused, and
  /// nothing changed.
  bool register_file(int fd) noexcept;

  /// Registers `region`, so that requests inside it need not have their memory pinned one by one. False: refused
  /// (mostly ENOMEM, by the limit on locked memory), and nothing changed.
  bool register_region(std::span<std::byte> region) noexcept;

  /// Whether the calling thread, `thread`, may use the ring. Thread ids are used again: for a later thread with the
  /// same id the kernel refuses, and `run` does without the ring.
  [[nodiscard]] bool belongs_to(pid_t thread) const noexcept { return owner_ == thread; }

  /// As IoFile::run, on `file`. False when the ring broke; every request was completed all the same, but the ring must
  /// not be used again.
  [[nodiscard]] bool run(const PosixFile& file, std::span<const IoRequest> requests, IoDone done) noexcept;

 private:
  struct Stream;

  UringRing(const System& system, unsigned depth) noexcept
      : system_(system), owner_(system.thread_id()), depth_(depth) {}
  [[nodiscard]] bool queue(Stream& stream) noexcept;
  void prepare(io_uring_sqe& sqe, int fd, const IoRequest& request) const noexcept;
  [[nodiscard]] bool enter(Stream& stream, unsigned wait) noexcept;
  unsigned deliver(Stream& stream) noexcept;
  void finish_without_ring(Stream& stream) noexcept;

  const System& system_;
  pid_t owner_;
  unsigned depth_;
  io_uring ring_{};
  bool file_registered_ = false;
  std::span<std::byte> region_{};  // registered memory, in pieces of kPieceBytes
};

}  // namespace pagedb
