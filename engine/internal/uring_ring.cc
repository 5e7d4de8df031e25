// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The streaming loop over one io_uring.
#include "engine/internal/uring_ring.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

namespace pagedb {
namespace {

constexpr unsigned kPieceShift = 30;  // the kernel registers at most 1 GiB a piece
constexpr std::size_t kPieceBytes = std::size_t{1} << kPieceShift;
constexpr std::size_t kPiecesMax = 1024;
// Requests are taken in and handed out in groups of this size: the device starts on the first group while the next is
// prepared, and a system call still serves several requests.
constexpr unsigned kGroup = 4;
// How often an idle ring may be refused for want of kernel memory, with pauses, before the loop does without it.
constexpr unsigned kRefusalsMax = 64;

// Flags that younger headers have. The kernel says EINVAL where it does not know one.
constexpr unsigned kSetupCoopTaskrun = 1u << 8;
constexpr unsigned kSetupSingleIssuer = 1u << 12;
constexpr unsigned kSetupDeferTaskrun = 1u << 13;
constexpr std::array kSetupFlags{kSetupCoopTaskrun | kSetupSingleIssuer | kSetupDeferTaskrun, kSetupCoopTaskrun, 0u};
constexpr unsigned kFeatureFastPoll =
    1u << 5;  // Linux 5.7: the plain read and write operations and the lossless completion queue are there

bool transient(int result) noexcept { return result == -EINTR || result == -EAGAIN || result == -EBUSY; }

}  // namespace

// One `run` on its way.
struct UringRing::Stream {
  const PosixFile& file;
  std::span<const IoRequest> requests;
  IoDone done;
  std::size_t next = 0;   // first request that is neither queued nor refused
  unsigned pending = 0;   // queued and not yet delivered
  unsigned refusals = 0;  // in a row, with nothing in the kernel's hands
};

IoResult<std::unique_ptr<UringRing>> UringRing::create(const System& system, unsigned depth) noexcept {
  std::unique_ptr<UringRing> made(new (std::nothrow) UringRing(system, depth));
  if (!made) return tl::unexpected<int>(ENOMEM);
  int result = -EINVAL;
  io_uring_params params{};
  for (const unsigned flags : kSetupFlags) {
    params = {};
    params.flags = flags;
    result = system.uring_setup(depth, made->ring_, params);
    if (result != -EINVAL) break;
  }
  if (result < 0) {
    made->ring_.ring_fd = -1;
    return tl::unexpected<int>(-result);
  }
  if ((params.features & kFeatureFastPoll) == 0) return tl::unexpected<int>(ENOSYS);
  return made;
}

UringRing::~UringRing() {
  if (ring_.ring_fd >= 0) system_.uring_exit(ring_);
}

bool UringRing::register_file(int fd) noexcept {
  file_registered_ = system_.uring_register_file(ring_, fd) >= 0;
  return file_registered_;
}

bool UringRing::register_region(std::span<std::byte> region) noexcept {
  std::array<iovec, kPiecesMax> pieces;
  const std::size_t count = (region.size() + kPieceBytes - 1) / kPieceBytes;
  if (count == 0 || count > pieces.size()) return false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::span<std::byte> rest = region.subspan(i << kPieceShift);
    pieces[i] = {rest.data(), std::min(rest.size(), kPieceBytes)};
  }
  if (system_.uring_register_buffers(ring_, std::span(pieces).first(count)) < 0) return false;
  region_ = region;
  return true;
}

bool UringRing::run(const PosixFile& file, std::span<const IoRequest> requests, IoDone done) noexcept {
  Stream stream{file, requests, done};
  bool more = false;  // whether completions may be waiting
  for (;;) {
    const bool filled = queue(stream);
    if (stream.pending == 0) return true;
    if (!enter(stream, filled && !more ? 1 : 0)) {
      finish_without_ring(stream);
      return false;
    }
    more = deliver(stream) == kGroup;
  }
}

