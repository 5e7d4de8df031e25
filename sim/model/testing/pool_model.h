// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// For models of the buffer pool: a store and a log in memory that judge what they are asked to do, and a pool over
// them.
//
// A transfer is two scheduling points: where it starts and where its bytes land. The store fails the run when
// transfers of one page overlap, when a page is written that was freed or whose log is not durable, and when a torn
// write of a page could not be repaired from the log.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/log.h"
#include "engine/page.h"
#include "engine/page_store.h"
#include "engine/sync.h"
#include "sim/model/execution.h"

namespace pagedb::sim::model {

inline constexpr std::size_t kPages = 8;
inline constexpr std::size_t kValueAt = 32;  // of a page's value, twice, after the header
inline constexpr std::size_t kPageBytes = 4096;

struct Value {
  std::uint64_t once = 0;
  std::uint64_t again = 0;
};

[[nodiscard]] inline Value value_in(const std::byte* page) noexcept {
  Value value;
  std::memcpy(&value, page + kValueAt, sizeof value);
  return value;
}
inline void put_value(std::byte* page, std::uint64_t value) noexcept {
  const Value both{value, value};
  std::memcpy(page + kValueAt, &both, sizeof both);
}

/// A log of (page, LSN, whether it is a full image); one record an LSN, from 1 on.
class ModelLog final : public LogBarrier {
 public:
  explicit ModelLog(Execution& model) : model_(model) {}

  /// The LSN that the next record gets.
  [[nodiscard]] Lsn next() {
    model_.read(this);
    return {records_.size() + 1};
  }
  Lsn append(PageId page, bool image) {
    model_.write(this);
    records_.push_back({page, image});
    return {records_.size()};
  }
  Result<void> ensure_durable(Lsn lsn) noexcept override {
    model_.read(&durable_);
    if (fails) return failure(PageError{.code = ErrorCode::io_error});
    if (durable_ >= lsn) return {};
    model_.write(&durable_);
    durable_ = std::max(durable_, lsn);
    return {};
  }

  // What follows looks without a scheduling point.
  [[nodiscard]] Lsn durable() const noexcept { return durable_; }
  /// The newest record of `page` below `lsn`; 0 when there is none.
  [[nodiscard]] Lsn last_below(PageId page, Lsn lsn) const noexcept {
    for (std::uint64_t at = std::min<std::uint64_t>(lsn.value, records_.size() + 1); at-- > 1;)
      if (records_[at - 1].page == page) return {at};
    return {};
  }
  /// Whether an image of `page` is among the records `from` to `to`.
  [[nodiscard]] bool has_image(PageId page, Lsn from, Lsn to) const noexcept {
    for (std::uint64_t at = std::max<std::uint64_t>(from.value, 1); at <= to.value && at <= records_.size(); ++at)
      if (records_[at - 1].page == page && records_[at - 1].image) return true;
    return false;
  }

  bool fails = false;

 private:
  struct Record {
    PageId page;
    bool image;
  };
  Execution& model_;
  std::vector<Record> records_;
  Lsn durable_{};
};

/// See the head of this file.
class ModelStore final : public PageStore {
 public:
  explicit ModelStore(Execution& model) : model_(model) {
    for (std::uint64_t id = 0; id < kPages; ++id) pages_[id].value = {id * 100, id * 100};
  }

  // ---- what a model sets up, and looks at

  const ModelLog* log = nullptr;
  int reads_to_fail = 0;
  int writes_to_fail = 0;
  bool announces_bytes = false;  ///< what a read puts into a frame is announced word by word, for racy copies

  [[nodiscard]] std::uint64_t value(std::uint64_t id) const { return pages_[id].value.once; }
  [[nodiscard]] Lsn lsn(std::uint64_t id) const { return pages_[id].lsn; }
  [[nodiscard]] Lsn durable_lsn(std::uint64_t id) const { return pages_[id].durable_lsn; }
  [[nodiscard]] int reads(std::uint64_t id) const { return pages_[id].reads; }
  [[nodiscard]] int writes(std::uint64_t id) const { return pages_[id].writes; }
  /// From now on no write of the page may begin or land.
  void free(std::uint64_t id) {
    model_.write(&pages_[id]);
    pages_[id].freed = true;
    model_.expect(!pages_[id].being_written, "a write of a freed page is under way");
  }

  // ---- PageStore

