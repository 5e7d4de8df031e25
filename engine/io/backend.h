// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// IoBackend and IoFile: the seam between the engine and a disk.
//
// Two small interfaces. The library has two real implementations (DirectIo, UringIo); the simulator has a third
// (sim/sim_disk.h), and the engine cannot tell them apart. An implementation is a thin, honest messenger: it makes each
// request once and reports what happened. It does not retry EINTR or EAGAIN, does not continue a short transfer, does
// not sync on close or create. All of that is policy, and policy lives above this seam (engine/io/transfer.h), where it
// is simulated too.
//
// Ownership:     a backend outlives its files; memory named in a request stays valid and, for a write, unchanged
//                until its completion was delivered.
// Thread-safety: every member may be called by several threads at once. Two transfers that overlap on the file are
//                unordered among themselves, and a read that overlaps a write may see a mixture.
// Durability:    nothing is durable before `sync` (or, for a created file's name, `sync_directory`) has returned Ok.
//                After a failed sync the fate of every write since the last good one is unknown.
// Errors:        errno values, as the operating system gave them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "engine/function_ref.h"

namespace pagedb {

/// A T, or an errno value that says why not.
template <class T>
using IoResult = tl::expected<T, int>;

/// Direction of a transfer.
enum class IoOp : std::uint8_t {
  read,   ///< from the file into memory
  write,  ///< from memory into the file
};

/// One transfer between memory and a place in the file.
struct IoRequest {
  IoOp op = IoOp::read;       ///< direction
  std::uint64_t offset = 0;   ///< first byte in the file; a multiple of IoLimits::offset_align
  std::byte* data = nullptr;  ///< memory, aligned to IoLimits::memory_align; a write only reads it
  std::size_t size = 0;       ///< bytes; a multiple of IoLimits::offset_align
};

/// How one transfer ended.
struct IoStatus {
  int error = 0;          ///< 0, or an errno value
  std::size_t bytes = 0;  ///< bytes moved when error is 0; may be fewer than asked, and 0 for a read at the end
};

/// Receives each completion of a `run`: the request's index in the span, and how it ended. Called on the thread that
/// called `run`, exactly once a request, in any order. It must not start other I/O on the same file.
using IoDone = FunctionRef<void(std::size_t index, IoStatus status)>;

/// What the device asks of requests, and promises about them.
struct IoLimits {
  std::uint32_t memory_align = 1;        ///< alignment of request memory in bytes, a power of two
  std::uint32_t offset_align = 1;        ///< alignment of file offsets and lengths in bytes, a power of two
  std::uint32_t queue_depth = 1;         ///< requests that one `run` keeps in flight
  std::uint32_t atomic_write_bytes = 0;  ///< largest aligned power-of-two write that power loss cannot tear; 0: unknown
};

/// What an opener may do.
enum class Access : std::uint8_t {
  read_only,   ///< reads only; takes no lock
  read_write,  ///< reads and writes; holds the file's one writer lock until closed
};

/// An open file. Destroying it closes it, and syncs nothing.
class IoFile {
 public:
  virtual ~IoFile() = default;

  /// Alignment, depth and atomicity of this file. Constant while the file is open.
  [[nodiscard]] virtual IoLimits limits() const noexcept = 0;

  /// Length in bytes.
  [[nodiscard]] virtual IoResult<std::uint64_t> size() noexcept = 0;

  /// Sets the length; new bytes read as zero. Returns 0 or an errno value. Durable after the next sync.
  [[nodiscard]] virtual int resize(std::uint64_t bytes) noexcept = 0;

  /// fdatasync: every write whose completion was delivered before this call, and the length needed to read it back, is
  /// durable when 0 is returned. Otherwise an errno value.
  [[nodiscard]] virtual int sync() noexcept = 0;

  /// Makes all `requests`, keeping up to `limits().queue_depth` in flight and starting the next as one completes;
  /// delivers each completion to `done`; returns when the last was delivered. A request that breaks the alignment rules
  /// completes with EINVAL.
  virtual void run(std::span<const IoRequest> requests, IoDone done) noexcept = 0;
};

/// A place where files live.
class IoBackend {
 public:
  virtual ~IoBackend() = default;

  /// Opens an existing regular file. ENOENT: none there. EISDIR: a directory. ENXIO: some other thing that is no
  /// regular file. EWOULDBLOCK: read_write asked for, and another opener holds the writer lock. EOPNOTSUPP: the file
  /// system cannot do this backend's kind of I/O.
  [[nodiscard]] virtual IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept = 0;

  /// Creates a file of length 0 and opens it read_write. EEXIST: something is there. The name is durable only after
  /// `sync_directory`.
  [[nodiscard]] virtual IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept = 0;

  /// Makes the directory entry of `path` durable. Returns 0 or an errno value.
  [[nodiscard]] virtual int sync_directory(const std::string& path) noexcept = 0;
};

}  // namespace pagedb
