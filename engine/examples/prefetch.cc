// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a scan that tells the pool what it will want, so that the device is kept busy while pages are looked at. The
// scan pushes no hot page out of the pool.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <span>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/io/uring_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

constexpr std::uint64_t kFirst = 300;
constexpr std::size_t kPages = 500;
constexpr std::size_t kAhead = 32;  // as deep as the device likes

int with(pagedb::BufferPool& pool) {
  std::vector<pagedb::PageId> ids;
  for (std::uint64_t i = 0; i < kPages; ++i) ids.push_back(pagedb::PageId{kFirst + i});

  std::size_t asked = 0;
  for (std::size_t at = 0; at < ids.size(); ++at) {
    if (asked < ids.size() && asked < at + kAhead) {
      // Fewer may be taken note of than were asked for; the rest are asked for again, or fetched without it.
      asked = std::max(asked, at);
      const std::size_t end = std::min(at + 2 * kAhead, ids.size());
      asked += pool.prefetch(std::span(ids).subspan(asked, end - asked));
    }
    const auto page = pool.fetch(ids[at]);
    if (!page) return 1;
  }
  const pagedb::BufferPoolStats stats = pool.stats();
  std::printf("%zu pages: %llu came by prefetch, %llu by a miss\n", kPages,
              static_cast<unsigned long long>(stats.prefetched), static_cast<unsigned long long>(stats.misses));
  return stats.reads >= kPages ? 0 : 1;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  auto disk = pagedb::UringIo::make({.caching = pagedb::Caching::buffered});
  if (!disk) return 1;
  auto file = pagedb::PageFile::create(scheduler, **disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return 1;
  {
    auto pool = pagedb::BufferPool::create(scheduler, **file, {.frames = 64});
    if (!pool) return 1;
    for (std::uint64_t i = 0; i < kPages; ++i) {
      if (!(*pool)->new_page(pagedb::PageId{kFirst + i})) return 1;
    }
    if (!(*pool)->close()) return 1;
  }
  auto pool = pagedb::BufferPool::create(scheduler, **file, {.frames = 256});
  return pool ? with(**pool) : 1;
}

}  // namespace

int main() {
  const std::string path = "example_prefetch." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
