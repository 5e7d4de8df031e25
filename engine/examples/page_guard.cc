// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: what guards can do: be moved, released early, upgraded and downgraded; and what happens when all frames are
// held.
#include "engine/page_guard.h"

#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

constexpr pagedb::PageId kRoot{300};
constexpr pagedb::PageId kLeaf{301};

int with(pagedb::BufferPool& pool) {
  // From the root down: the next page is held before the one above is let go.
  auto root = pool.fetch(kRoot);
  if (!root) return 1;
  pagedb::SharedGuard here = std::move(*root);  // *root is empty now
  if (*root || here.id() != kRoot) return 1;
  auto leaf = pool.fetch(kLeaf);
  if (!leaf) return 1;
  here.release();
  here = std::move(*leaf);
  std::printf("at page %llu, lsn %llu\n", static_cast<unsigned long long>(here.id().value),
              static_cast<unsigned long long>(here.lsn().value));

  // To change what was only looked at: an upgrade works when nobody else is there. Otherwise let go, fetch exclusively,
  // and look again.
  pagedb::ExclusiveGuard writer = here.try_upgrade();
  if (!writer) {
    here.release();
    auto fetched = pool.fetch_exclusive(kLeaf);
    if (!fetched) return 1;
    writer = std::move(*fetched);
  }
  pagedb::payload(writer.write())[0] = std::byte{42};  // dirty from here on
  writer.set_lsn(pagedb::Lsn{writer.lsn().value + 1});

  // Readers may come, and no writer between.
  const pagedb::SharedGuard reader = writer.downgrade();
  if (writer || pagedb::payload(reader.page())[0] != std::byte{42}) return 1;
  auto another = pool.fetch(kLeaf);
  if (!another) return 1;

  // Now two share the page: an upgrade fails at once, as waiting for each other would last for ever.
  if (another->try_upgrade()) return 1;
  another->release();

  // Where the page was, kept beside the pointer to it, spares the next look-up.
  pagedb::FrameHint hint = reader.hint();
  if (!pool.fetch(kLeaf, hint)) return 1;

  // Every frame held: the pool says so, at once unless told to wait (BufferPoolOptions::exhausted_wait).
  std::vector<pagedb::ExclusiveGuard> held;
  while (true) {
    auto page = pool.new_page(pagedb::PageId{400 + held.size()});
    if (page) {
      held.push_back(std::move(*page));
      continue;
    }
    std::printf("%s\n", page.error().message().c_str());
    return page.error().code == pagedb::ErrorCode::pool_exhausted && held.size() == 3 ? 0 : 1;
  }
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return 1;
  auto pool = pagedb::BufferPool::create(scheduler, **file, {.frames = 4});
  // A temporary guard lives as long as the whole expression that it is in: one statement for each.
  if (!pool || !(*pool)->new_page(kRoot)) return 1;
  if (!(*pool)->new_page(kLeaf)) return 1;
  if (!(*pool)->close()) return 1;
  const int result = with(**pool);
  std::printf("gave up %u dirty pages\n", (*pool)->abandon());  // on purpose, instead of close()
  return result;
}

}  // namespace

int main() {
  const std::string path = "example_page_guard." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