  Result<PageHeader> read(PageId id, std::span<std::byte> into) noexcept override {
    Page& page = pages_.at(id.value);
    model_.read(&page);
    model_.expect(!page.being_written && !page.being_read, "a read overlaps another transfer of the page");
    page.being_read = true;
    ++page.reads;
    const bool fails = reads_to_fail > 0;
    if (fails) --reads_to_fail;
    model_.write(&page);
    page.being_read = false;
    if (fails) {
      std::memset(into.data() + kValueAt, 0xEE, sizeof(Value));
      return failure(PageError{.code = ErrorCode::io_error}.about(id));
    }
    std::memset(into.data(), 0, kValueAt);
    put_word(into.data() + kValueAt, page.value.once);
    put_word(into.data() + kValueAt + 8, page.value.again);
    set_page_lsn(into, page.lsn);
    return PageHeader{};
  }

  Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    Result<void> first;
    for (PageIo& io : batch) {
      const auto read_one = read(io.id, io.page);
      io.result = read_one ? Result<void>{} : failure(read_one.error());
      if (first && !io.result) first = io.result;
      done(io);
    }
    return first;
  }

  Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    for (PageIo& io : batch) {
      Page& page = pages_.at(io.id.value);
      model_.write(&page);
      model_.expect(!page.being_written && !page.being_read, "a write overlaps another transfer of the page");
      page.being_written = true;
      judge(io);
    }
    Result<void> first;
    for (PageIo& io : batch) {
      Page& page = pages_.at(io.id.value);
      model_.write(&page);
      judge(io);
      page.being_written = false;
      io.result = {};
      if (writes_to_fail > 0) {
        --writes_to_fail;
        io.result = failure(PageError{.code = ErrorCode::io_error}.about(io.id));
        if (first) first = io.result;
      } else {
        page.value = value_in(io.page.data());
        page.lsn = page_lsn(io.page);
        ++page.writes;
        model_.expect(page.value.once == page.value.again, "a page was written while it was being changed");
      }
      done(io);
    }
    return first;
  }

  Result<void> sync() noexcept override {
    std::array<Lsn, kPages> landed;
    model_.read(&syncs_);
    for (std::size_t i = 0; i < kPages; ++i) landed[i] = pages_[i].lsn;
    model_.write(&syncs_);
    for (std::size_t i = 0; i < kPages; ++i) pages_[i].durable_lsn = std::max(pages_[i].durable_lsn, landed[i]);
    return {};
  }
  Result<void> commit_redo_from(Lsn redo_from) noexcept override {
    model_.write(&redo_from_);
    redo_from_ = redo_from;  // from here on a crash may find it
    return sync();
  }
  Result<void> may_write(PageId) const noexcept override { return {}; }
  bool poisoned() const noexcept override { return false; }
  PageSize page_size() const noexcept override { return *PageSize::of(kPageBytes); }
  IoLimits limits() const noexcept override { return {}; }

 private:
  struct Page {
    Value value;
    Lsn lsn{};
    Lsn durable_lsn{};
    int reads = 0;
    int writes = 0;
    bool being_read = false;
    bool being_written = false;
    bool freed = false;
  };

  void put_word(std::byte* at, std::uint64_t word) {
    if (announces_bytes) model_.write(at);
    std::memcpy(at, &word, sizeof word);
  }

  void judge(const PageIo& io) {
    model_.expect(!pages_[io.id.value].freed, "a freed page is written");
    if (log == nullptr) return;
    const Lsn lsn = page_lsn(io.page);
    model_.expect(lsn <= log->durable(), "a page is written before its log is durable");
    // Were this write torn and the file opened now, the records from redo_from on would have to bring the page back.
    if (lsn.value != 0)
      model_.expect(log->has_image(io.id, redo_from_, lsn), "a torn write of this page could not be repaired");
  }

  Execution& model_;
  std::array<Page, kPages> pages_{};
  Lsn redo_from_{};
  int syncs_ = 0;
};

/// A pool over a store and a log. The body ends it with `close`.
class PoolModel {
 public:
  PoolModel(Execution& execution, BufferPoolOptions options) : model(execution), store(execution), log(execution) {
    if (options.log != nullptr) {
      options.log = &log;
      store.log = &log;
    }
    auto made = BufferPool::create(execution, store, options);
    model.expect(made.has_value(), "a pool is made");
    pool = std::move(*made);
  }

  /// A pool of `frames` frames without tasks of its own.
  [[nodiscard]] static BufferPoolOptions plain(std::uint32_t frames) {
    return {.frames = frames, .background_writer = false, .background_reader = false};
  }
  [[nodiscard]] static BufferPoolOptions logged(std::uint32_t frames) {
    static ModelLog* const any = reinterpret_cast<ModelLog*>(alignof(ModelLog));  // replaced above
    BufferPoolOptions options = plain(frames);
    options.log = any;
    return options;
  }

  /// Fetches `id` shared and expects its value.
  void fetch_and_expect(std::uint64_t id, std::uint64_t value) {
    const auto guard = pool->fetch({id});
    if (!must(guard)) return;
    expect_value(guard->page().data(), value);
    model.expect(guard->id().value == id, "the guard is of another page");
  }
  /// Changes `id` to `value`, as a log would see it: under the exclusive guard.
  void change(std::uint64_t id, std::uint64_t value) {
    auto guard = pool->fetch_exclusive({id});
    if (must(guard)) change(*guard, value);
  }
  void change(ExclusiveGuard& guard, std::uint64_t value) {
    if (store.log != nullptr) {
      const Lsn lsn = log.append(guard.id(), guard.full_image_due());
      static_cast<void>(guard.write());
      guard.set_lsn(lsn);
    }
    std::byte* const page = guard.write().data();
    // Two words, so that a torn copy shows.
    for (std::size_t i = 0; i < 2; ++i) {
      model.write(page + kValueAt + 8 * i);
      std::memcpy(page + kValueAt + 8 * i, &value, sizeof value);
    }
  }
  void expect_value(const std::byte* page, std::uint64_t value) {
    const Value found = value_in(page);
    model.expect(found.once == value && found.again == value,
                 "the page has value " + std::to_string(found.once) + ", not " + std::to_string(value));
  }
  template <class T>
  bool must(const Result<T>& result) {
    model.expect(result.has_value(), result ? "" : "no error is due: " + result.error().message());
    return result.has_value();
  }
  /// Writes what is dirty, ends the pool, and expects `value` in the store.
  void close() {
    must(pool->close());
    model.expect(pool->stats().dirty == 0, "a closed pool has no dirty page");
    pool.reset();
  }
  void close_and_expect(std::uint64_t id, std::uint64_t value) {
    close();
    model.expect(store.value(id) == value,
                 "the store has value " + std::to_string(store.value(id)) + ", not " + std::to_string(value));
  }

  Execution& model;
  ModelStore store;
  ModelLog log;
  std::unique_ptr<BufferPool> pool;
};

}  // namespace pagedb::sim::model
