// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// One PageFile used by several threads: pages, lengths, syncs and poison.
#include <atomic>

#include "engine/page_file_test.h"
#include "engine/thread_scheduler.h"

namespace pagedb::testing_support {
namespace {

class PageFileThreads : public PageFileTest {
 protected:
  void run_threads(int count, const std::function<void(int)>& body) {
    std::vector<TaskId> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(threads_.spawn("user", [&body, i] { body(i); }));
    for (const TaskId task : tasks) threads_.join(task);
  }
  std::unique_ptr<PageFile> created_for_threads() {
    auto file = PageFile::create(threads_, backend_, path_, PageSize(), kId);
    EXPECT_TRUE(file);
    return std::move(*file);
  }

  ThreadScheduler threads_;
};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileThreads, testing::Values(Caching::direct, Caching::buffered), caching_name);

TEST_P(PageFileThreads, threads_use_their_own_pages) {
  constexpr std::uint64_t kPages = 50;
  const auto file = created_for_threads();
  run_threads(4, [&](int thread) {
    const std::uint64_t first = 300 + static_cast<std::uint64_t>(thread) * kPages;
    for (std::uint64_t version = 1; version <= 3; ++version) {
      for (std::uint64_t id = first; id < first + kPages; ++id) EXPECT_TRUE(write_version(*file, id, version));
      for (std::uint64_t id = first; id < first + kPages; ++id) EXPECT_EQ(read_version(*file, id), version);
      EXPECT_TRUE(file->sync());
    }
  });
  EXPECT_EQ(file->page_count(), 300 + 4 * kPages);
}

TEST_P(PageFileThreads, the_length_is_that_of_the_farthest_write) {
  const auto file = created_for_threads();
  run_threads(4, [&](int thread) {
    for (std::uint64_t i = 0; i < 100; ++i) {
      const std::uint64_t id = 300 + i * 4 + static_cast<std::uint64_t>(thread);
      EXPECT_TRUE(write_version(*file, id, 1));
      EXPECT_GT(file->page_count(), id);
    }
  });
  EXPECT_EQ(file->page_count(), 700u);
}

// The kernel tells a lost write to one fdatasync only. Whoever else syncs at that moment or later must not hear Ok.
TEST_P(PageFileThreads, after_a_failed_sync_nobody_hears_ok) {
  const auto file = created_for_threads();
  std::atomic<int> syncs{0};
  std::atomic<bool> failed{false};
  std::atomic<int> believed{0};
  std::atomic<int> refused{0};
  system_.on_sync = [&]() -> FaultySystem::Answer {
    if (++syncs == 20) {
      failed = true;
      return -EIO;
    }
    return 0;
  };
  run_threads(4, [&](int thread) {
    for (int i = 0; i < 50; ++i) {
      const auto wrote = write_version(*file, static_cast<std::uint64_t>(10 + thread), 1);
      const bool late = failed;
      const bool ok = file->sync().has_value();
      if (late && ok) ++believed;
      if (!ok) ++refused;
      if (!wrote) {
        EXPECT_EQ(wrote.error().code, ErrorCode::poisoned);
      }
    }
  });
  EXPECT_EQ(believed, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(syncs, 20) << "a poisoned file was synced again";
  EXPECT_TRUE(file->poisoned());
}

}  // namespace
}  // namespace pagedb::testing_support
