// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// ThreadScheduler: futex parking in a table indexed by thread id.
#include "engine/thread_scheduler.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/check.h"

namespace pagedb {
namespace {

constexpr std::size_t kThreadIds = std::size_t{1} << 22;  // PID_MAX_LIMIT of 64-bit Linux

// States of a parking word.
constexpr std::uint32_t kEmpty = 0;
constexpr std::uint32_t kUnparked = 1;
constexpr std::uint32_t kParked = 2;

std::uint32_t thread_id() noexcept { return static_cast<std::uint32_t>(::syscall(SYS_gettid)); }

// Sleeps while `word` is `expected`. False when the deadline has come. May return early for other reasons.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, Time deadline) noexcept {
  const Time::rep nanoseconds = std::max<Time::rep>(deadline.count(), 0);
  const timespec until{nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                                deadline == kForever ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result == 0 || errno != ETIMEDOUT;
}

void futex_wake(std::atomic<std::uint32_t>& word) noexcept { ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1); }

void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

struct ThreadScheduler::Slot {
  std::atomic<std::uint32_t> word;    // kEmpty, kUnparked or kParked
  std::atomic<std::uint32_t> serial;  // of the spawned task that this thread is; 0: some other thread
};

struct ThreadScheduler::Task {
  std::atomic<std::uint32_t> thread_id{0};  // set by the new thread
  std::thread thread;
};

ThreadScheduler::ThreadScheduler() {
  static_assert(sizeof(Slot) == 8 && std::atomic<std::uint32_t>::is_always_lock_free);
  constexpr std::size_t kBytes = kThreadIds * sizeof(Slot);
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PAGEDB_CHECK(memory != MAP_FAILED, "no address space for the table of parked threads");
  ::madvise(memory, kBytes, MADV_NOHUGEPAGE);  // a huge page would make 2 MiB of each thread's 8 bytes
  slots_ = static_cast<Slot*>(memory);         // all zero: empty slots
  if (pthread_key_t key{}; ::pthread_key_create(&key, nullptr) == 0) key_ = key;
}

ThreadScheduler::~ThreadScheduler() {
  PAGEDB_CHECK(tasks_.empty(), "every spawned task must be joined");
  if (key_) ::pthread_key_delete(*key_);
  ::munmap(slots_, kThreadIds * sizeof(Slot));
}

ThreadScheduler::Slot& ThreadScheduler::slot(std::uint32_t thread) noexcept {
  PAGEDB_CHECK(thread != 0 && thread < kThreadIds, "not a task");
  return slots_[thread];
}

// A TaskId is the thread id, and above it, for spawned tasks, a serial number: thread ids are used again as soon as a
// thread ends.
TaskId ThreadScheduler::current() noexcept {
  static_assert(sizeof(void*) == sizeof(TaskId));
  if (key_) [[likely]] {
    if (const void* known = ::pthread_getspecific(*key_); known != nullptr) return std::bit_cast<TaskId>(known);
  }
  const std::uint32_t thread = thread_id();
  const std::uint64_t serial = slot(thread).serial.load(std::memory_order_relaxed);
  const TaskId self{serial << 32 | thread};
  if (key_) ::pthread_setspecific(*key_, std::bit_cast<void*>(self));  // if that fails, the next call asks again
  return self;
}

bool ThreadScheduler::park(Time deadline) noexcept {
  std::atomic<std::uint32_t>& word = slot(static_cast<std::uint32_t>(current().value)).word;
  std::uint32_t seen = kEmpty;
  if (!word.compare_exchange_strong(seen, kParked, std::memory_order_acq_rel)) {
    word.exchange(kEmpty, std::memory_order_acq_rel);  // an unpark came first
    return true;
  }
  bool waiting = true;
  while (waiting && word.load(std::memory_order_relaxed) == kParked) waiting = futex_wait(word, kParked, deadline);
  return word.exchange(kEmpty, std::memory_order_acq_rel) == kUnparked;
}

void ThreadScheduler::unpark(TaskId task) noexcept {
  std::atomic<std::uint32_t>& word = slot(static_cast<std::uint32_t>(task.value)).word;
  if (word.exchange(kUnparked, std::memory_order_acq_rel) == kParked) futex_wake(word);
}

TaskId ThreadScheduler::spawn(std::string_view name, std::function<void()> body) {
  std::uint32_t serial = 0;
  try {
    auto made = std::make_unique<Task>();
    Task& task = *made;
    {
      const std::lock_guard guard(mutex_);
      serial = next_serial_++;
      if (next_serial_ == 0) next_serial_ = 1;
      tasks_.emplace(serial, std::move(made));
    }
    task.thread = std::thread([this, serial, &task, run = std::move(body)] {
      const std::uint32_t thread = thread_id();
      std::atomic<std::uint32_t>& own_serial = slot(thread).serial;
      own_serial.store(serial, std::memory_order_relaxed);
      task.thread_id.store(thread, std::memory_order_release);
      futex_wake(task.thread_id);
      run();
      own_serial.store(0, std::memory_order_relaxed);
    });
    while (task.thread_id.load(std::memory_order_acquire) == 0) futex_wait(task.thread_id, 0, kForever);
    std::array<char, 16> short_name{};
    name.copy(short_name.data(), short_name.size() - 1);
    ::pthread_setname_np(task.thread.native_handle(), short_name.data());
    return {std::uint64_t{serial} << 32 | task.thread_id.load(std::memory_order_relaxed)};
  } catch (const std::system_error&) {  // no thread
  } catch (const std::bad_alloc&) {     // no memory
  }
  const std::lock_guard guard(mutex_);
  tasks_.erase(serial);
  return {};
}

void ThreadScheduler::join(TaskId task) noexcept {
  PAGEDB_CHECK(task != current(), "a task cannot join itself");
  std::unique_ptr<Task> taken;
  {
    const std::lock_guard guard(mutex_);
    const auto found = tasks_.find(static_cast<std::uint32_t>(task.value >> 32));
    PAGEDB_CHECK(found != tasks_.end(), "join a task once, where it was spawned");
    taken = std::move(found->second);
    tasks_.erase(found);
  }
  taken->thread.join();
}

Time ThreadScheduler::now() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + Time(time.tv_nsec);
}

void ThreadScheduler::relax(unsigned attempt) noexcept {
  constexpr unsigned kYieldFrom = 7;
  constexpr unsigned kSleepFrom = 16;
  constexpr long kSleepNs = 50'000;
  if (attempt < kYieldFrom) {
    for (unsigned spins = 1u << attempt; spins > 0; --spins) spin_pause();
  } else if (attempt < kSleepFrom) {
    ::sched_yield();
  } else {
    const timespec nap{0, kSleepNs << std::min(attempt - kSleepFrom, 5u)};
    ::nanosleep(&nap, nullptr);
  }
}

}  // namespace pagedb
