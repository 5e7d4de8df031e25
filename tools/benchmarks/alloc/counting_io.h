// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// CountingIo: a backend that counts what passes through it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "engine/io/backend.h"
#include "engine/superblock.h"

namespace pagedb::bench {

/// What passed, retries included.
struct IoCounts {
  std::uint64_t reads = 0;        ///< requests
  std::uint64_t read_bytes = 0;   ///< that they asked for
  std::uint64_t writes = 0;       ///< requests
  std::uint64_t write_bytes = 0;  ///< that they brought
  std::uint64_t slot_writes = 0;  ///< those of `writes` that went to one of the superblock's slots
  std::uint64_t syncs = 0;        ///< of the file
};

/// See the head of this file.
class CountingIo final : public IoBackend {
 public:
  explicit CountingIo(std::unique_ptr<IoBackend> below) : below_(std::move(below)) {}

  IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override {
    return wrapped(below_->open(path, access));
  }
  IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override {
    return wrapped(below_->create(path));
  }
  int sync_directory(const std::string& path) noexcept override { return below_->sync_directory(path); }

  /// What passed since this was last called.
  IoCounts take() noexcept {
    return {reads_.exchange(0),       read_bytes_.exchange(0),  writes_.exchange(0),
            write_bytes_.exchange(0), slot_writes_.exchange(0), syncs_.exchange(0)};
  }

 private:
  class File final : public IoFile {
   public:
    File(CountingIo& counts, std::unique_ptr<IoFile> below) noexcept : counts_(counts), below_(std::move(below)) {}
    IoLimits limits() const noexcept override { return below_->limits(); }
    IoResult<std::uint64_t> size() noexcept override { return below_->size(); }
    int resize(std::uint64_t bytes) noexcept override { return below_->resize(bytes); }
    int sync() noexcept override {
      ++counts_.syncs_;
      return below_->sync();
    }
    void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
      for (const IoRequest& request : requests) counts_.count(request);
      below_->run(requests, done);
    }

   private:
    CountingIo& counts_;
    std::unique_ptr<IoFile> below_;
  };

  IoResult<std::unique_ptr<IoFile>> wrapped(IoResult<std::unique_ptr<IoFile>> file) noexcept {
    if (!file) return file;
    return std::make_unique<File>(*this, std::move(*file));
  }
  void count(const IoRequest& request) noexcept {
    const bool read = request.op == IoOp::read;
    ++(read ? reads_ : writes_);
    (read ? read_bytes_ : write_bytes_) += request.size;
    if (!read && (request.offset == 0 || request.offset == kTwinOffset)) ++slot_writes_;
  }

  std::unique_ptr<IoBackend> below_;
  std::atomic<std::uint64_t> reads_{0}, read_bytes_{0}, writes_{0}, write_bytes_{0}, slot_writes_{0}, syncs_{0};
};

}  // namespace pagedb::bench
