// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PosixFile: an IoFile on a file descriptor; what DirectIo and UringIo have in common.
//
// Opening, creating, locking, length, sync and the alignment rules are the same for both backends and live here. On its
// own a PosixFile moves data with one positioned call a request, in order (that is DirectIo); UringIo derives from it
// and overrides `run`.
//
// Thread-safety: as IoFile: every member may be called by several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "engine/io/backend.h"
#include "engine/io/system.h"

namespace pagedb {

/// Whether transfers bypass the page cache.
enum class Caching : std::uint8_t {
  /// O_DIRECT. A write that was synced is on the device, and a failed sync loses nothing silently that the pool still
  /// holds.
  direct,
  /// Through the kernel's page cache, without alignment rules. After a failed sync the kernel may have marked the lost
  /// data clean, so that
  /// a later read returns bytes which are not on the device: choose it knowingly.
  buffered,
};

/// Owns an open file descriptor, and the writer lock where it was taken. Closing releases both.
class Descriptor {
 public:
  /// Takes over `fd`.
  Descriptor(const System& system, int fd) noexcept : system_(&system), fd_(fd) {}
  /// Takes over what `other` owns.
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor();

  /// Takes the file's writer lock (F_OFD_SETLK), without waiting. 0, EWOULDBLOCK when another opener has it, or another
  /// errno value.
  [[nodiscard]] int lock() noexcept;

  /// The descriptor's number.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// The table of system calls it came from.
  [[nodiscard]] const System& system() const noexcept { return *system_; }

 private:
  const System* system_;
  int fd_;
  bool locked_ = false;
};

/// A descriptor that passed every check, and what its device asks for.
struct OpenedFile {
  Descriptor descriptor;  ///< regular file, in the caching mode asked for; locked when it may be written
  IoLimits limits;        ///< with queue_depth 1
};

/// Opens an existing regular file, as IoBackend::open says, and also: EOPNOTSUPP where the file system refuses direct
/// I/O. Changes nothing on disk, never blocks on a pipe, and sets close-on-exec.
[[nodiscard]] IoResult<OpenedFile> open_file(const System& system, Caching caching, const char* path,
                                             Access access) noexcept;

/// Creates a file of length 0 and locks it, as IoBackend::create says. A file that was made but cannot be used is
/// removed again, unless another opener has locked it in the meantime (EWOULDBLOCK): then it is theirs.
[[nodiscard]] IoResult<OpenedFile> create_file(const System& system, Caching caching, const char* path) noexcept;

/// fsync of the directory that `path` stands in. Returns 0 or an errno value.
[[nodiscard]] int sync_parent_directory(const System& system, const std::string& path) noexcept;

/// A file that moves data with pread and pwrite, one call a request.
class PosixFile : public IoFile {
 public:
  /// The most that one call is asked to move, in bytes; longer requests end short, as the seam allows. A multiple of
  /// every alignment.
  static constexpr std::size_t kTransferBytesMax = std::size_t{1} << 30;

  /// Takes over an opened file.
  explicit PosixFile(OpenedFile opened) noexcept : descriptor_(std::move(opened.descriptor)), limits_(opened.limits) {}

  [[nodiscard]] IoLimits limits() const noexcept override { return limits_; }
  [[nodiscard]] IoResult<std::uint64_t> size() noexcept override;
  [[nodiscard]] int resize(std::uint64_t bytes) noexcept override;
  [[nodiscard]] int sync() noexcept override;
  void run(std::span<const IoRequest> requests, IoDone done) noexcept override;

  /// Whether `request` keeps the alignment rules and stays within the offsets that a file can have. One that does not
  /// ends with EINVAL, on every file system alike.
  [[nodiscard]] bool accepts(const IoRequest& request) const noexcept;

  /// Makes one request with one positioned call, on the calling thread.
  [[nodiscard]] IoStatus transfer(const IoRequest& request) const noexcept;

  /// The file's descriptor.
  [[nodiscard]] const Descriptor& descriptor() const noexcept { return descriptor_; }

 private:
  Descriptor descriptor_;
  IoLimits limits_;
};

}  // namespace pagedb
