// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the rows of one thread and of two do in their loops: written as a user writes them, results used in place, and
// the same for the allocator and its peer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tools/benchmarks/alloc/peer.h"
#include "tools/benchmarks/alloc/space.h"

namespace pagedb::bench {

/// One page of either allocator.
inline std::uint64_t take_one(PageAllocator& pages) {
  const auto page = pages.allocate();
  if (!page) [[unlikely]]
    fail(page.error().message());
  return page->value;
}
inline std::uint64_t take_one(MutexAllocator& pages) { return pages.allocate(); }
/// Gives a page back.
inline void give_back(PageAllocator& pages, std::uint64_t page) {
  if (const auto freed = pages.free(PageId{page}); !freed) [[unlikely]]
    fail(freed.error().message());
}
inline void give_back(MutexAllocator& pages, std::uint64_t page) { pages.free(page); }

/// Allocates `count` pages past all others.
inline void extend(PageAllocator& pages, std::uint64_t count) {
  std::uint64_t sum = 0;
  for (; count > 0; --count) sum += take_one(pages);
  use(sum);
}
inline void extend(MutexAllocator& pages, std::uint64_t count) {
  std::uint64_t sum = 0;
  for (; count > 0; --count) sum += pages.extend();
  use(sum);
}

/// One page that is freed and allocated again and again.
template <class Allocator>
void cycle_one(Allocator& pages, std::uint64_t& page, std::uint64_t count) {
  for (; count > 0; --count) {
    give_back(pages, page);
    page = take_one(pages);
  }
}

/// Pages in use, of which random ones are given back and replaced.
class RandomSet {
 public:
  /// Of `size` pages, not allocated yet.
  RandomSet(std::uint32_t size, std::uint64_t seed) : pages_(size), order_(std::size_t{1} << 20) {
    Sequence sequence(seed);
    for (std::uint32_t& at : order_) at = sequence.below(size);
  }
  template <class Allocator>
  void fill(Allocator& pages) {
    for (std::uint64_t& page : pages_) page = take_one(pages);
  }
  /// `count` cycles, from where it left off.
  template <class Allocator>
  void run(Allocator& pages, std::uint64_t count) {
    std::size_t at = at_;
    const auto later = [&](std::size_t steps) { return (at + steps) & (order_.size() - 1); };
    for (; count > 0; --count) {
      // What is measured is not the cache misses of this loop's own memory.
      __builtin_prefetch(&pages_[order_[later(8)]], 1);
      std::uint64_t& page = pages_[order_[at]];
      give_back(pages, page);
      page = take_one(pages);
      at = later(1);
    }
    at_ = at;
  }

 private:
  std::vector<std::uint64_t> pages_;
  std::vector<std::uint32_t> order_;
  std::size_t at_ = 0;
};

/// Pages in use as a stack: all are given back, the last one first, and allocated again.
class Stack {
 public:
  explicit Stack(std::uint32_t size) : pages_(size) {}
  template <class Allocator>
  void fill(Allocator& pages) {
    for (std::uint64_t& page : pages_) page = take_one(pages);
    in_use_ = pages_.size();
  }
  /// As many steps as `count` cycles have, from where it left off.
  template <class Allocator>
  void run(Allocator& pages, std::uint64_t count) {
    for (std::uint64_t steps = 2 * count; steps > 0;) {
      const auto now =
          static_cast<std::size_t>(std::min<std::uint64_t>(steps, giving_ ? in_use_ : pages_.size() - in_use_));
      steps -= now;
      std::uint64_t* page = pages_.data() + in_use_;
      if (giving_) {
        for (std::uint64_t* const end = page - now; page != end;) give_back(pages, *--page);
        in_use_ -= now;
        giving_ = in_use_ > 0;
      } else {
        for (std::uint64_t* const end = page + now; page != end; ++page) *page = take_one(pages);
        in_use_ += now;
        giving_ = in_use_ == pages_.size();
      }
    }
  }

 private:
  std::vector<std::uint64_t> pages_;
  std::size_t in_use_ = 0;
  bool giving_ = true;
};

}  // namespace pagedb::bench
