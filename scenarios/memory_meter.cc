// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/memory_meter.h"

#include <cstddef>
#include <cstdlib>
#include <new>

#include "sim/sanitizer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAGEDB_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PAGEDB_SANITIZED 1
#endif
#endif

namespace {

thread_local std::uint64_t requested = 0;

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): names given by the linker and the sanitizers
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);

#if defined(PAGEDB_SANITIZED)

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  if (pagedb::sim::kThreadSanitizer) requested += bytes;  // its hooks know of malloc only
  return __real_aligned_alloc(alignment, bytes);
}

// Runs inside the sanitizer's allocator, on any fiber: the counter is the thread's, and no race.
__attribute__((no_sanitize("thread", "address"))) static void count(const volatile void*, std::size_t bytes) {
  requested += bytes;
}

namespace pagedb::scenarios {

std::uint64_t allocated_bytes() noexcept {
  static const int installed = __sanitizer_install_malloc_and_free_hooks(count, [](const volatile void*) {});
  static_cast<void>(installed);
  return requested;
}

}  // namespace pagedb::scenarios

#else

extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  requested += bytes;
  return __real_aligned_alloc(alignment, bytes);
}

// The array and throwing forms of the standard library end in these two.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  requested += bytes;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes) {
  void* memory = operator new(bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace pagedb::scenarios {

std::uint64_t allocated_bytes() noexcept { return requested; }

}  // namespace pagedb::scenarios

#endif
// NOLINTEND(bugprone-reserved-identifier)
