// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Committing redo_from: the order of I/O, every point of failure, what later openers find, and committers in turn.
#include <atomic>

#include "engine/page_file_test.h"
#include "engine/thread_scheduler.h"

namespace pagedb::testing_support {
namespace {

constexpr SuperblockSlot kFirst = SuperblockSlot::first;
constexpr SuperblockSlot kTwin = SuperblockSlot::twin;

class PageFileCommit : public PageFileTest {
 protected:
  static std::string committed(SuperblockSlot slot, std::uint64_t generation, std::uint64_t redo_from) {
    return superblock(slot, generation, 4096, kId, Lsn{redo_from});
  }
  /// Notes each write and sync in `order_` from now on.
  void note_order() {
    order_.clear();
    system_.on_write = [this](off_t offset, std::size_t size) -> FaultySystem::Answer {
      order_ += "write" + std::to_string(offset) + "+" + std::to_string(size) + " ";
      return std::nullopt;
    };
    system_.on_sync = [this]() -> FaultySystem::Answer {
      order_ += "sync ";
      return std::nullopt;
    };
  }
  /// Makes the write at `bad` fail with `error`, as long as `failing_` holds.
  void fail_writes_at(std::uint64_t bad, int error) {
    system_.on_write = [this, bad, error](off_t offset, std::size_t) -> FaultySystem::Answer {
      if (failing_ && offset == static_cast<off_t>(bad)) return -error;
      return std::nullopt;
    };
  }

  std::string order_;
  bool failing_ = true;
};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileCommit, testing::Values(Caching::direct, Caching::buffered), caching_name);

TEST_P(PageFileCommit, is_found_by_the_next_opener) {
  for (const std::uint64_t size : {4096u, 65536u, 1u << 20}) {
    std::filesystem::remove(path_);
    {
      const auto file = created(size);
      EXPECT_EQ(file->redo_from(), Lsn{0});
      ASSERT_TRUE(write_version(*file, 5, 1));
      ASSERT_TRUE(file->commit_redo_from(Lsn{77}));
      EXPECT_EQ(file->redo_from(), Lsn{77});
      EXPECT_EQ(file->generation(), 2u);
    }
    for (const SuperblockSlot slot : {kFirst, kTwin})
      EXPECT_EQ(slot_bytes(slot, size), superblock(slot, 2, size, kId, Lsn{77}));
    for (const Access access : {Access::read_only, Access::read_write}) {
      const auto file = opened({.access = access});
      EXPECT_EQ(file->redo_from(), Lsn{77});
      EXPECT_EQ(file->generation(), 2u);
      EXPECT_FALSE(file->open_report().superblock_healed);
      EXPECT_EQ(read_version(*file, 5), 1u);
    }
  }
}

TEST_P(PageFileCommit, puts_a_barrier_around_each_slot) {
  const auto file = created();
  ASSERT_TRUE(write_version(*file, 5, 1));
  note_order();
  ASSERT_TRUE(file->commit_redo_from(Lsn{10}));
  EXPECT_EQ(order_, "sync write1048576+4096 sync write0+4096 sync ");
  note_order();
  ASSERT_TRUE(file->commit_redo_from(Lsn{20}));
  EXPECT_EQ(order_, "sync write0+4096 sync write1048576+4096 sync ") << "with the one that was written last";
}

// Of a generation that both slots show, the one written last may be in a cache only: what a crash does to a write must
// not hit the other one while that is so, and who opened the file relies on what it found.
TEST_P(PageFileCommit, an_opener_makes_the_slot_durable_that_was_written_last) {
  auto file = created();
  for (std::uint64_t commit = 1; commit <= 4; ++commit) {
    ASSERT_TRUE(file->commit_redo_from(Lsn{10 * commit}));
    const SuperblockSlot durable = begins_with(file->generation());
    file.reset();
    note_order();
    file = opened();
    EXPECT_EQ(order_, "sync write" + std::to_string(slot_offset(other(durable))) + "+4096 sync ");
    EXPECT_FALSE(file->open_report().superblock_healed) << "that is usual";
    note_order();
    ASSERT_TRUE(file->commit_redo_from(Lsn{10 * commit + 1}));
    const std::string first = "write" + std::to_string(slot_offset(other(durable)));
    EXPECT_LT(order_.find(first), order_.find("write" + std::to_string(slot_offset(durable)))) << order_;
    EXPECT_EQ(begins_with(file->generation()), other(durable));
  }
}

TEST_P(PageFileCommit, never_goes_back) {
  const auto file = created();
  ASSERT_TRUE(file->commit_redo_from(Lsn{20}));
  ASSERT_TRUE(file->commit_redo_from(Lsn{10}));
  EXPECT_EQ(file->redo_from(), Lsn{20});
  EXPECT_EQ(file->generation(), 3u) << "it is a commit all the same";
  EXPECT_EQ(opened(kReadOnly)->redo_from(), Lsn{20});
}

TEST_P(PageFileCommit, a_slot_that_cannot_be_written_is_tried_first_the_next_time) {
  for (const SuperblockSlot bad : {kFirst, kTwin}) {
    for (const int error : {EIO, ENOSPC}) {
      std::filesystem::remove(path_);
      const auto file = created();
      ASSERT_TRUE(file->commit_redo_from(Lsn{10}));
      fail_writes_at(slot_offset(bad), error);
      failing_ = true;
      for (int attempt = 0; attempt < 2; ++attempt) {
        const auto result = file->commit_redo_from(Lsn{20});
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, error == EIO ? ErrorCode::io_error : ErrorCode::no_space);
        EXPECT_EQ(result.error().page, slot_page(bad, size_of(4096)));
        EXPECT_EQ(file->redo_from(), Lsn{10});
        EXPECT_EQ(file->generation(), 2u);
        EXPECT_FALSE(file->poisoned());
        EXPECT_EQ(slot_bytes(bad), committed(bad, 2, 10));
        // The first attempt's, in the other slot, when it was written before the bad one; the second wrote nothing.
        EXPECT_EQ(slot_bytes(other(bad)), bad == kFirst ? committed(kTwin, 2, 10) : committed(kFirst, 3, 20));
      }
      failing_ = false;
      note_order();
      ASSERT_TRUE(file->commit_redo_from(Lsn{30}));
      EXPECT_EQ(order_, bad == kFirst ? "sync write0+4096 sync write1048576+4096 sync "
                                      : "sync write1048576+4096 sync write0+4096 sync ");
      // The attempts took 3 and 5 where the first slot was bad, 3 and 4 where the twin was.
      const std::uint64_t generation = bad == kFirst ? 7 : 6;
      EXPECT_EQ(file->generation(), generation) << "it says where the commit began, and no attempt has its number";
      for (const SuperblockSlot slot : {kFirst, kTwin}) EXPECT_EQ(slot_bytes(slot), committed(slot, generation, 30));
      note_order();
      ASSERT_TRUE(file->commit_redo_from(Lsn{40}));
      EXPECT_EQ(order_, bad == kFirst ? "sync write1048576+4096 sync write0+4096 sync "
                                      : "sync write0+4096 sync write1048576+4096 sync ");
    }
  }
}

