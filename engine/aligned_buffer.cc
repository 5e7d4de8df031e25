// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Aligned, zeroed memory from the C library.
#include "engine/aligned_buffer.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "engine/check.h"

namespace pagedb {

void AlignedBuffer::Free::operator()(std::byte* memory) const noexcept { std::free(memory); }

Result<AlignedBuffer> AlignedBuffer::allocate(std::size_t bytes, std::size_t alignment) noexcept {
  PAGEDB_CHECK(std::has_single_bit(alignment), "an alignment is a power of two");
  AlignedBuffer buffer;
  if (bytes == 0) return buffer;
  const PageError no_memory{.code = ErrorCode::out_of_memory, .expected = bytes};
  if (bytes > std::numeric_limits<std::size_t>::max() - alignment) return failure(no_memory);
  // aligned_alloc asks for a size that is a multiple of the alignment.
  const std::size_t rounded = (bytes + alignment - 1) & ~(alignment - 1);
  buffer.memory_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
  if (buffer.memory_ == nullptr) return failure(no_memory);
  std::memset(buffer.memory_.get(), 0, bytes);
  buffer.size_ = bytes;
  return buffer;
}

}  // namespace pagedb
