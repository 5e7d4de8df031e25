// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a buffer pool over a page file: make pages, change them, read them, make them durable, free one, and find
// out how the pool is doing.
#include "engine/buffer_pool.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "engine/io/direct_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

int failed(const pagedb::PageError& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return failed(file.error());
  auto created = pagedb::BufferPool::create(scheduler, **file, {.frames = 16});
  if (!created) return failed(created.error());
  pagedb::BufferPool& pool = **created;

  // 40 pages through 16 frames: the pool writes those that do not fit.
  for (std::uint64_t id = 300; id < 340; ++id) {
    auto page = pool.new_page(pagedb::PageId{id});
    if (!page) return failed(page.error());
    std::snprintf(reinterpret_cast<char*>(pagedb::payload(page->write()).data()), 32, "row of page %d",
                  static_cast<int>(id));
  }
  {
    auto page = pool.fetch_exclusive(pagedb::PageId{305});
    if (!page) return failed(page.error());
    std::memcpy(pagedb::payload(page->write()).data(), "ROW", 3);
  }  // released here
  if (pool.state_of(pagedb::PageId{305}) != pagedb::PageState::dirty) return 1;

  // One page, then all; only the sync makes them durable.
  if (const auto flushed = pool.flush(pagedb::PageId{305}); !flushed) return failed(flushed.error());
  if (pool.state_of(pagedb::PageId{305}) != pagedb::PageState::unsynced) return 1;
  if (const auto flushed = pool.flush_all(); !flushed) return failed(flushed.error());
  if (const auto synced = pool.sync(); !synced) return failed(synced.error());
  if (pool.state_of(pagedb::PageId{305}) != pagedb::PageState::clean) return 1;

  {
    const auto page = pool.fetch(pagedb::PageId{305});
    if (!page) return failed(page.error());
    std::printf("%s\n", reinterpret_cast<const char*>(pagedb::payload(page->page()).data()));
  }

  // A page that was freed: its bytes, dirty or not, are not to reach the file any more.
  if (!pool.new_page(pagedb::PageId{339})) return 1;
  pool.drop(pagedb::PageId{339});
  if (pool.state_of(pagedb::PageId{339}) != pagedb::PageState::absent) return 1;

  const pagedb::BufferPoolStats stats = pool.stats();
  std::printf(
      "%u frames of %u bytes and %zu bytes besides: %u pages in memory, %u dirty; %llu misses, %llu evictions\n",
      pool.frames(), pool.page_size().bytes(), pool.memory_bytes(), stats.resident, stats.dirty,
      static_cast<unsigned long long>(stats.misses), static_cast<unsigned long long>(stats.evictions));

  // Before it is destroyed: close, or abandon.
  if (const auto closed = pool.close(); !closed) return failed(closed.error());
  return stats.evictions > 0 ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_buffer_pool." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
