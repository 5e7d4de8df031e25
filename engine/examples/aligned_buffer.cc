// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: memory for direct I/O, and what happens when there is not enough of it.
#include "engine/aligned_buffer.h"

#include <cstdint>
#include <cstdio>
#include <limits>
#include <utility>

int main() {
  auto buffer = pagedb::AlignedBuffer::allocate(64 * 1024);
  if (!buffer) return 1;
  const auto address = reinterpret_cast<std::uintptr_t>(buffer->data());
  if (address % pagedb::AlignedBuffer::kAlignment != 0 || buffer->span()[1000] != std::byte{0}) return 1;

  const pagedb::AlignedBuffer owner = std::move(*buffer);  // the bytes stay where they are
  if (owner.size() != 64 * 1024 || reinterpret_cast<std::uintptr_t>(owner.data()) != address) return 1;

  const auto too_much = pagedb::AlignedBuffer::allocate(std::numeric_limits<std::size_t>::max());
  if (too_much) return 1;
  std::printf("%s\n", too_much.error().message().c_str());
  return 0;
}
