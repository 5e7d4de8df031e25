// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Opening, checking, locking and syncing of real files, and positioned transfers.
#include "engine/io/posix_file.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>
#include <utility>

namespace pagedb {
namespace {

// Where the kernel does not tell: no disk sold has larger logical blocks.
constexpr std::uint32_t kFallbackAlignment = 4096;
constexpr mode_t kCreateMode = 0666;  // the umask decides

tl::unexpected<int> error(int negated) noexcept { return tl::unexpected<int>(-negated); }

int check_regular(const Descriptor& file) noexcept {
  struct stat facts{};
  if (const int result = file.system().fstat(file.fd(), facts); result < 0) return result;
  if (S_ISDIR(facts.st_mode)) return -EISDIR;
  return S_ISREG(facts.st_mode) ? 0 : -ENXIO;
}

// Sets the caching mode and drops the O_NONBLOCK of the opening. O_DIRECT is set here rather than in open(2), because
// an open that creates a file and is then refused O_DIRECT leaves the file behind without a descriptor to prove that it
// was ours.
IoResult<IoLimits> set_caching(const Descriptor& file, Caching caching) noexcept {
  const int flags = caching == Caching::direct ? O_DIRECT : 0;
  if (const int result = file.system().set_status_flags(file.fd(), flags); result < 0) {
    return error(flags != 0 && result == -EINVAL ? -EOPNOTSUPP : result);
  }
  IoLimits limits;
  if (caching == Caching::buffered) return limits;
  DirectAlignment alignment;
  if (const int result = file.system().direct_alignment(file.fd(), alignment); result < 0) return error(result);
  // Some file systems accept O_DIRECT and would then go through the page cache for this file, silently.
  if (alignment.known && (alignment.memory == 0 || alignment.offset == 0)) return error(-EOPNOTSUPP);
  limits.memory_align = alignment.known ? alignment.memory : kFallbackAlignment;
  limits.offset_align = alignment.known ? alignment.offset : kFallbackAlignment;
  return limits;
}

IoResult<OpenedFile> prepare(Descriptor file, Caching caching, Access access) noexcept {
  if (const int result = check_regular(file); result < 0) return error(result);
  const IoResult<IoLimits> limits = set_caching(file, caching);
  if (!limits) return tl::unexpected<int>(limits.error());
  if (access == Access::read_write) {
    if (const int failed = file.lock(); failed != 0) return tl::unexpected<int>(failed);
  }
  return OpenedFile{std::move(file), *limits};
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept
    : system_(other.system_), fd_(std::exchange(other.fd_, -1)), locked_(std::exchange(other.locked_, false)) {}

Descriptor::~Descriptor() {
  if (fd_ < 0) return;
  // Unlocked by hand: an io_uring that had the file registered lets go of it some time after it was closed.
  if (locked_) static_cast<void>(system_->set_lock(fd_, F_UNLCK));
  system_->close(fd_);
}

int Descriptor::lock() noexcept {
  const int result = system_->set_lock(fd_, F_WRLCK);
  locked_ = result >= 0;
  if (locked_) return 0;
  return result == -EACCES ? EWOULDBLOCK : -result;  // POSIX allows either for a lock that is held
}

IoResult<OpenedFile> open_file(const System& system, Caching caching, const char* path, Access access) noexcept {
  // O_NONBLOCK so that a pipe cannot hang the opening.
  const int mode = access == Access::read_write ? O_RDWR : O_RDONLY;
  const int fd = system.open(path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (fd < 0) return error(fd);  // ENXIO also for a socket, or a device file without device
  return prepare(Descriptor(system, fd), caching, access);
}

IoResult<OpenedFile> create_file(const System& system, Caching caching, const char* path) noexcept {
  const int fd = system.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, kCreateMode);
  if (fd < 0) return error(fd);
  IoResult<OpenedFile> opened = prepare(Descriptor(system, fd), caching, Access::read_write);
  if (!opened && opened.error() != EWOULDBLOCK) system.unlink(path);
  return opened;
}

int sync_parent_directory(const System& system, const std::string& path) noexcept {
  std::array<char, PATH_MAX> directory{'.'};
  if (const std::size_t slash = path.rfind('/'); slash != std::string::npos) {
    const std::size_t length = std::max<std::size_t>(slash, 1);  // "/file" stands in "/"
    if (length >= directory.size()) return ENAMETOOLONG;
    std::memcpy(directory.data(), path.data(), length);
  }
  const int fd = system.open(directory.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return -fd;
  const int result = system.fsync(fd);
  system.close(fd);
  return -std::min(result, 0);
}

IoResult<std::uint64_t> PosixFile::size() noexcept {
  struct stat facts{};
  if (const int result = descriptor_.system().fstat(descriptor_.fd(), facts); result < 0) return error(result);
  return static_cast<std::uint64_t>(facts.st_size);
}

int PosixFile::resize(std::uint64_t bytes) noexcept {
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) return EFBIG;
  return -std::min(descriptor_.system().ftruncate(descriptor_.fd(), static_cast<off_t>(bytes)), 0);
}

int PosixFile::sync() noexcept { return -std::min(descriptor_.system().fdatasync(descriptor_.fd()), 0); }

void PosixFile::run(std::span<const IoRequest> requests, IoDone done) noexcept {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    done(i, accepts(requests[i]) ? transfer(requests[i]) : IoStatus{EINVAL, 0});
  }
}

bool PosixFile::accepts(const IoRequest& request) const noexcept {
  constexpr auto kOffsetMax = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  const std::uint64_t place = request.offset | request.size;
  const auto address = reinterpret_cast<std::uintptr_t>(request.data);
  return (place & (limits_.offset_align - 1)) == 0 && (address & (limits_.memory_align - 1)) == 0 &&
         request.offset <= kOffsetMax && request.size <= kOffsetMax - request.offset;
}

IoStatus PosixFile::transfer(const IoRequest& request) const noexcept {
  const System& system = descriptor_.system();
  const std::size_t size = std::min(request.size, kTransferBytesMax);
  const auto offset = static_cast<off_t>(request.offset);
  const ssize_t moved = request.op == IoOp::read ? system.pread(descriptor_.fd(), request.data, size, offset)
                                                 : system.pwrite(descriptor_.fd(), request.data, size, offset);
  if (moved < 0) return {static_cast<int>(-moved), 0};
  return {0, static_cast<std::size_t>(moved)};
}

}  // namespace pagedb