TEST_P(PageFileCommit, every_failed_sync_in_it_poisons) {
  for (int survivors = 0; survivors < 3; ++survivors) {
    std::filesystem::remove(path_);
    system_.on_sync = nullptr;
    auto file = created();
    ASSERT_TRUE(file->commit_redo_from(Lsn{10}));
    int syncs = 0;
    system_.on_sync = [&]() -> FaultySystem::Answer {
      if (syncs++ == survivors) return -EIO;
      return std::nullopt;
    };
    const auto result = file->commit_redo_from(Lsn{20});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::io_error);
    EXPECT_TRUE(file->poisoned());
    EXPECT_EQ(file->redo_from(), Lsn{10});
    EXPECT_EQ(slot_bytes(kFirst), survivors >= 1 ? committed(kFirst, 3, 20) : committed(kFirst, 2, 10));
    EXPECT_EQ(slot_bytes(kTwin), survivors >= 2 ? committed(kTwin, 3, 20) : committed(kTwin, 2, 10));
    const Snapshot before = snapshot();
    EXPECT_EQ(file->commit_redo_from(Lsn{30}).error().code, ErrorCode::poisoned);
    EXPECT_EQ(file->sync().error().code, ErrorCode::poisoned);
    EXPECT_EQ(snapshot(), before);
    EXPECT_EQ(syncs, survivors + 1) << "nothing is synced any more";

    system_.on_sync = nullptr;
    file.reset();
    file = opened();
    EXPECT_EQ(file->redo_from(), Lsn{survivors == 0 ? 10u : 20u}) << "what it refers to is durable all the same";
    ASSERT_TRUE(file->commit_redo_from(Lsn{30}));
    EXPECT_EQ(opened(kReadOnly)->redo_from(), Lsn{30});
  }
}

