// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Stress: several threads do everything at once to a small pool over a real O_DIRECT file.
//
// Each page carries one counter, many times over, so that a torn read shows, and a shadow of it in memory that only the
// latch guards: a lost update shows as a difference, a missing order between latches as a race under ThreadSanitizer.
// At the end the file alone must have every count.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/buffer_pool.h"
#include "engine/io/direct_io.h"
#include "engine/io/real_file_test.h"
#include "engine/io/uring_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace pagedb {
namespace {

constexpr std::uint64_t kCounted = 160;  // pages with counters
constexpr std::uint64_t kFreed = 16;     // pages that are dropped and made anew, after those
constexpr std::uint64_t kFirst = 300;    // clear of the superblocks
constexpr std::size_t kCopies = 16;      // of the counter in a page
constexpr int kTasks = 4;
constexpr std::chrono::milliseconds kFor{2500};

/// A log that hands out LSNs, and is durable as far as it was asked to be.
class CountingLog final : public LogBarrier {
 public:
  Result<void> ensure_durable(Lsn lsn) noexcept override {
    std::uint64_t seen = durable_.load();
    while (seen < lsn.value && !durable_.compare_exchange_weak(seen, lsn.value)) {
    }
    return {};
  }
  Lsn append() { return {next_.fetch_add(1)}; }
  Lsn next() const { return {next_.load()}; }
  Lsn durable() const { return {durable_.load()}; }

 private:
  std::atomic<std::uint64_t> next_{1};
  std::atomic<std::uint64_t> durable_{0};
};

/// The file, watching that no page comes before its log.
class WatchedFile final : public PageStore {
 public:
  WatchedFile(PageFile& file, const CountingLog& log) : file_(file), log_(log) {}
  Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override { return file_.read(id, page); }
  Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    return file_.read_batch(batch, done);
  }
  Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    for (const PageIo& io : batch) EXPECT_LE(page_lsn(io.page), log_.durable());
    return file_.write_batch(batch, done);
  }
  Result<void> sync() noexcept override { return file_.sync(); }
  Result<void> commit_redo_from(Lsn redo_from) noexcept override { return file_.commit_redo_from(redo_from); }
  Result<void> may_write(PageId id) const noexcept override { return file_.may_write(id); }
  bool poisoned() const noexcept override { return file_.poisoned(); }
  PageSize page_size() const noexcept override { return file_.page_size(); }
  IoLimits limits() const noexcept override { return file_.limits(); }

 private:
  PageFile& file_;
  const CountingLog& log_;
};

/// A page's counter; fails the test when its copies differ or the page is another one's.
std::uint64_t counter_of(std::span<const std::byte> page, std::uint64_t id) {
  std::array<std::uint64_t, 2> first{};
  for (std::size_t copy = 0; copy < kCopies; ++copy) {
    std::array<std::uint64_t, 2> words{};
    std::memcpy(words.data(), page.data() + kPageHeaderBytes + copy * (page.size() / kCopies), sizeof words);
    if (copy == 0) first = words;
    EXPECT_EQ(words, first) << "torn: page " << id;
  }
  EXPECT_EQ(first[1], id);
  return first[0];
}
void set_counter(std::span<std::byte> page, std::uint64_t id, std::uint64_t counter) {
  const std::array<std::uint64_t, 2> words{counter, id};
  for (std::size_t copy = 0; copy < kCopies; ++copy) {
    std::memcpy(page.data() + kPageHeaderBytes + copy * (page.size() / kCopies), words.data(), sizeof words);
  }
}

class PoolStress {
 public:
  explicit PoolStress(IoBackend& backend)
      : file_(made(scheduler_, backend, path_.str())),
        store_(*file_, log_),
        pool_(std::move(*BufferPool::create(
            scheduler_, store_,
            {.frames = 32, .log = &log_, .exhausted_wait = std::chrono::seconds(10), .write_batch_pages = 8}))) {
    for (std::uint64_t i = 0; i < kCounted + kFreed; ++i) {
      auto guard = pool_->new_page(PageId{kFirst + i});
      set_counter(guard->write(), i, 0);
      guard->set_lsn(log_.append());
    }
    const auto flushed = pool_->flush_all();
    EXPECT_TRUE(flushed);
  }

