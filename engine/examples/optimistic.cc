// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: read a page without holding it. Nothing that tasks share is written, so a hot page costs the same however
// many read it; what was copied counts once it turns out that the page did not change meanwhile.
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstring>

#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/page_file.h"
#include "engine/page_guard.h"
#include "engine/thread_scheduler.h"

namespace {

constexpr pagedb::PageId kPage{300};
using Word = std::array<std::byte, 8>;

bool put(pagedb::BufferPool& pool, std::uint64_t value) {
  auto page = pool.fetch_exclusive(kPage);
  if (page) std::memcpy(pagedb::payload(page->write()).data(), &value, sizeof value);
  return page.has_value();
}

int with(pagedb::BufferPool& pool) {
  if (!put(pool, 1)) return 1;

  // The easy way: a few bytes as they were at one moment. It tries again by itself, and takes a latch if it must.
  Word word{};
  pagedb::FrameHint hint;
  if (!pool.read(kPage, pagedb::kPageHeaderBytes, word, hint)) return 1;
  std::printf("read %llu\n", static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(word)));

  // By hand, where several things are looked at, perhaps on several pages. Start again on a conflict.
  for (bool again = true; again;) {
    const auto guard = pool.fetch_optimistic(kPage, hint);
    if (!guard) return 1;
    // Never use what was copied before it is known to hold: it may be half of one page and half of another.
    again = !guard->copy(pagedb::kPageHeaderBytes, word) || !guard->valid();
  }

  // Keep the page that was looked at, if it is still the same.
  auto seen = pool.fetch_optimistic(kPage);
  if (!seen) return 1;
  if (pagedb::SharedGuard shared = seen->try_shared()) std::printf("still there, and now held\n");
  if (pagedb::ExclusiveGuard writer = seen->try_exclusive()) {
    pagedb::payload(writer.write())[0] = std::byte{2};
  }
  // It was changed: the version that `seen` remembers is gone.
  if (seen->valid() || seen->copy(0, word) || seen->try_shared() || seen->try_exclusive()) return 1;
  return pool.read(kPage, pagedb::kPageHeaderBytes, word) && word[0] == std::byte{2} ? 0 : 1;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return 1;
  auto pool = pagedb::BufferPool::create(scheduler, **file, {.frames = 4});
  if (!pool || !(*pool)->new_page(kPage)) return 1;
  const int result = with(**pool);
  return (*pool)->close() ? result : 1;
}

}  // namespace

int main() {
  const std::string path = "example_optimistic." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