TEST_P(PageFileCommit, who_may_not_write_may_not_commit) {
  created();
  const Snapshot before = snapshot();
  EXPECT_EQ(opened(kReadOnly)->commit_redo_from(Lsn{10}).error().code, ErrorCode::read_only);
  EXPECT_EQ(snapshot(), before);
}

TEST_P(PageFileCommit, a_headerless_file_has_nowhere_to_keep_it) {
  put_bytes(headerless_file(4096, 3));
  const auto file = opened(legacy(4096));
  const Snapshot before = snapshot();
  EXPECT_EQ(file->commit_redo_from(Lsn{10}).error().code, ErrorCode::unsupported);
  EXPECT_EQ(file->redo_from(), Lsn{0});
  EXPECT_EQ(snapshot(), before);
}

TEST_P(PageFileCommit, a_generation_without_a_successor_is_refused) {
  created();
  for (const SuperblockSlot slot : {kFirst, kTwin}) poke(slot_offset(slot), committed(slot, ~std::uint64_t{0}, 10));
  const auto file = opened();
  const Snapshot before = snapshot();
  EXPECT_EQ(file->commit_redo_from(Lsn{20}).error().code, ErrorCode::superblock_damaged);
  EXPECT_EQ(snapshot(), before);
  EXPECT_FALSE(file->poisoned());
}

// What a crash can leave of a commit: a slot that was being written may be the old one, the new one or rubbish.
TEST_P(PageFileCommit, every_crash_in_it_opens_and_can_be_followed_by_another) {
  const std::string rubbish(4096, 'x');
  struct Crash {
    std::string first;
    std::string twin;
    std::uint64_t found;
  };
  for (const Crash& crash :
       {Crash{committed(kFirst, 2, 10), committed(kTwin, 2, 10), 10}, Crash{rubbish, committed(kTwin, 2, 10), 10},
        Crash{committed(kFirst, 3, 20), committed(kTwin, 2, 10), 20}, Crash{committed(kFirst, 3, 20), rubbish, 20},
        Crash{committed(kFirst, 3, 20), committed(kTwin, 3, 20), 20},
        // After a failed attempt, which began with the twin:
        Crash{committed(kFirst, 3, 20), committed(kTwin, 5, 40), 40}}) {
    std::filesystem::remove(path_);
    ASSERT_TRUE(write_version(*created(), 5, 1));
    poke(0, crash.first);
    poke(kTwinOffset, crash.twin);
    EXPECT_EQ(opened(kReadOnly)->redo_from(), Lsn{crash.found});
    const auto file = opened();
    EXPECT_EQ(file->redo_from(), Lsn{crash.found});
    const std::uint64_t generation = file->generation();
    for (const SuperblockSlot slot : {kFirst, kTwin})
      EXPECT_EQ(slot_bytes(slot), committed(slot, generation, crash.found));
    ASSERT_TRUE(file->commit_redo_from(Lsn{50}));
    EXPECT_EQ(file->generation(), generation + 1);
    EXPECT_EQ(opened(kReadOnly)->redo_from(), Lsn{50});
    EXPECT_EQ(read_version(*file, 5), 1u);
  }
}

TEST_P(PageFileCommit, one_generation_with_two_contents_is_a_contradiction) {
  created();
  poke(0, committed(kFirst, 3, 20));
  poke(kTwinOffset, committed(kTwin, 3, 30));
  expect_refused(ErrorCode::superblock_damaged);
  expect_refused(ErrorCode::superblock_damaged, kReadOnly);
}

