// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// MemoryStore: a PageStore in memory whose transfers a test can count, fail, and stop half-way.
//
// A transfer that a test has stopped waits inside the store, where a slow device would keep it, until the test lets it
// go. Thread-safe.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "engine/page.h"
#include "engine/page_store.h"

namespace pagedb::testing_support {

/// Stops those who come to it while it is closed.
class Gate {
 public:
  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  void open() {
    {
      const std::scoped_lock lock(mutex_);
      closed_ = false;
    }
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    --waiting_;
  }
  /// Waits until `count` tasks stand at the closed gate.
  void await(int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ && waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  int waiting_ = 0;
};

class MemoryStore final : public PageStore {
  template <class Work>
  auto locked(Work work) const {
    const std::scoped_lock lock(mutex_);
    return work();
  }

 public:
  /// Says how a transfer of a page ends: nothing, well.
  using Fault = std::function<std::optional<ErrorCode>(PageId)>;

  explicit MemoryStore(std::size_t page_bytes = 4096) : page_size_(*PageSize::of(page_bytes)) {}

  // ---- what tests set up; faults before the store is used by several tasks

  Fault on_read, on_write;
  std::function<std::optional<ErrorCode>()> on_sync, on_commit;
  Gate reads, writes, syncs;  ///< a transfer or sync passes one of them, after it was counted and before its effect
  bool read_only = false;     ///< may_write says so

  /// The store holds `count` pages from 0 on, each with an LSN of 0 and a payload that begins with its number.
  void fill(std::uint64_t count) {
    std::vector<std::byte> page(page_size_.bytes());
    for (std::uint64_t id = 0; id < count; ++id) {
      std::ranges::fill(page, std::byte{0});
      std::memcpy(page.data() + kPageHeaderBytes, &id, sizeof id);
      put(PageId{id}, page);
    }
  }
  /// Puts a page there; it is then durable.
  void put(PageId id, std::span<std::byte> page) {
    seal(page, {.id = id});
    const std::scoped_lock lock(mutex_);
    durable_[id.value] = pages_[id.value] = {page.begin(), page.end()};
  }

  // ---- what tests look at

  int reads_of(std::uint64_t id) const { return count(reads_, id); }
  int writes_of(std::uint64_t id) const { return count(writes_, id); }
  std::uint64_t read_count() const {
    return locked([&] { return read_count_; });
  }
  std::uint64_t write_count() const {
    return locked([&] { return write_order_.size(); });
  }
  std::uint64_t sync_count() const {
    return locked([&] { return sync_count_; });
  }
  std::uint64_t batches_max() const {
    return locked([&] { return batch_max_; });
  }
  Lsn redo_from() const {
    return locked([&] { return redo_from_; });
  }
  /// The pages written, in the order in which they were handed in.
  std::vector<std::uint64_t> write_order() const {
    return locked([&] { return write_order_; });
  }
  /// The first word of page `id`'s payload, as the store has it, or as a crash now would leave it.
  std::optional<std::uint64_t> stored(std::uint64_t id) const { return word(pages_, id); }
  std::optional<std::uint64_t> durable(std::uint64_t id) const { return word(durable_, id); }

