// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// BareTable: the least that finding and holding a page can cost, written out by hand without any of the pool's code.
//
// It has the pool's shape: two heads of 4 bytes a frame, chains of 32-byte infos that tell which page is in a frame,
// dense 8-byte state words, and the very same page memory, in the same frames. Its arrays are in huge pages, as the
// pool's are. It checks that the page was found, and nothing else: nobody ever evicts, writes or waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {

/// Zeroed memory from mmap, in huge pages where the system gives them.
class Arena {
 public:
  explicit Arena(std::size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  std::size_t mapped_bytes_;
  void* mapping_;
  std::byte* data_;
};

/// See the head of this file.
class BareTable {
 public:
  /// `pages[id]` is where page `id` is, in memory of `pages.size()` frames of 4 KiB that begins at the lowest of them.
  explicit BareTable(std::span<std::byte* const> pages);

  /// Probe, one fetch_add, the 64 bytes at `offset`, one fetch_sub, for each of `ids`.
  std::uint64_t pinned(std::span<const std::uint32_t> ids, std::size_t offset) {
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) {
      const std::uint32_t frame = find(id);
      const std::byte* page = memory_ + (std::size_t{frame} << kPageShift);
      __builtin_prefetch(page + offset);
      seen += states_[frame].fetch_add(1, std::memory_order_acquire);
      seen ^= read_64(page + offset);
      seen += states_[frame].fetch_sub(1, std::memory_order_release);
    }
    return seen;
  }

  /// Probe, version, the 64 bytes at `offset` copied out, version, for each of `ids`.
  std::uint64_t optimistic(std::span<const std::uint32_t> ids, std::size_t offset) {
    std::uint64_t to[8] = {};
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) {
      const std::uint32_t frame = find(id);
      const std::uint64_t version = infos_[frame].version.load(std::memory_order_acquire);
      const auto* words =
          reinterpret_cast<const volatile std::uint64_t*>(memory_ + (std::size_t{frame} << kPageShift) + offset);
      for (unsigned i = 0; i < 8; ++i) to[i] = words[i];
      asm volatile("" ::"r"(to) : "memory");
      seen += infos_[frame].version.load(std::memory_order_relaxed) - version;
    }
    return seen;
  }

 private:
  static constexpr unsigned kPageShift = 12;
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct alignas(32) Info {
    std::atomic<std::uint64_t> version;
    std::atomic<std::uint64_t> page;
    std::atomic<std::uint32_t> next;
  };

  [[nodiscard]] std::uint32_t bucket_of(std::uint64_t id) const {
    return static_cast<std::uint32_t>((static_cast<unsigned __int128>(id * 0x9E3779B97F4A7C15u) * heads_count_) >> 64);
  }
  [[nodiscard]] std::uint32_t find(std::uint64_t id) const {
    std::uint32_t frame = heads_[bucket_of(id)].load(std::memory_order_acquire);
    while (infos_[frame].page.load(std::memory_order_acquire) != id) frame = infos_[frame].next.load();
    return frame;
  }

  std::uint32_t heads_count_;
  Arena heads_memory_;
  Arena infos_memory_;
  Arena states_memory_;
  std::atomic<std::uint32_t>* heads_;
  Info* infos_;
  std::atomic<std::uint64_t>* states_;
  std::byte* memory_;
};

/// The floor: the 64 bytes at each of `places`, and nothing else.
inline std::uint64_t bare_reads(std::span<const std::byte* const> places) {
  std::uint64_t seen = 0;
  for (const std::byte* place : places) seen ^= read_64(place);
  return seen;
}

}  // namespace pagedb::bench
