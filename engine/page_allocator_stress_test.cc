// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Stress: several threads allocate, free and write pages of a real O_DIRECT file, while one syncs and one shrinks it.
//
// A table says whose each page is: one that is given out twice shows at once. What an owner has written must be there
// whenever he looks, whatever was cut off meanwhile. At the end the file alone must have everybody's pages, and no
// other.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/io/real_file_test.h"
#include "engine/io/uring_io.h"
#include "engine/page_allocator.h"
#include "engine/thread_scheduler.h"

namespace pagedb {
namespace {

constexpr std::uint64_t kEnd = 3 * 16384;  // three regions
constexpr int kOwners = 4;
constexpr std::size_t kPagesEach = 300;
constexpr std::chrono::milliseconds kFor{1500};

/// Fails the test on any error.
template <class T>
bool ok(const Result<T>& result) {
  if (!result) ADD_FAILURE() << result.error().message();
  return result.has_value();
}

class AllocatorStress {
 public:
  explicit AllocatorStress(IoBackend& backend) : backend_(backend) {}

  void run() {
    file_ = std::move(*PageFile::create(scheduler_, backend_, path_.str(), PageSize(), FileId{std::byte{7}}));
    open();
    {
      std::vector<std::jthread> threads;
      for (unsigned number = 1; number <= kOwners; ++number)
        threads.emplace_back([this, number] { Owner(*this, number).work(); });
      std::jthread syncer([this] {
        while (!stop_) ok(pages_->sync()) && ++syncs_;
      });
      std::jthread shrinker([this] {
        while (!stop_) {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          ok(pages_->shrink_to_fit()) && ++shrinks_;
          EXPECT_LE(pages_->free_count(), kEnd);
        }
      });
      std::this_thread::sleep_for(kFor);
      stop_ = true;
    }
    EXPECT_GT(syncs_, 3u) << "hardly anything happened";
    EXPECT_GT(shrinks_, 1u);
    EXPECT_GT(given_, 1000u);
    ok(pages_->sync());
    expect_as_owned();
    pages_.reset();
    file_.reset();
    file_ = std::move(*PageFile::open(scheduler_, backend_, path_.str()));
    open();
    expect_as_owned();
    ok(pages_->shrink_to_fit());
    expect_as_owned();
    pages_.reset();
  }

 private:
  struct Held {
    std::uint64_t page = 0;
    std::uint64_t stamp = 0;  // that was written; 0: none
  };

  /// What a thread does.
  class Owner {
   public:
    Owner(AllocatorStress& world, unsigned number)
        : world_(world), number_(number), random_(number), buffer_(std::move(*AlignedBuffer::allocate(4096))) {}

    void work() {
      while (!world_.stop_) step();
      for (const Held& held : held_) expect_written(held);
    }

   private:
    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

    void step() {
      const std::uint64_t what = below(100);
      if (what < 30) {
        keep(world_.pages_->allocate(), 1);
      } else if (what < 35) {
        keep(world_.pages_->allocate_near(PageId{below(kEnd)}), 1);
      } else if (what < 40) {
        const std::uint64_t count = 1 + below(40);
        keep(world_.pages_->allocate_run(count), count);
      } else if (what < 45) {
        const PageAllocator::Change change(*world_.pages_);
        keep(world_.pages_->allocate(), 1);
        give_some();
      } else if (what < 55 && !held_.empty()) {
        write(some());
      } else if (what < 65 && !held_.empty()) {
        expect_written(some());
      } else if (what < 66 && !held_.empty()) {
        const auto has = world_.pages_->is_allocated(PageId{some().page});
        if (ok(has)) {
          EXPECT_TRUE(*has);
        }
      } else {
        give_some();
      }
      while (held_.size() > kPagesEach) give_some();
      // Now and then nearly everything goes, so that there is something to cut off.
      if (below(2000) == 0) {
        while (held_.size() > 3) give_some();
      }
    }

    Held& some() { return held_[below(held_.size())]; }
    void keep(const Result<PageId>& first, std::uint64_t count) {
      if (!ok(first)) return;
      for (std::uint64_t page = first->value; page < first->value + count; ++page) {
        ASSERT_LT(page, kEnd);
        EXPECT_EQ(world_.owners_[page].exchange(number_), 0u) << page << " was given to two threads";
        held_.push_back({page});
      }
      world_.given_ += count;
    }
    void give_some() {
      if (held_.empty()) return;
      // Mostly the last one: that is where the file is cut.
      Held& held = below(3) == 0 ? some() : *std::ranges::max_element(held_, {}, &Held::page);
      const std::uint64_t page = held.page;
      held = held_.back();
      held_.pop_back();
      EXPECT_EQ(world_.owners_[page].exchange(0), number_);
      ok(world_.pages_->free(PageId{page}));
    }
    void write(Held& held) {
      held.stamp = random_() | 1;
      std::memset(buffer_.data(), 0, buffer_.span().size());
      std::memcpy(payload(buffer_.span()).data(), &held.stamp, sizeof held.stamp);
      ok(world_.file_->write(PageId{held.page}, buffer_.span()));
    }
    void expect_written(const Held& held) {
      if (held.stamp == 0) return;
      if (!ok(world_.file_->read(PageId{held.page}, buffer_.span()))) return;
      std::uint64_t found = 0;
      std::memcpy(&found, payload(buffer_.span()).data(), sizeof found);
      EXPECT_EQ(found, held.stamp) << "page " << held.page << " has lost what its owner wrote";
    }

    AllocatorStress& world_;
    const unsigned number_;
    std::mt19937_64 random_;
    AlignedBuffer buffer_;
    std::vector<Held> held_;
  };

  void open() {
    auto opened = PageAllocator::open(*file_, {.end = PageId{kEnd}});
    if (ok(opened)) pages_ = std::move(*opened);
  }
  void expect_as_owned() {
    std::uint64_t owned = 0;
    for (std::uint64_t page = 0; page < kEnd; ++page) {
      const auto has = pages_->is_allocated(PageId{page});
      if (!ok(has)) return;
      EXPECT_EQ(*has, owners_[page] != 0) << page;
      owned += owners_[page] != 0 ? 1 : 0;
    }
    const std::uint64_t free = pages_->free_count();
    EXPECT_LE(free + owned, pages_->high_water().value);
  }

  IoBackend& backend_;
  const TempPath path_;
  ThreadScheduler scheduler_;
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<PageAllocator> pages_;
  std::vector<std::atomic<unsigned>> owners_ = std::vector<std::atomic<unsigned>>(kEnd);
  std::atomic<std::uint64_t> given_{0};
  std::atomic<std::uint64_t> syncs_{0};
  std::atomic<std::uint64_t> shrinks_{0};
  std::atomic<bool> stop_{false};
};

TEST(AllocatorStressTest, ThreadsOverADirectFile) {
  DirectIo disk;
  AllocatorStress(disk).run();
}

TEST(AllocatorStressTest, ThreadsOverAnIoUringFile) {
  auto disk = UringIo::make();
  ASSERT_TRUE(disk) << "this machine forbids io_uring";
  AllocatorStress(**disk).run();
}

}  // namespace
}  // namespace pagedb
