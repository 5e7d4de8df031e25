// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The operating system's side of the table of system calls.
#include "engine/io/system.h"

#include <fcntl.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace pagedb {
namespace {

template <class T>
T negated_errno(T result) noexcept {
  return result < 0 ? static_cast<T>(-errno) : result;
}

// The kernel's struct statx as far as we use it, spelled out because older C libraries lack the fields for direct I/O.
struct KernelStatx {
  std::uint32_t mask;
  std::byte before[148];
  std::uint32_t dio_memory_align;
  std::uint32_t dio_offset_align;
  std::byte after[96];
};
static_assert(sizeof(KernelStatx) == 256);
static_assert(offsetof(KernelStatx, dio_memory_align) == 152 && offsetof(KernelStatx, dio_offset_align) == 156);
constexpr unsigned kStatxDioAlign = 0x2000;

constinit const System kOperatingSystem;

}  // namespace

const System& operating_system() noexcept { return kOperatingSystem; }

int System::open(const char* path, int flags, mode_t mode) const noexcept {
  return negated_errno(::open(path, flags, mode));
}

int System::close(int fd) const noexcept { return negated_errno(::close(fd)); }

int System::unlink(const char* path) const noexcept { return negated_errno(::unlink(path)); }

int System::fstat(int fd, struct stat& out) const noexcept { return negated_errno(::fstat(fd, &out)); }

int System::direct_alignment(int fd, DirectAlignment& out) const noexcept {
  out = {};
  KernelStatx facts{};
  const long result = ::syscall(SYS_statx, fd, "", AT_EMPTY_PATH, kStatxDioAlign, &facts);
  if (result < 0) return errno == ENOSYS ? 0 : -errno;
  if ((facts.mask & kStatxDioAlign) != 0) out = {true, facts.dio_memory_align, facts.dio_offset_align};
  return 0;
}

int System::set_status_flags(int fd, int flags) const noexcept { return negated_errno(::fcntl(fd, F_SETFL, flags)); }

int System::set_lock(int fd, short type) const noexcept {
  struct flock whole_file{};
  whole_file.l_type = type;
  whole_file.l_whence = SEEK_SET;
  return negated_errno(::fcntl(fd, F_OFD_SETLK, &whole_file));
}

ssize_t System::pread(int fd, std::byte* data, std::size_t size, off_t offset) const noexcept {
  return negated_errno(::pread(fd, data, size, offset));
}

ssize_t System::pwrite(int fd, const std::byte* data, std::size_t size, off_t offset) const noexcept {
  return negated_errno(::pwrite(fd, data, size, offset));
}

int System::fdatasync(int fd) const noexcept { return negated_errno(::fdatasync(fd)); }

int System::fsync(int fd) const noexcept { return negated_errno(::fsync(fd)); }

int System::ftruncate(int fd, off_t bytes) const noexcept { return negated_errno(::ftruncate(fd, bytes)); }

int System::uring_setup(unsigned entries, io_uring& ring, io_uring_params& params) const noexcept {
  return io_uring_queue_init_params(entries, &ring, &params);
}

void System::uring_exit(io_uring& ring) const noexcept { io_uring_queue_exit(&ring); }

int System::uring_register_buffers(io_uring& ring, std::span<const iovec> buffers) const noexcept {
  return io_uring_register_buffers(&ring, buffers.data(), static_cast<unsigned>(buffers.size()));
}

int System::uring_register_file(io_uring& ring, int fd) const noexcept {
  return io_uring_register_files(&ring, &fd, 1);
}

int System::uring_submit_and_wait(io_uring& ring, unsigned wait) const noexcept {
  return io_uring_submit_and_wait(&ring, wait);
}

int System::uring_wait(io_uring& ring) const noexcept {
  io_uring_cqe* completion = nullptr;
  return io_uring_wait_cqe(&ring, &completion);
}

unsigned System::uring_reap(io_uring& ring, std::span<UringCompletion> out) const noexcept {
  unsigned head = 0;
  unsigned taken = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring, head, completion) {
    if (taken == out.size()) break;
    out[taken++] = {completion->user_data, completion->res};
  }
  io_uring_cq_advance(&ring, taken);
  return taken;
}

pid_t System::thread_id() const noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

void System::pause() const noexcept {
  const timespec nap{0, 50'000};
  ::nanosleep(&nap, nullptr);
}

}  // namespace pagedb
