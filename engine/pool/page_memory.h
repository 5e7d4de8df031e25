// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageMemory: one block of zeroed memory for a pool's frames, in huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <span>

#include "engine/error.h"

namespace pagedb::detail {

/// Owns address space from mmap. Untouched parts take no memory.
class PageMemory {
 public:
  PageMemory() = default;
  ~PageMemory();
  PageMemory(const PageMemory&) = delete;
  PageMemory& operator=(const PageMemory&) = delete;

  /// `bytes` zeroed bytes at a multiple of 4096, and of 2 MiB where `bytes` reach that far. Once. Errors:
  /// out_of_memory.
  [[nodiscard]] Result<void> map(std::size_t bytes) noexcept;

  /// First byte.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  std::byte* data_ = nullptr;
};

}  // namespace pagedb::detail
