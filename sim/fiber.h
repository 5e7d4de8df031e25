// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Fiber and StackPool: symmetric context switches on Boost.Context, with pooled stacks and sanitizer annotations.
//
// Under AddressSanitizer every switch is announced; under ThreadSanitizer fibers are switched *without* synchronising them, so that a race
// between two fibers is reported although they share a thread; only unpark-to-park and I/O completion order them (see sim_scheduler.cc).
#pragma once

#include <cstddef>
#include <memory>

namespace pagedb::sim {

/// Keeps stacks for reuse. Each has a guard page below it.
class StackPool {
 public:
  explicit StackPool(std::size_t stack_bytes = 256 * 1024);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

 private:
  friend class Fiber;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pagedb::sim
