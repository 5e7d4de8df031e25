// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: pages that are allocated and freed, without a log. Shown: single pages, one near another, a run, what a sync
// covers, what is refused, walking over what is in use, and giving space back.
#include "engine/page_allocator.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/thread_scheduler.h"

namespace {

using pagedb::ErrorCode;
using pagedb::PageAllocator;
using pagedb::PageId;

int failed(const pagedb::PageError& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

// A row in a page of its own.
bool store(pagedb::BufferPool& pool, PageId id, std::byte row) {
  auto page = pool.new_page(id);  // does not read what stands there
  if (!page) return false;
  pagedb::payload(page->write())[0] = row;
  return true;
}

int fill(pagedb::PageFile& file) {
  // A limit, as a quota would set it; it can be another one the next time.
  auto opened = PageAllocator::open(file, {.end = PageId{1'000'000}});
  if (!opened) return failed(opened.error());
  PageAllocator& pages = **opened;
  pagedb::ThreadScheduler scheduler;
  auto pool = pagedb::BufferPool::create(scheduler, file, {.frames = 64, .background_writer = false});
  if (!pool) return failed(pool.error());

  const auto first = pages.allocate();
  if (!first || !store(**pool, *first, std::byte{1})) return 1;
  const auto near = pages.allocate_near(*first);  // so that both are read at once
  if (!near || !store(**pool, *near, std::byte{2})) return 1;
  const auto run = pages.allocate_run(40);  // consecutive, for one large transfer
  if (!run) return failed(run.error());
  std::printf("pages %llu and %llu, and 40 from %llu on\n", static_cast<unsigned long long>(first->value),
              static_cast<unsigned long long>(near->value), static_cast<unsigned long long>(run->value));
  const auto too_long = pages.allocate_run(pages.run_max() + 1);
  if (too_long || too_long.error().code != ErrorCode::no_free_page) return 1;

  // Without a log: pages, allocation map and superblock, in the one order that is safe.
  if (const auto saved = (*pool)->checkpoint({}); !saved) return failed(saved.error());

  // What goes together is covered by a sync as a whole or not at all: here, a row that moves.
  {
    const PageAllocator::Change change(pages);
    const auto moved = pages.allocate();
    if (!moved || !store(**pool, *moved, std::byte{2})) return 1;
    (*pool)->drop(*near);  // nobody needs it: it need not be written
    if (const auto freed = pages.free(*near); !freed) return failed(freed.error());
  }
  const auto again = pages.free(*near);
  if (again || again.error().code != ErrorCode::not_allocated) return 1;
  std::printf("%s\n", again.error().message().c_str());
  const auto is = pages.is_allocated(*near);
  if (!is || *is) return 1;
  std::printf("%llu pages free before page %llu, %zu bytes of memory\n",
              static_cast<unsigned long long>(pages.free_count()),
              static_cast<unsigned long long>(pages.high_water().value), pages.memory_bytes());
  if (const auto saved = (*pool)->checkpoint({}); !saved) return failed(saved.error());

  // Whoever writes pages without a pool syncs by himself.
  for (std::uint64_t i = 1; i < 40; ++i) {
    if (!pages.free(PageId{run->value + i})) return 1;
  }
  if (const auto synced = pages.sync(); !synced) return failed(synced.error());
  return (*pool)->close() ? 0 : 1;
}

int look(pagedb::PageFile& file) {
  auto opened = PageAllocator::open(file);  // reads one page
  if (!opened) return failed(opened.error());
  PageAllocator& pages = **opened;
  int in_use = 0;
  PageId last{};
  for (PageId from{};;) {
    const auto page = pages.next_allocated(from);
    if (!page) return failed(page.error());
    if (!*page) break;
    ++in_use;
    last = **page;
    from = PageId{last.value + 1};
  }
  if (const auto freed = pages.free(last); !freed) return failed(freed.error());
  const PageId before = pages.high_water();
  if (const auto shrunk = pages.shrink_to_fit(); !shrunk) return failed(shrunk.error());
  std::printf("%d pages in use; high water %llu, now %llu\n", in_use, static_cast<unsigned long long>(before.value),
              static_cast<unsigned long long>(pages.high_water().value));
  return in_use == 3 && pages.high_water() < before ? 0 : 1;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return failed(file.error());
  if (fill(**file) != 0) return 1;
  file->reset();
  file = pagedb::PageFile::open(scheduler, disk, path);
  return file ? look(**file) : failed(file.error());
}

}  // namespace

int main() {
  const std::string path = "example_page_allocator." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
