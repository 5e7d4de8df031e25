// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/memory_meter.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

thread_local std::uint64_t requested = 0;

void* plain(std::size_t bytes) noexcept {
  requested += bytes;
  return std::malloc(bytes == 0 ? 1 : bytes);
}

void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

extern "C" {
void* __real_aligned_alloc(std::size_t alignment,
                           std::size_t bytes);  // NOLINT(bugprone-reserved-identifier): the linker's name
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {  // NOLINT(bugprone-reserved-identifier)
  requested += bytes;
  return __real_aligned_alloc(alignment, bytes);
}
}

// The default array, nothrow and sized forms all end in these two.
void* operator new(std::size_t bytes) { return or_throw(plain(bytes)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return plain(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace pagedb::scenarios {

std::uint64_t allocated_bytes() noexcept { return requested; }

}  // namespace pagedb::scenarios
