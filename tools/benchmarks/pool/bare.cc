// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/benchmarks/pool/bare.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace pagedb::bench {

Arena::Arena(std::size_t bytes) : mapped_bytes_(bytes + (std::size_t{2} << 20)) {
  constexpr std::uintptr_t kHuge = std::uintptr_t{2} << 20;
  mapping_ = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) {
    std::perror("pool_bench: mmap");
    std::exit(1);
  }
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(mapping_) + kHuge - 1) & ~(kHuge - 1);
  data_ = reinterpret_cast<std::byte*>(first);
  ::madvise(data_, bytes, MADV_HUGEPAGE);
}

Arena::~Arena() { ::munmap(mapping_, mapped_bytes_); }

BareTable::BareTable(std::span<std::byte* const> pages)
    : heads_count_(static_cast<std::uint32_t>(2 * pages.size())),
      heads_memory_(heads_count_ * sizeof(*heads_)),
      infos_memory_(pages.size() * sizeof(Info)),
      states_memory_(pages.size() * sizeof(*states_)),
      memory_(*std::min_element(pages.begin(), pages.end())) {
  heads_ = new (heads_memory_.data()) std::atomic<std::uint32_t>[heads_count_];
  infos_ = new (infos_memory_.data()) Info[pages.size()];
  states_ = new (states_memory_.data()) std::atomic<std::uint64_t>[pages.size()];
  for (std::uint32_t i = 0; i < heads_count_; ++i) heads_[i].store(kNone);
  for (std::size_t id = 0; id < pages.size(); ++id) {
    const auto frame = static_cast<std::uint32_t>((pages[id] - memory_) >> kPageShift);
    std::atomic<std::uint32_t>& head = heads_[bucket_of(id)];
    infos_[frame].page.store(id);
    infos_[frame].next.store(head.load());
    head.store(frame);
  }
}

}  // namespace pagedb::bench
