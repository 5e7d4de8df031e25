// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: allocation with a write-ahead log. The log is the caller's; here it is a list in memory that a "crash" does
// not touch. Shown: changes with their records, freed pages that may be had at once, a sync that makes the log durable
// first, and redo of what no sync covered.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/io/direct_io.h"
#include "engine/log.h"
#include "engine/page_allocator.h"
#include "engine/thread_scheduler.h"

namespace {

using pagedb::Lsn;
using pagedb::PageAllocator;
using pagedb::PageId;

struct Record {
  PageId page{};
  bool allocated = false;  // else freed
};

// Record i has LSN i + 1. A real log has a latch, and a disk.
class Log final : public pagedb::LogBarrier {
 public:
  pagedb::Result<void> ensure_durable(Lsn lsn) noexcept override {
    durable_ = std::max(durable_, lsn);
    return {};
  }
  Lsn append(const Record& record) {
    records_.push_back(record);
    return next_before();
  }
  Lsn next() const { return {records_.size() + 1}; }
  Lsn durable() const { return durable_; }
  std::vector<Record> from(Lsn lsn) const {
    return {records_.begin() + static_cast<std::ptrdiff_t>(std::max<std::uint64_t>(lsn.value, 1) - 1), records_.end()};
  }

 private:
  Lsn next_before() const { return {records_.size()}; }
  std::vector<Record> records_;
  Lsn durable_{};
};

// The operation and its record in one Change: a sync that has the one has the other.
bool allocate(PageAllocator& pages, Log& log, std::vector<PageId>& mine) {
  PageAllocator::Change change(pages);
  const auto page = pages.allocate();
  if (!page) return false;
  change.logged(log.append({.page = *page, .allocated = true}));
  mine.push_back(*page);
  return true;
}
bool free_last(PageAllocator& pages, Log& log, std::vector<PageId>& mine) {
  PageAllocator::Change change(pages);
  if (!pages.free(mine.back())) return false;
  change.logged(log.append({.page = mine.back()}));
  mine.pop_back();
  return true;
}

// The log restores what a page held, so that a freed one may get a new owner at once.
pagedb::PageAllocatorOptions options(Log& log, bool redo) {
  return {.reuse_before_sync = true, .redo = redo, .log = &log};
}

bool work(pagedb::PageFile& file, Log& log, std::vector<PageId>& mine) {
  auto pages = PageAllocator::open(file, options(log, false));
  if (!pages) return false;
  for (int i = 0; i < 5; ++i) {
    if (!allocate(**pages, log, mine)) return false;
  }
  const Lsn begin = log.next();  // everything below is in what is committed now
  if (!file.commit_redo_from(begin)) return false;
  if (log.durable().value + 1 < begin.value) return false;  // the log came first

  // No sync covers this: it is in the log only.
  const PageId last = mine.back();
  if (!free_last(**pages, log, mine) || !allocate(**pages, log, mine)) return false;
  if (mine.back() != last) return false;  // the page that was just freed
  return free_last(**pages, log, mine) && allocate(**pages, log, mine) && allocate(**pages, log, mine) &&
         log.ensure_durable({log.next().value - 1}).has_value();
}

bool recover(pagedb::PageFile& file, Log& log, const std::vector<PageId>& mine) {
  auto pages = PageAllocator::open(file, options(log, true));
  if (!pages) return false;
  const auto records = log.from(file.redo_from());
  // Each record sets a state, so that a recovery which is cut off may begin again.
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const Record& record : records) {
      const auto redone = record.allocated ? (*pages)->redo_allocate(record.page) : (*pages)->redo_free(record.page);
      if (!redone) return false;
    }
  }
  (*pages)->redo_done();
  for (const PageId page : mine) {
    if ((*pages)->is_allocated(page) != true) return false;
  }
  std::printf("%zu records redone, %zu pages in use\n", records.size(), mine.size());
  return (*pages)->sync().has_value() && (*pages)->free_count() + mine.size() == 6;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  Log log;  // outlives the allocator
  std::vector<PageId> mine;
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file || !work(**file, log, mine)) return 1;
  file->reset();  // as a crash would: nothing is synced
  file = pagedb::PageFile::open(scheduler, disk, path);
  return file && recover(**file, log, mine) ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_allocator_redo." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
