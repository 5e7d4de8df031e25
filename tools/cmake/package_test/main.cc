// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A user's program: a page through a pool and a file, and back. Shows that the headers are found, all of them, and the
// library links.
#include <cstddef>
#include <cstdio>
#include <string>

#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/io/uring_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

int main(int, char** argv) {
  const std::string path = std::string(argv[0]) + ".pages";
  std::remove(path.c_str());
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return 1;
  auto pool = pagedb::BufferPool::create(scheduler, **file, {.frames = 2});
  if (!pool) return 1;
  {
    auto page = (*pool)->new_page(pagedb::PageId{7});
    if (!page) return 1;
    pagedb::payload(page->write())[0] = std::byte{42};
  }
  if (!(*pool)->close()) return 1;
  const auto page = (*pool)->fetch(pagedb::PageId{7});
  if (!page || pagedb::payload(page->page())[0] != std::byte{42}) return 1;
  std::remove(path.c_str());
  std::puts("page 7 verifies");
  return 0;
}
