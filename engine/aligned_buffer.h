// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// AlignedBuffer: zeroed memory that direct I/O accepts.
//
// Thread-safety: none beyond that of plain memory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "engine/error.h"

namespace pagedb {

/// Owns a zeroed block of memory whose address is a multiple of an alignment.
class AlignedBuffer {
 public:
  /// An alignment that every device known to us accepts, in bytes.
  static constexpr std::size_t kAlignment = 4096;

  /// Owns nothing; size() is 0.
  AlignedBuffer() = default;
  /// Takes over what `other` owns, which then owns nothing.
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : memory_(std::move(other.memory_)), size_(std::exchange(other.size_, 0)) {}
  /// Frees what it owns, and takes over what `other` owns, which then owns nothing.
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  /// `bytes` zeroed bytes at a multiple of `alignment` (a power of two), or out_of_memory.
  [[nodiscard]] static Result<AlignedBuffer> allocate(std::size_t bytes, std::size_t alignment = kAlignment) noexcept;

  /// The whole block.
  [[nodiscard]] std::span<std::byte> span() noexcept { return {memory_.get(), size_}; }
  /// The whole block, to read.
  [[nodiscard]] std::span<const std::byte> span() const noexcept { return {memory_.get(), size_}; }
  /// First byte.
  [[nodiscard]] std::byte* data() noexcept { return memory_.get(); }
  /// First byte, to read.
  [[nodiscard]] const std::byte* data() const noexcept { return memory_.get(); }
  /// Bytes owned.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  std::unique_ptr<std::byte[], Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace pagedb
