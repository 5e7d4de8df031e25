// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a buffer pool over something that is no PageFile. A PageStore holds numbered pages: sealed when written,
// verified when read. This one keeps them in memory, and has one user at a time (a real one has many).
#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/page.h"
#include "engine/page_store.h"
#include "engine/thread_scheduler.h"

namespace {

class PagesInMemory final : public pagedb::PageStore {
 public:
  pagedb::Result<pagedb::PageHeader> read(pagedb::PageId id, std::span<std::byte> page) noexcept override {
    const auto found = pages_.find(id.value);
    if (found == pages_.end()) {
      return pagedb::failure(pagedb::PageError{.code = pagedb::ErrorCode::never_written}.about(id));
    }
    std::memcpy(page.data(), found->second.data(), page.size());
    return pagedb::verify(page, page_size(), {.id = id});
  }
  pagedb::Result<void> read_batch(std::span<pagedb::PageIo> batch, pagedb::PageDone done) noexcept override {
    return each(batch, done, [this](pagedb::PageIo& io) -> pagedb::Result<void> {
      const auto header = read(io.id, io.page);
      if (!header) return pagedb::failure(header.error());
      return {};
    });
  }
  pagedb::Result<void> write_batch(std::span<pagedb::PageIo> batch, pagedb::PageDone done) noexcept override {
    return each(batch, done, [this](pagedb::PageIo& io) -> pagedb::Result<void> {
      pagedb::seal(io.page, {.id = io.id});
      pages_[io.id.value].assign(io.page.begin(), io.page.end());
      return {};
    });
  }
  // As durable as memory can be. A store that can fail here answers `poisoned` from then on.
  pagedb::Result<void> sync() noexcept override { return {}; }
  pagedb::Result<void> commit_redo_from(pagedb::Lsn redo_from) noexcept override {
    redo_from_ = redo_from;
    return {};
  }
  pagedb::Result<void> may_write(pagedb::PageId id) const noexcept override {
    if (id.value == 0) return pagedb::failure(pagedb::PageError{.code = pagedb::ErrorCode::reserved_page}.about(id));
    return {};
  }
  bool poisoned() const noexcept override { return false; }
  pagedb::PageSize page_size() const noexcept override { return pagedb::PageSize(); }
  pagedb::IoLimits limits() const noexcept override { return {.queue_depth = 8}; }

  std::size_t size() const { return pages_.size(); }

 private:
  // Each entry gets its own result and goes to `done`; the first error is the batch's.
  template <class Transfer>
  static pagedb::Result<void> each(std::span<pagedb::PageIo> batch, pagedb::PageDone done, Transfer transfer) {
    pagedb::Result<void> first;
    for (pagedb::PageIo& io : batch) {
      io.result = transfer(io);
      if (!io.result && first) first = io.result;
      done(io);
    }
    return first;
  }

  std::map<std::uint64_t, std::vector<std::byte>> pages_;
  pagedb::Lsn redo_from_{};
};

}  // namespace

int main() {
  pagedb::ThreadScheduler scheduler;
  PagesInMemory store;
  // Without tasks of its own the pool calls the store from this task only.
  auto pool = pagedb::BufferPool::create(scheduler, store,
                                         {.frames = 4, .background_writer = false, .background_reader = false});
  if (!pool) return 1;
  for (std::uint64_t id = 1; id <= 20; ++id) {
    auto page = (*pool)->new_page(pagedb::PageId{id});
    if (!page) return 1;
    pagedb::payload(page->write())[0] = static_cast<std::byte>(id);
  }
  for (std::uint64_t id = 1; id <= 20; ++id) {
    const auto page = (*pool)->fetch(pagedb::PageId{id});
    if (!page || pagedb::payload(page->page())[0] != static_cast<std::byte>(id)) return 1;
  }
  const auto refused = (*pool)->new_page(pagedb::PageId{0});
  if (refused || !(*pool)->checkpoint(pagedb::Lsn{1})) return 1;
  std::printf("%zu pages stored; %s\n", store.size(), refused.error().message().c_str());
  return store.size() == 20 ? 0 : 1;
}
