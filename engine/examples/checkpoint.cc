// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a pool with a write-ahead log. The log is the caller's; here it is a list in memory that counts what it made
// durable. Shown: records appended under the exclusive guard, full images when they are due, the barrier, and a
// checkpoint that lets the log be cut.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/log.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

struct Record {
  pagedb::PageId page{};
  bool image = false;  // the whole page after the change, not the change alone
};

// One task uses it, apart from the pool's own: a real log has a latch.
class Log final : public pagedb::LogBarrier {
 public:
  // Called by the pool before it writes a page whose LSN is `lsn`: here is where a real log would write and sync.
  pagedb::Result<void> ensure_durable(pagedb::Lsn lsn) noexcept override {
    durable_ = std::max(durable_, lsn);
    return {};
  }
  pagedb::Lsn append(const Record& record) {
    records_.push_back(record);
    return {next().value - 1};
  }
  pagedb::Lsn next() const { return {first_ + records_.size()}; }
  pagedb::Lsn durable() const { return durable_; }
  void cut_below(pagedb::Lsn lsn) {
    records_.erase(records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(lsn.value - first_));
    first_ = lsn.value;
  }
  std::size_t size() const { return records_.size(); }
  std::size_t images() const {
    return static_cast<std::size_t>(std::ranges::count_if(records_, [](const Record& r) { return r.image; }));
  }

 private:
  std::vector<Record> records_;
  std::uint64_t first_ = 1;
  pagedb::Lsn durable_{};
};

bool change(pagedb::BufferPool& pool, Log& log, std::uint64_t id, std::byte value) {
  auto page = pool.fetch_exclusive(pagedb::PageId{id});
  if (!page) return false;
  // Asked, appended and applied under this guard: that is what makes a checkpoint right.
  const bool image = page->full_image_due();
  pagedb::payload(page->write())[0] = value;
  page->set_lsn(log.append({.page = page->id(), .image = image}));
  return true;
}

int with(pagedb::BufferPool& pool, Log& log) {
  for (std::uint64_t id = 300; id < 308; ++id) {
    auto page = pool.new_page(pagedb::PageId{id});
    if (!page) return 1;
    page->set_lsn(log.append({.page = page->id(), .image = true}));
  }

  const auto cut = pool.checkpoint(log.next());
  if (!cut) return 1;
  if (log.durable() < pagedb::Lsn{8}) return 1;  // the log came first
  log.cut_below(*cut);
  std::printf("checkpoint at %llu, %zu records left\n", static_cast<unsigned long long>(pool.redo_from().value),
              log.size());

  // The first change of a page since then needs an image, as a torn write could not be repaired without one.
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t id = 300; id < 304; ++id) {
      if (!change(pool, log, id, std::byte{7})) return 1;
    }
  }
  std::printf("%zu records, %zu of them images\n", log.size(), log.images());
  if (log.size() != 12 || log.images() != 4) return 1;
  return pool.checkpoint(log.next()) ? 0 : 1;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  Log log;  // outlives the pool
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return 1;
  auto pool = pagedb::BufferPool::create(scheduler, **file, {.frames = 16, .log = &log, .background_writer = false});
  if (!pool) return 1;
  const int result = with(**pool, log);
  return (*pool)->close() ? result : 1;
}

}  // namespace

int main() {
  const std::string path = "example_checkpoint." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