// Queues up to a group of requests. True when no further request could be queued now.
bool UringRing::queue(Stream& stream) noexcept {
  for (unsigned queued = 0; queued < kGroup;) {
    if (stream.next == stream.requests.size() || stream.pending == depth_) return true;
    const IoRequest& request = stream.requests[stream.next];
    if (!stream.file.accepts(request)) {
      stream.done(stream.next++, {EINVAL, 0});
      continue;
    }
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) return true;  // full of submissions that the kernel has not taken yet
    prepare(*sqe, stream.file.descriptor().fd(), request);
    sqe->user_data = stream.next++;
    ++stream.pending;
    ++queued;
  }
  return false;
}

void UringRing::prepare(io_uring_sqe& sqe, int fd, const IoRequest& request) const noexcept {
  const bool read = request.op == IoOp::read;
  const auto size = static_cast<unsigned>(std::min(request.size, PosixFile::kTransferBytesMax));
  const auto start = reinterpret_cast<std::uintptr_t>(request.data) - reinterpret_cast<std::uintptr_t>(region_.data());
  // In the region, and within one piece of it. An address before the region wraps around and is too large.
  const bool fixed = size != 0 && start < region_.size() && size <= region_.size() - start &&
                     start >> kPieceShift == (start + size - 1) >> kPieceShift;
  const int operation =
      fixed ? (read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED) : (read ? IORING_OP_READ : IORING_OP_WRITE);
  io_uring_prep_rw(operation, &sqe, file_registered_ ? 0 : fd, request.data, size, request.offset);
  if (fixed) sqe.buf_index = static_cast<std::uint16_t>(start >> kPieceShift);
  if (file_registered_) sqe.flags = IOSQE_FIXED_FILE;
}

// Hands the queue to the kernel and waits for `wait` completions. False when the ring is of no use any more.
bool UringRing::enter(Stream& stream, unsigned wait) noexcept {
  const int result = system_.uring_submit_and_wait(ring_, wait);
  if (result >= 0) {
    stream.refusals = 0;
    return true;
  }
  if (!transient(result)) return false;
  // A signal came, or the kernel is short of memory, or wants completions taken first: wait for one, if there is any to
  // wait for.
  if (stream.pending > io_uring_sq_ready(&ring_)) {
    const int waited = system_.uring_wait(ring_);
    return waited >= 0 || transient(waited);
  }
  system_.pause();
  return ++stream.refusals < kRefusalsMax;
}

// Delivers what has completed; how many.
unsigned UringRing::deliver(Stream& stream) noexcept {
  std::array<UringCompletion, kGroup> batch;
  const unsigned taken = system_.uring_reap(ring_, batch);
  stream.pending -= taken;
  for (const UringCompletion& completion : std::span(batch).first(taken)) {
    const bool ok = completion.result >= 0;
    stream.done(completion.user_data,
                {ok ? 0 : -completion.result, ok ? static_cast<std::size_t>(completion.result) : 0});
  }
  return taken;
}

// See the head of uring_ring.h.
void UringRing::finish_without_ring(Stream& stream) noexcept {
  const unsigned unsent = io_uring_sq_ready(&ring_);
  const std::size_t first_unsent =
      unsent == 0 ? stream.next : ring_.sq.sqes[*ring_.sq.khead & ring_.sq.ring_mask].user_data;
  while (stream.pending > unsent) {
    if (deliver(stream) != 0) continue;
    system_.pause();
    static_cast<void>(system_.uring_wait(ring_));  // most kernels post completions only to those who ask
  }
  for (std::size_t i = first_unsent; i < stream.requests.size(); ++i) {
    const bool accepted = stream.file.accepts(stream.requests[i]);
    if (!accepted && i < stream.next) continue;  // was refused when the queue was filled
    stream.done(i, accepted ? stream.file.transfer(stream.requests[i]) : IoStatus{EINVAL, 0});
  }
}

}  // namespace pagedb
