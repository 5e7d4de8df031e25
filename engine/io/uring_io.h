// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// UringIo: a real disk through io_uring. Batches run at the device's depth with about one system call per wake-up.
//
// `run` keeps `queue_depth` requests in flight and starts the next ones as completions arrive. A run of one request has
// nothing to overlap, and goes through one plain pread or pwrite on the calling thread instead: it needs no ring and is
// faster (tools/benchmarks/io_bench.cc measures both). Each thread that runs batches on a file has a ring of its own
// there, made at its first batch; the file keeps the `rings_kept_max` used last. When no ring can be had (memory,
// descriptors), that run makes its requests one after the other; it never fails for it.
//
// Opening, errors, alignment, locking and syncing are those of DirectIo (engine/io/direct_io.h). When the kernel
// refuses io_uring, `make` says so; use DirectIo then, which does the same work at depth 1:
//
//   auto uring = UringIo::make();
//   std::unique_ptr<IoBackend> backend;
//   if (uring) backend = std::move(*uring); else backend = std::make_unique<DirectIo>();
//
// A process that is killed with requests in flight leaves them to the kernel, which finishes them and holds the writer
// lock until it has: for up to about a tenth of a second another opener may still be told EWOULDBLOCK.
//
// A ring that breaks is never abandoned with requests in flight: `run` waits, however long, until the kernel has
// delivered those that it took, makes the rest with positioned calls, and drops the ring.
//
// Thread-safety: every member may be called by several threads at once, on one file, too.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "engine/io/backend.h"
#include "engine/io/posix_file.h"
#include "engine/io/system.h"

namespace pagedb {

namespace detail {
struct UringShared;
}

/// How UringIo does its work.
struct UringIoOptions {
  Caching caching = Caching::direct;  ///< bypass the page cache, unless buffered I/O is asked for by name
  unsigned queue_depth = 64;          ///< requests that one `run` keeps in flight, 1 to 4096
  unsigned rings_kept_max = 64;  ///< idle rings that a file keeps, at least 1: as many as threads run batches on it
  bool register_file = true;     ///< spare the kernel the lookup of the file at each request, where it allows that
  /// Memory that most requests use, such as a buffer pool's frames; it must stay mapped until every file of this
  /// backend is closed. Each ring pins it once, so that requests inside it are cheaper. It counts against the limit on
  /// locked memory (ulimit -l) once per ring; where the kernel refuses, that ring works without (see UringFacts).
  std::span<std::byte> registered_memory{};
};

/// What the kernel granted, over all files that are open now.
struct UringFacts {
  unsigned rings = 0;              ///< rings that exist
  unsigned rings_with_file = 0;    ///< those with a registered file
  unsigned rings_with_memory = 0;  ///< those with the registered memory
};

/// Files on a real disk, with io_uring. See the head of this file.
class UringIo final : public IoBackend {
 public:
  /// Tries the kernel with a first ring. On refusal the errno value: ENOSYS (no io_uring, or older than Linux 5.7),
  /// EPERM (forbidden by sysctl or a container's filter), ENOMEM or EMFILE. Then use DirectIo. `system` must outlive
  /// the backend and its files.
  [[nodiscard]] static IoResult<std::unique_ptr<UringIo>> make(const UringIoOptions& options = {},
                                                               const System& system = operating_system()) noexcept;

  ~UringIo() override;
  UringIo(const UringIo&) = delete;
  UringIo& operator=(const UringIo&) = delete;

  [[nodiscard]] IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override;
  [[nodiscard]] IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override;
  [[nodiscard]] int sync_directory(const std::string& path) noexcept override;

  /// What the kernel granted so far. A file's first ring is made by its first run of two or more requests.
  [[nodiscard]] UringFacts facts() const noexcept;

 private:
  explicit UringIo(std::unique_ptr<detail::UringShared> shared) noexcept;
  [[nodiscard]] IoResult<std::unique_ptr<IoFile>> to_file(OpenedFile opened) noexcept;

  std::unique_ptr<detail::UringShared> shared_;
};

}  // namespace pagedb