  // ---- PageStore

  Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override {
    note(reads_, id, &read_count_);
    reads.pass();
    if (poisoned()) return failure(PageError{.code = ErrorCode::poisoned}.about(id));
    if (on_read) {
      if (const auto code = on_read(id)) return failure(PageError{.code = *code}.about(id));
    }
    const std::scoped_lock lock(mutex_);
    const auto found = pages_.find(id.value);
    if (found == pages_.end()) return failure(PageError{.code = ErrorCode::beyond_end}.about(id));
    std::ranges::copy(found->second, page.begin());
    return verify(page, page_size_, {.id = id});
  }

  Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    return run(batch, done, [this](PageIo& io) -> Result<void> {
      const auto header = read(io.id, io.page);
      if (!header) return failure(header.error());
      return {};
    });
  }

  Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    {
      const std::scoped_lock lock(mutex_);
      for (const PageIo& io : batch) {
        ++writes_[io.id.value];
        write_order_.push_back(io.id.value);
      }
      batch_max_ = std::max<std::uint64_t>(batch_max_, batch.size());
    }
    writes.pass();
    return run(batch, done, [this](PageIo& io) -> Result<void> {
      if (const auto may = may_write(io.id); !may) return may;
      if (on_write) {
        if (const auto code = on_write(io.id)) return failure(PageError{.code = *code}.about(io.id));
      }
      seal(io.page, {.id = io.id});
      const std::scoped_lock lock(mutex_);
      pages_[io.id.value] = {io.page.begin(), io.page.end()};
      return {};
    });
  }

  Result<void> sync() noexcept override {
    std::map<std::uint64_t, std::vector<std::byte>> covered;
    {
      const std::scoped_lock lock(mutex_);
      ++sync_count_;
      if (poisoned_) return failure({.code = ErrorCode::poisoned});
      covered = pages_;
    }
    syncs.pass();
    const auto code = on_sync ? on_sync() : std::nullopt;
    const std::scoped_lock lock(mutex_);
    if (code) {
      poisoned_ = true;
      return failure({.code = *code});
    }
    durable_ = std::move(covered);
    return {};
  }

  Result<void> commit_redo_from(Lsn redo_from) noexcept override {
    if (const auto synced = sync(); !synced) return synced;
    if (on_commit) {
      if (const auto code = on_commit()) return failure({.code = *code});
    }
    const std::scoped_lock lock(mutex_);
    redo_from_ = redo_from;
    return {};
  }

  Result<void> may_write(PageId id) const noexcept override {
    if (poisoned()) return failure(PageError{.code = ErrorCode::poisoned}.about(id));
    if (read_only) return failure(PageError{.code = ErrorCode::read_only}.about(id));
    if (id.value >= kPagesMax) return failure(PageError{.code = ErrorCode::page_id_overflow}.about(id));
    return {};
  }
  bool poisoned() const noexcept override {
    return locked([&] { return poisoned_; });
  }
  PageSize page_size() const noexcept override { return page_size_; }
  IoLimits limits() const noexcept override { return {}; }

  static constexpr std::uint64_t kPagesMax = std::uint64_t{1} << 40;

 private:
  int count(const std::map<std::uint64_t, int>& counts, std::uint64_t id) const {
    return locked([&] {
      const auto found = counts.find(id);
      return found == counts.end() ? 0 : found->second;
    });
  }
  void note(std::map<std::uint64_t, int>& counts, PageId id, std::uint64_t* total) {
    const std::scoped_lock lock(mutex_);
    ++counts[id.value];
    ++*total;
  }
  template <class Each>
  static Result<void> run(std::span<PageIo> batch, PageDone done, Each each) {
    Result<void> first;
    for (PageIo& io : batch) {
      io.result = each(io);
      if (!io.result && first) first = io.result;
      done(io);
    }
    return first;
  }
  std::optional<std::uint64_t> word(const std::map<std::uint64_t, std::vector<std::byte>>& pages,
                                    std::uint64_t id) const {
    return locked([&]() -> std::optional<std::uint64_t> {
      const auto found = pages.find(id);
      if (found == pages.end()) return std::nullopt;
      std::uint64_t value = 0;
      std::memcpy(&value, found->second.data() + kPageHeaderBytes, sizeof value);
      return value;
    });
  }

  const PageSize page_size_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::vector<std::byte>> pages_, durable_;
  std::map<std::uint64_t, int> reads_, writes_;
  std::vector<std::uint64_t> write_order_;
  std::uint64_t read_count_ = 0, sync_count_ = 0, batch_max_ = 0;
  Lsn redo_from_{};
  bool poisoned_ = false;
};

}  // namespace pagedb::testing_support
