// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A pool all of whose pages are in memory, and the loops over it that pool_bench times: written as a user writes them.
#pragma once

#include <array>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/thread_scheduler.h"
#include "tools/benchmarks/measure.h"
#include "tools/benchmarks/pool/memory_store.h"

namespace pagedb::bench {

/// A random sequence of page numbers, walked again and again.
class Walk {
 public:
  Walk(std::uint32_t pages, std::uint64_t seed, std::size_t length = std::size_t{1} << 20) : ids_(length) {
    Sequence sequence(seed);
    for (std::uint32_t& id : ids_) id = sequence.below(pages);
  }
  [[nodiscard]] const std::vector<std::uint32_t>& ids() const { return ids_; }
  /// Calls `visit` with the next `count` of `all`, in pieces; `all` is as long as ids().
  template <class T, class Visit>
  static void go(std::span<const T> all, std::uint64_t count, std::size_t& at, Visit&& visit) {
    while (count > 0) {
      const std::size_t piece = std::min<std::uint64_t>(count, all.size() - at);
      use(visit(all.subspan(at, piece)));
      at = (at + piece) % all.size();
      count -= piece;
    }
  }

 private:
  std::vector<std::uint32_t> ids_;
};

/// A pool of `pages` frames that holds the pages 0 to `pages` - 1.
class ResidentPool {
 public:
  explicit ResidentPool(std::uint32_t pages) : pages_(pages) {
    auto made = BufferPool::create(scheduler_, store_, {.frames = pages});
    if (!made) fail(made.error());
    pool_ = std::move(*made);
    for (std::uint32_t id = 0; id < pages; ++id) {
      auto guard = pool_->fetch(PageId{id});
      if (!guard) fail(guard.error());
    }
    for (std::uint32_t id = 0; id < pages; ++id) {
      const auto guard = pool_->fetch(PageId{id});
      pages_[id] = const_cast<std::byte*>(guard->page().data());
    }
  }
  [[nodiscard]] BufferPool& pool() { return *pool_; }
  /// Where each page is.
  [[nodiscard]] std::span<std::byte* const> pages() const { return pages_; }

  /// Shared fetch, the 64 bytes at `offset`, release, for each of `ids`.
  std::uint64_t shared(std::span<const std::uint32_t> ids, std::size_t offset) {
    return checked(share(*pool_, ids, offset));
  }
  /// The 64 bytes at `offset` copied out of each of `ids`.
  std::uint64_t optimistic(std::span<const std::uint32_t> ids, std::size_t offset) {
    return checked(copy(*pool_, ids, offset));
  }
  /// Shared fetch with a hint, and release, of one page.
  std::uint64_t hold_shared(std::uint32_t id, std::uint64_t count) { return checked(share_one(*pool_, {id}, count)); }
  /// Optimistic fetch with a hint, and validation, of one page.
  std::uint64_t hold_optimistic(std::uint32_t id, std::uint64_t count) {
    return checked(validate_one(*pool_, {id}, count));
  }
  /// Optimistic copy of 64 bytes with a hint, of one page.
  std::uint64_t read_hinted(std::uint32_t id, std::uint64_t count) { return checked(copy_one(*pool_, {id}, count)); }

 private:
  static Result<std::uint64_t> share(BufferPool& pool, std::span<const std::uint32_t> ids, std::size_t offset) {
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) {
      auto fetched = pool.fetch(PageId{id});
      if (!fetched) return failure(fetched.error());
      const SharedGuard guard = std::move(*fetched);
      seen ^= read_64(guard.page().data() + offset);
    }
    return seen;
  }
  static Result<std::uint64_t> copy(BufferPool& pool, std::span<const std::uint32_t> ids, std::size_t offset) {
    std::array<std::byte, 64> to{};
    for (const std::uint32_t id : ids) {
      if (const auto read = pool.read(PageId{id}, offset, to); !read) return failure(read.error());
      asm volatile("" ::"r"(to.data()) : "memory");
    }
    return 0;
  }
  static Result<std::uint64_t> share_one(BufferPool& pool, PageId id, std::uint64_t count) {
    FrameHint hint;
    std::uint64_t held = 0;
    for (; count > 0; --count) {
      auto fetched = pool.fetch(id, hint);
      if (!fetched) return failure(fetched.error());
      const SharedGuard guard = std::move(*fetched);
      ++held;
    }
    return held;
  }
  static Result<std::uint64_t> validate_one(BufferPool& pool, PageId id, std::uint64_t count) {
    FrameHint hint;
    std::uint64_t valid = 0;
    for (; count > 0; --count) {
      const auto guard = pool.fetch_optimistic(id, hint);
      if (!guard) return failure(guard.error());
      valid += static_cast<std::uint64_t>(guard->valid());
    }
    return valid;
  }
  static Result<std::uint64_t> copy_one(BufferPool& pool, PageId id, std::uint64_t count) {
    FrameHint hint;
    std::array<std::byte, 64> to{};
    for (; count > 0; --count) {
      if (const auto read = pool.read(id, 0, to, hint); !read) return failure(read.error());
      asm volatile("" ::"r"(to.data()) : "memory");
    }
    return 0;
  }
  static std::uint64_t checked(const Result<std::uint64_t>& result) {
    if (!result) fail(result.error());
    return *result;
  }
  [[noreturn]] static void fail(const PageError& error) {
    std::fprintf(stderr, "pool_bench: %s\n", error.message().c_str());
    std::exit(1);
  }

  ThreadScheduler scheduler_;
  MemoryStore store_;
  std::unique_ptr<BufferPool> pool_;
  std::vector<std::byte*> pages_;
};

}  // namespace pagedb::bench