  void run() {
    std::vector<std::jthread> threads;
    for (std::uint64_t task = 0; task < kTasks; ++task) {
      threads.emplace_back([this, task] { work(task); });
    }
    std::this_thread::sleep_for(kFor);
    stop_ = true;
    threads.clear();
    const auto closed = pool_->close();
    ASSERT_TRUE(closed) << closed.error().message();
    const BufferPoolStats stats = pool_->stats();
    EXPECT_GT(stats.evictions, 100u);
    EXPECT_GT(stats.writes, 100u);
    EXPECT_EQ(stats.dirty, 0u);
    pool_.reset();
    auto page = AlignedBuffer::allocate(file_->page_size().bytes());
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < kCounted; ++i) {
      const auto header = file_->read(PageId{kFirst + i}, page->span());
      ASSERT_TRUE(header) << header.error().message();
      EXPECT_EQ(counter_of(page->span(), i), shadow_[i]) << "an update of page " << i << " was lost";
      total += shadow_[i];
    }
    EXPECT_GT(total, 1000u) << "hardly anything happened";
  }

 private:
  static std::unique_ptr<PageFile> made(Scheduler& scheduler, IoBackend& backend, const std::string& path) {
    auto file = PageFile::create(scheduler, backend, path, PageSize(), FileId{std::byte{7}});
    if (!file) std::abort();  // O_DIRECT is not to be had here, and the test means nothing
    return std::move(*file);
  }

  /// Fails the test on any error.
  template <class T>
  static bool ok(const Result<T>& result) {
    if (!result) ADD_FAILURE() << result.error().message();
    return result.has_value();
  }

  void increment(ExclusiveGuard& guard, std::uint64_t i) {
    const std::uint64_t before = counter_of(guard.page(), i);
    EXPECT_EQ(before, shadow_[i]);
    const Lsn lsn = log_.append();
    set_counter(guard.write(), i, before + 1);
    guard.set_lsn(lsn);
    ++shadow_[i];
    at_least_[i].store(before + 1, std::memory_order_release);
  }

  void work(std::uint64_t seed) {
    std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    const auto below = [&](std::uint64_t bound) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return (state >> 33) % bound;
    };
    std::vector<std::byte> copy(4096);
    FrameHint hint;
    while (!stop_) {
      // Half of the work is on few pages, so that tasks meet.
      const std::uint64_t i = below(2) == 0 ? below(8) : below(kCounted);
      const PageId id{kFirst + i};
      switch (below(16)) {
        case 0:
        case 1:
        case 2:
          if (const auto guard = pool_->fetch(id, hint); ok(guard)) {
            EXPECT_EQ(counter_of(guard->page(), i), shadow_[i]);
          }
          break;
        case 3:
        case 4: {
          const std::uint64_t floor = at_least_[i].load(std::memory_order_acquire);
          if (ok(pool_->read(id, 0, copy))) {
            EXPECT_GE(counter_of(copy, i), floor);
          }
          break;
        }
        case 5: {
          const std::uint64_t floor = at_least_[i].load(std::memory_order_acquire);
          const auto guard = pool_->fetch_optimistic(id, hint);
          if (ok(guard) && guard->copy(0, copy)) {
            EXPECT_GE(counter_of(copy, i), floor);
          }
          break;
        }
        case 6:
        case 7:
        case 8:
          if (auto guard = pool_->fetch_exclusive(id); ok(guard)) increment(*guard, i);
          break;
        case 9:
          if (auto guard = pool_->fetch(id); ok(guard)) {
            if (ExclusiveGuard exclusive = guard->try_upgrade()) increment(exclusive, i);
          }
          break;
        case 10:
          if (auto guard = pool_->fetch_exclusive(id); ok(guard)) {
            increment(*guard, i);
            const SharedGuard shared = guard->downgrade();
            EXPECT_EQ(counter_of(shared.page(), i), shadow_[i]);
          }
          break;
        case 11:
          if (const auto guard = pool_->fetch_optimistic(id); ok(guard)) {
            if (ExclusiveGuard exclusive = guard->try_exclusive()) increment(exclusive, i);
          }
          break;
        case 12:
          ok(pool_->flush(id));
          break;
        case 13: {
          const std::array<PageId, 3> ids{id, PageId{kFirst + below(kCounted)}, PageId{kFirst + below(kCounted)}};
          static_cast<void>(pool_->prefetch(ids));
          break;
        }
        case 14:
          free_and_make(below(kFreed));
          break;
        default:
          switch (below(12)) {
            case 0:
              ok(pool_->flush_all());
              break;
            case 1:
              ok(pool_->sync());
              break;
            case 2:
              checkpoint();
              break;
            default:
              hold_some(below(kCounted - 3));
              break;
          }
      }
    }
  }

  /// `begin` must not go back, so one task at a time chooses it.
  void checkpoint() {
    if (checkpointing_.exchange(true)) return;
    ok(pool_->checkpoint(log_.next()));
    checkpointing_ = false;
  }
  /// Holds a few pages at once, in page order.
  void hold_some(std::uint64_t first) {
    std::array<SharedGuard, 3> guards;
    for (std::uint64_t n = 0; n < guards.size(); ++n) {
      auto guard = pool_->fetch(PageId{kFirst + first + n});
      if (ok(guard)) guards[n] = std::move(*guard);
    }
    for (std::uint64_t n = 0; n < guards.size(); ++n) {
      if (guards[n]) {
        EXPECT_EQ(counter_of(guards[n].page(), first + n), shadow_[first + n]);
      }
    }
  }
  /// Drops a page and makes it anew; whoever else looks sees it whole, as new, or as the file has it.
  void free_and_make(std::uint64_t n) {
    const std::uint64_t i = kCounted + n;
    const PageId id{kFirst + i};
    pool_->drop(id);
    if (const auto guard = pool_->fetch(id); ok(guard)) counter_of(guard->page(), i);
    auto guard = pool_->new_page(id);
    if (!ok(guard)) return;
    set_counter(guard->write(), i, 1);
    guard->set_lsn(log_.append());
  }

  TempPath path_;
  ThreadScheduler scheduler_;
  CountingLog log_;
  std::unique_ptr<PageFile> file_;
  WatchedFile store_;
  std::unique_ptr<BufferPool> pool_;
  std::array<std::uint64_t, kCounted> shadow_{};  // of each page's counter; guarded by the page's latch
  std::array<std::atomic<std::uint64_t>, kCounted> at_least_{};
  std::atomic<bool> checkpointing_{false};
  std::atomic<bool> stop_{false};
};

TEST(PoolStressTest, ThreadsOverADirectFile) {
  DirectIo disk;
  PoolStress(disk).run();
}

TEST(PoolStressTest, ThreadsOverAnIoUringFile) {
  auto disk = UringIo::make();
  ASSERT_TRUE(disk) << "this machine forbids io_uring";
  PoolStress(**disk).run();
}

}  // namespace
}  // namespace pagedb
