// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Mapping, alignment and huge pages.
#include "engine/pool/page_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <limits>

#include "engine/check.h"

namespace pagedb::detail {

PageMemory::~PageMemory() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapped_bytes_);
}

Result<void> PageMemory::map(std::size_t bytes) noexcept {
  PAGEDB_CHECK(mapping_ == nullptr, "memory is mapped once");
  constexpr std::size_t kHugePage = std::size_t{1} << 21;
  const std::size_t align = bytes >= kHugePage ? kHugePage : 0;  // mmap itself aligns to 4096
  constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};
  if (bytes > std::numeric_limits<std::size_t>::max() - align) return failure(kNoMemory);
  void* const mapping =
      ::mmap(nullptr, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return failure(kNoMemory);
  mapping_ = mapping;
  mapped_bytes_ = bytes + align;
  data_ = static_cast<std::byte*>(mapping);
  if (align != 0) {
    data_ += (align - reinterpret_cast<std::uintptr_t>(data_)) & (align - 1);
    ::madvise(data_, bytes, MADV_HUGEPAGE);  // a wish: without huge pages hits miss the TLB more often
  }
  return {};
}

}  // namespace pagedb::detail
