// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// DirectIo: a real disk through O_DIRECT and positioned calls. Works everywhere, one request at a time.
//
// `run` makes its requests in order, on the calling thread, one pread or pwrite each; parallelism comes from several
// threads. Alignment is what statx reports for the file (STATX_DIOALIGN, Linux 6.1 and later), else 4096 bytes. Where
// io_uring is to be had, UringIo is faster for batches, and the same in everything else.
//
// Besides the errors of the seam: EOPNOTSUPP from open and create where the file system has no direct I/O (choose
// another place for the file, or ask for Caching::buffered); EBADF from a write to a file that was opened read_only.
//
// The writer lock belongs to the opening (F_OFD_SETLK), so a second opener is refused within one process, too. It binds
// only openers that ask.
//
// Thread-safety: every member may be called by several threads at once.
#pragma once

#include <memory>
#include <string>

#include "engine/io/backend.h"
#include "engine/io/posix_file.h"
#include "engine/io/system.h"

namespace pagedb {

/// How DirectIo does its work.
struct DirectIoOptions {
  Caching caching = Caching::direct;  ///< bypass the page cache, unless buffered I/O is asked for by name
};

/// Files on a real disk, with positioned calls. See the head of this file.
class DirectIo final : public IoBackend {
 public:
  /// Keeps a reference to `system`, which must outlive the backend and its files.
  explicit DirectIo(const DirectIoOptions& options = {}, const System& system = operating_system()) noexcept
      : options_(options), system_(system) {}

  [[nodiscard]] IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override;
  [[nodiscard]] IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override;
  [[nodiscard]] int sync_directory(const std::string& path) noexcept override;

 private:
  DirectIoOptions options_;
  const System& system_;
};

}  // namespace pagedb