// A device that forgets what a failed sync should have written, while a cache goes on to show it. Every pattern of
// failing syncs over one commit and the openings after it.
TEST_P(PageFileCommit, what_an_opener_found_stays_whatever_syncs_had_failed) {
  constexpr unsigned kSyncs = 8;
  const auto stands_in = [&](SuperblockSlot slot) {
    std::string page(4096, '\0');
    std::ifstream in(path_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(slot_offset(slot)));
    in.read(page.data(), 4096);
    return page;
  };
  int poisoned = 0;
  int refused = 0;
  for (unsigned failing = 0; failing < 1u << kSyncs; ++failing) {
    std::filesystem::remove(path_);
    std::array<std::string, 2> durable;  // by slot
    std::array<bool, 2> dirty{};
    unsigned syncs = 0;
    bool honest = true;
    system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
      dirty[offset == 0 ? 0 : 1] = true;
      return std::nullopt;
    };
    system_.on_sync = [&]() -> FaultySystem::Answer {
      if (!dirty[0] && !dirty[1]) return 0;
      const bool fails = !honest && syncs < kSyncs && (failing >> syncs++ & 1) != 0;
      for (const SuperblockSlot slot : {kFirst, kTwin}) {
        const auto i = static_cast<std::size_t>(slot);
        if (dirty[i] && !fails) durable[i] = stands_in(slot);
        dirty[i] = false;
      }
      return fails ? -EIO : 0;
    };
    auto file = created();
    ASSERT_TRUE(file->commit_redo_from(Lsn{10}));
    honest = false;
    if (!file->commit_redo_from(Lsn{20})) ++poisoned;
    for (int opening = 0; opening < 4; ++opening) {
      file.reset();
      auto next = open();
      if (!next) {
        ++refused;
        continue;
      }
      file = std::move(*next);
      const auto lasting = [&](SuperblockSlot slot) {
        return durable[static_cast<std::size_t>(slot)] == committed(slot, file->generation(), file->redo_from().value);
      };
      ASSERT_TRUE(lasting(kFirst) || lasting(kTwin)) << "failing syncs " << failing << ", opening " << opening;
      const std::uint64_t wanted = 30 + static_cast<std::uint64_t>(opening) * 10;
      if (file->commit_redo_from(Lsn{wanted})) {
        ASSERT_EQ(file->redo_from(), Lsn{wanted});
        ASSERT_TRUE(lasting(kFirst) && lasting(kTwin)) << "failing syncs " << failing << ", opening " << opening;
      }
    }
  }
  EXPECT_GT(poisoned, 100);
  EXPECT_GT(refused, 30);
}

// Several committers and syncers: slots are written by one at a time, and an Ok covers the caller's value.
TEST_P(PageFileCommit, committers_take_turns) {
  ThreadScheduler threads;
  auto made = PageFile::create(threads, backend_, path_, PageSize(), kId);
  ASSERT_TRUE(made);
  PageFile& file = **made;
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  std::atomic<int> behind{0};
  std::atomic<std::uint64_t> next{1};
  system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (offset != 0 && offset != static_cast<off_t>(kTwinOffset)) return std::nullopt;
    if (inside.fetch_add(1) != 0) ++overlaps;
    threads.relax(8);
    --inside;
    return std::nullopt;
  };
  system_.on_sync = [] { return 0; };
  std::vector<TaskId> tasks;
  for (int task = 0; task < 4; ++task) {
    tasks.push_back(threads.spawn("committer", [&, task] {
      for (int i = 0; i < 100; ++i) {
        if (task == 3) {
          EXPECT_TRUE(file.sync());
          continue;
        }
        const std::uint64_t mine = next++;
        EXPECT_TRUE(file.commit_redo_from(Lsn{mine}));
        if (file.redo_from() < Lsn{mine}) ++behind;
      }
    }));
  }
  for (const TaskId task : tasks) threads.join(task);
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(behind, 0);
  EXPECT_EQ(file.redo_from(), Lsn{300});
  EXPECT_LE(file.generation(), 301u);
  EXPECT_EQ(opened(kReadOnly)->redo_from(), Lsn{300});
}

// A sync that fails inside a commit is everybody's.
TEST_P(PageFileCommit, nobody_hears_ok_after_a_sync_failed_in_somebodys_commit) {
  ThreadScheduler threads;
  auto made = PageFile::create(threads, backend_, path_, PageSize(), kId);
  ASSERT_TRUE(made);
  PageFile& file = **made;
  std::atomic<int> syncs{0};
  std::atomic<bool> failed{false};
  std::atomic<int> believed{0};
  system_.on_sync = [&]() -> FaultySystem::Answer {
    if (++syncs != 30) return 0;
    failed = true;
    return -EIO;
  };
  std::vector<TaskId> tasks;
  for (int task = 0; task < 4; ++task) {
    tasks.push_back(threads.spawn("user", [&, task] {
      for (std::uint64_t i = 1; i <= 50; ++i) {
        const bool late = failed;
        const bool ok = task % 2 == 0 ? file.commit_redo_from(Lsn{i}).has_value() : file.sync().has_value();
        if (late && ok) ++believed;
      }
    }));
  }
  for (const TaskId task : tasks) threads.join(task);
  EXPECT_EQ(believed, 0);
  EXPECT_EQ(syncs, 30);
  EXPECT_TRUE(file.poisoned());
}

}  // namespace
}  // namespace pagedb::testing_support
