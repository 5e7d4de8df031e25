// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The peer: the allocator that one writes first. A mutex, a counter, and the free pages in a vector. It does not notice
// a page that is freed twice, and has nothing that is durable.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

namespace pagedb::bench {

/// See the head of this file. Inlined into the loops, and without errors, so that nothing but the algorithm is
/// measured.
class MutexAllocator {
 public:
  /// A page past all others.
  std::uint64_t extend() {
    const std::lock_guard guard(mutex_);
    return next_++;
  }
  /// The page that was freed last; past all others when none is free.
  std::uint64_t allocate() {
    const std::lock_guard guard(mutex_);
    if (free_.empty()) return next_++;
    const std::uint64_t page = free_.back();
    free_.pop_back();
    return page;
  }
  void free(std::uint64_t page) {
    const std::lock_guard guard(mutex_);
    free_.push_back(page);
  }

 private:
  std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::vector<std::uint64_t> free_;
};

}  // namespace pagedb::bench
