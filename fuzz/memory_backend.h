// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A disk of one file in memory, without faults or latency: as little as possible between a fuzzer and the engine.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/backend.h"

namespace pagedb::fuzz {

/// What the file holds, and how often it was asked.
struct Memory {
  std::vector<std::byte> bytes;
  std::uint64_t transfers = 0;
  std::uint64_t changes = 0;  ///< writes and resizes
};

/// The file. Any number of handles may be open.
class MemoryFile final : public IoFile {
 public:
  explicit MemoryFile(Memory& memory) noexcept : memory_(memory) {}

  IoLimits limits() const noexcept override {
    return {.memory_align = 512, .offset_align = 512, .queue_depth = 4, .atomic_write_bytes = 0};
  }
  IoResult<std::uint64_t> size() noexcept override { return memory_.bytes.size(); }
  int resize(std::uint64_t bytes) noexcept override {
    if (bytes > kBytesMax) return ENOSPC;
    ++memory_.changes;
    memory_.bytes.resize(bytes);
    return 0;
  }
  int sync() noexcept override { return 0; }
  void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
    for (std::size_t i = 0; i < requests.size(); ++i) done(i, transfer(requests[i]));
  }

 private:
  static constexpr std::uint64_t kBytesMax = std::uint64_t{8} << 20;

  IoStatus transfer(const IoRequest& request) noexcept {
    ++memory_.transfers;
    if (request.offset % 512 != 0 || request.size % 512 != 0) return {.error = EINVAL};
    if (request.op == IoOp::read) {
      if (request.offset >= memory_.bytes.size()) return {};
      const std::size_t bytes = std::min(request.size, memory_.bytes.size() - request.offset);
      std::memcpy(request.data, memory_.bytes.data() + request.offset, bytes);
      return {.bytes = bytes};
    }
    if (request.offset + request.size > kBytesMax) return {.error = ENOSPC};
    ++memory_.changes;
    memory_.bytes.resize(std::max(memory_.bytes.size(), request.offset + request.size));
    std::memcpy(memory_.bytes.data() + request.offset, request.data, request.size);
    return {.bytes = request.size};
  }

  Memory& memory_;
};

/// Every path names the one file.
class MemoryBackend final : public IoBackend {
 public:
  explicit MemoryBackend(Memory& memory) noexcept : memory_(memory) {}

  IoResult<std::unique_ptr<IoFile>> open(const std::string&, Access) noexcept override {
    return std::make_unique<MemoryFile>(memory_);
  }
  IoResult<std::unique_ptr<IoFile>> create(const std::string&) noexcept override { return tl::unexpected<int>(EEXIST); }
  int sync_directory(const std::string&) noexcept override { return 0; }

 private:
  Memory& memory_;
};

}  // namespace pagedb::fuzz
