// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the tests of the buffer pool share: a pool over a MemoryStore, a scheduler that tells who is asleep, a log.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/log.h"
#include "engine/pool/memory_store_test.h"
#include "engine/thread_scheduler.h"

namespace pagedb::testing_support {

/// Threads, and how many of them are parked just now.
class WatchedScheduler final : public Scheduler {
 public:
  TaskId current() noexcept override { return threads_.current(); }
  bool park(Time deadline) noexcept override {
    ++parked_;
    const bool unparked = threads_.park(deadline);
    --parked_;
    return unparked;
  }
  void unpark(TaskId task) noexcept override { threads_.unpark(task); }
  TaskId spawn(std::string_view name, std::function<void()> body) override {
    return refuse_spawn ? TaskId{} : threads_.spawn(name, std::move(body));
  }
  void join(TaskId task) noexcept override { threads_.join(task); }
  Time now() noexcept override { return threads_.now(); }
  void relax(unsigned attempt) noexcept override { threads_.relax(attempt); }

  int parked() const { return parked_; }
  /// Waits until `count` tasks sleep at once.
  void await_parked(int count) const {
    while (parked_ < count) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }

  bool refuse_spawn = false;

 private:
  ThreadScheduler threads_;
  std::atomic<int> parked_{0};
};

/// Waits until `condition` holds.
template <class Condition>
void eventually(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

/// A log that is durable as far as it was asked to be, unless it fails.
class MemoryLog final : public LogBarrier {
 public:
  Result<void> ensure_durable(Lsn lsn) noexcept override {
    ++asked;
    asks.pass();
    if (fail) return failure({.code = ErrorCode::io_error});
    const std::scoped_lock lock(mutex_);
    durable_ = std::max(durable_, lsn);
    return {};
  }
  Lsn durable() const {
    const std::scoped_lock lock(mutex_);
    return durable_;
  }

  std::atomic<bool> fail{false};
  std::atomic<int> asked{0};
  Gate asks;

 private:
  mutable std::mutex mutex_;
  Lsn durable_{};
};

/// The first word of a page's payload.
inline std::uint64_t word_of(std::span<const std::byte> page) {
  std::uint64_t word = 0;
  std::memcpy(&word, page.data() + kPageHeaderBytes, sizeof word);
  return word;
}
inline void put_word(ExclusiveGuard& guard, std::uint64_t word) {
  std::memcpy(guard.write().data() + kPageHeaderBytes, &word, sizeof word);
}

/// The code of an error; fails the test when there is none.
template <class T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result) << "no error";
  return result ? ErrorCode{} : result.error().code;
}
template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result) << result.error().message();
  if (!result) std::abort();
  return std::move(*result);
}
inline void must(const Result<void>& result) { EXPECT_TRUE(result) << result.error().message(); }

/// A pool without tasks of its own, so that nothing happens that a test did not ask for.
inline BufferPoolOptions quiet(std::uint32_t frames) {
  return {.frames = frames, .background_writer = false, .background_reader = false};
}

/// A pool over a store that holds pages 0 to 99, each with its number as first word and LSN 0.
class PoolWorld {
 public:
  static constexpr std::uint64_t kPages = 100;

  explicit PoolWorld(std::uint32_t frames = 16) : PoolWorld(quiet(frames)) {}
  explicit PoolWorld(BufferPoolOptions options) {
    store.fill(kPages);
    options.log = &log;
    make(options);
  }
  ~PoolWorld() {
    if (pool) pool->abandon();
  }

  void make(const BufferPoolOptions& options) { pool = must(BufferPool::create(scheduler, store, options)); }

  std::uint64_t value(std::uint64_t id) { return word_of(must(pool->fetch(PageId{id})).page()); }
  /// Changes page `id`, and gives it an LSN above all others.
  void change(std::uint64_t id, std::uint64_t value) {
    ExclusiveGuard guard = must(pool->fetch_exclusive(PageId{id}));
    put_word(guard, value);
    guard.set_lsn(Lsn{++last_lsn});
  }
  PageState state(std::uint64_t id) const { return pool->state_of(PageId{id}); }
  std::vector<SharedGuard> hold(std::uint64_t first, std::uint64_t count) {
    std::vector<SharedGuard> guards;
    for (std::uint64_t id = first; id < first + count; ++id) guards.push_back(must(pool->fetch(PageId{id})));
    return guards;
  }

  WatchedScheduler scheduler;
  MemoryStore store;
  MemoryLog log;
  std::atomic<std::uint64_t> last_lsn{0};
  std::unique_ptr<BufferPool> pool;
};

class PoolTest : public testing::Test, public PoolWorld {};

}  // namespace pagedb::testing_support
