// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Property: an allocator is a set of page numbers. Whatever is done to it, with syncs that fail and files that are
// opened again, it has exactly the pages that were taken and not given back; an opener finds those of the last sync, or
// of one that failed since. Redone pages lie far apart, so that the tree has up to four levels.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "engine/alloc/geometry.h"
#include "engine/page_allocator.h"
#include "engine/thread_scheduler.h"

namespace pagedb {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kRegion = 16384;
constexpr std::uint64_t kChunk = 512;  // pages that a task takes hold of at once

/// A disk of one file in memory that costs what was written. Some writes from now on may work, and then no more.
class SparseDisk final : public IoBackend {
 public:
  std::map<std::uint64_t, std::array<std::byte, kPage>> pages;
  std::uint64_t bytes = 0;
  std::uint64_t writes_left = std::numeric_limits<std::uint64_t>::max();

  IoResult<std::unique_ptr<IoFile>> open(const std::string&, Access) noexcept override {
    return std::make_unique<File>(*this);
  }
  IoResult<std::unique_ptr<IoFile>> create(const std::string&) noexcept override {
    return std::make_unique<File>(*this);
  }
  int sync_directory(const std::string&) noexcept override { return 0; }

 private:
  class File final : public IoFile {
   public:
    explicit File(SparseDisk& disk) noexcept : disk_(disk) {}
    IoLimits limits() const noexcept override {
      return {.memory_align = 512, .offset_align = kPage, .queue_depth = 4, .atomic_write_bytes = 0};
    }
    IoResult<std::uint64_t> size() noexcept override { return disk_.bytes; }
    int resize(std::uint64_t length) noexcept override {
      disk_.pages.erase(disk_.pages.lower_bound(length / kPage), disk_.pages.end());
      disk_.bytes = length;
      return 0;
    }
    int sync() noexcept override { return 0; }
    void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
      for (std::size_t i = 0; i < requests.size(); ++i) done(i, transfer(requests[i]));
    }

   private:
    IoStatus transfer(const IoRequest& request) noexcept {
      if (request.op == IoOp::write) {
        if (disk_.writes_left == 0) return {.error = EIO};
        --disk_.writes_left;
        disk_.bytes = std::max(disk_.bytes, request.offset + request.size);
      }
      std::size_t moved = 0;
      for (; moved < request.size && request.offset + moved < disk_.bytes; moved += kPage) {
        auto& page = disk_.pages[(request.offset + moved) / kPage];
        if (request.op == IoOp::write)
          std::memcpy(page.data(), request.data + moved, kPage);
        else
          std::memcpy(request.data + moved, page.data(), kPage);
      }
      return {.bytes = moved};
    }
    SparseDisk& disk_;
  };
};

/// One step: what, where, with which detail.
struct Step {
  enum What { allocate, near, run, give, give_many, give_wrongly, look, sync, fail, shrink, reopen, redo, kWhats };
  int what = 0;
  std::uint64_t where = 0;
  std::uint64_t detail = 0;
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  constexpr std::array kNames{"allocate", "near", "run",  "give",   "give_many", "give_wrongly",
                              "look",     "sync", "fail", "shrink", "reopen",    "redo"};
  static_assert(kNames.size() == Step::kWhats);
  return out << kNames[static_cast<std::size_t>(step.what)] << " " << step.where << " (" << step.detail << ")";
}

/// A page somewhere: in the first regions, or in one of few regions at the other end of nodes of all levels.
rc::Gen<std::uint64_t> any_page() {
  const auto around = [](std::uint64_t page) { return rc::gen::inRange<std::uint64_t>(page - 300, page + 300); };
  return rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 1000), rc::gen::inRange<std::uint64_t>(0, 40'000),
                        around(kRegion), around(kRegion * 128), around(kRegion * 128 * 3), around(kRegion * 128 * 128));
}

rc::Gen<Step> any_step() {
  return rc::gen::construct<Step>(rc::gen::inRange(0, static_cast<int>(Step::kWhats)), any_page(),
                                  rc::gen::inRange<std::uint64_t>(0, 1000));
}

/// An allocator, and what it must be.
class Modelled {
 public:
  explicit Modelled(bool reuse_before_sync) : reuse_(reuse_before_sync) {
    auto made = PageFile::create(scheduler_, disk_, "", PageSize(), FileId{std::byte{7}});
    RC_ASSERT(made.has_value());
    file_ = std::move(*made);
    open(false);
    durable_.push_back({});
  }

  void step(const Step& step) {
    switch (step.what) {
      case Step::allocate:
        for (std::uint64_t i = 0; i <= step.detail % 5; ++i) {
          const std::uint64_t page = must(pages_->allocate()).value;
          RC_ASSERT(page < (high_ / kChunk + 3) * kChunk);  // not further than it takes
          taken(page, 1);
        }
        break;
      case Step::near:
        taken(must(pages_->allocate_near(PageId{step.where})).value, 1);
        break;
      case Step::run: {
        const std::uint64_t count = 1 + (step.detail % 10 == 0 ? step.where % pages_->run_max() : step.detail);
        taken(must(pages_->allocate_run(count)).value, count);
        break;
      }
      case Step::give:
        give(step, 1);
        break;
      case Step::give_many:
        give(step, step.detail);
        break;
      case Step::give_wrongly:
        give_wrongly(step.where);
        break;
      case Step::look:
        look(step.where);
        break;
      case Step::sync:
        RC_ASSERT(pages_->sync().has_value());
        synced();
        break;
      case Step::fail: {
        disk_.writes_left = step.detail % 8;
        const bool shrinks = step.where % 2 == 0;
        if (shrinks) low_ = end_of_use();
        const auto done = shrinks ? pages_->shrink_to_fit() : pages_->sync();
        disk_.writes_left = std::numeric_limits<std::uint64_t>::max();
        ++attempts_;
        if (done) {
          synced();
        } else {
          durable_.push_back({now_, low_, high_});
        }
        break;
      }
      case Step::shrink: {
        RC_ASSERT(pages_->shrink_to_fit().has_value());
        low_ = high_ = end_of_use();
        synced();
        const std::uint64_t kept = std::max(geometry_.zone(0) + geometry_.zone_pages(0), high_);
        RC_ASSERT(file_->page_count() <= kept);
        break;
      }
      case Step::reopen:
        reopen(false);
        break;
      case Step::redo:
        redo(step);
        break;
    }
    compare();
  }

 private:
  struct State {
    std::set<std::uint64_t> pages;
    std::uint64_t low = 0, high = 0;
  };

  template <class T>
  static T must(Result<T> result) {
    if (!result) RC_FAIL(result.error().message());
    return std::move(*result);
  }

  void open(bool redo) { pages_ = must(PageAllocator::open(*file_, {.reuse_before_sync = reuse_, .redo = redo})); }

  void reopen(bool redo) {
    pages_.reset();
    file_.reset();
    file_ = must(PageFile::open(scheduler_, disk_, ""));
    open(redo);
    const std::set<std::uint64_t> found = allocated();
    const auto state = std::ranges::find(durable_, found, &State::pages);
    RC_ASSERT(state != durable_.end());
    std::uint64_t low = state->low, high = state->high;
    for (const State& other : durable_) {  // which of those that are alike cannot be told
      if (other.pages != found) continue;
      low = std::min(low, other.low);
      high = std::max(high, other.high);
    }
    now_ = found;
    low_ = low;
    high_ = high;
    waiting_.clear();
    if (durable_.size() == 1) return;
    durable_ = {{now_, low_, high_}};
  }

  void taken(std::uint64_t first, std::uint64_t count) {
    RC_ASSERT(first / kRegion == (first + count - 1) / kRegion);
    for (std::uint64_t page = first; page < first + count; ++page) {
      RC_ASSERT(!geometry_.reserved(page));
      RC_ASSERT(now_.insert(page).second);
      // What a failed attempt may have committed, the next one makes sure of before anything else.
      const auto freed = waiting_.find(page);
      RC_ASSERT(freed == waiting_.end() || attempts_ >= freed->second + 2);
      if (freed != waiting_.end()) waiting_.erase(freed);
    }
    low_ = std::max(low_, first + count);
    high_ = std::max(high_, low_);
  }

  void give(const Step& step, std::uint64_t count) {
    auto at = now_.lower_bound(step.where);
    if (at == now_.end()) at = now_.begin();
    for (; count > 0 && at != now_.end(); --count) {
      const std::uint64_t page = *at;
      RC_ASSERT(pages_->free(PageId{page}).has_value());
      RC_ASSERT(pages_->free(PageId{page}).error().code == ErrorCode::not_allocated);
      if (!reuse_) waiting_[page] = attempts_;
      at = now_.erase(at);
    }
  }

  void give_wrongly(std::uint64_t page) {
    if (now_.contains(page)) return;
    const auto freed = pages_->free(PageId{page});
    RC_ASSERT(!freed.has_value());
    RC_ASSERT(freed.error().code == (geometry_.reserved(page) ? ErrorCode::reserved_page : ErrorCode::not_allocated));
    const auto overflow = pages_->free(PageId{~page});
    RC_ASSERT(!overflow.has_value());
    RC_ASSERT(overflow.error().code == ErrorCode::page_id_overflow);
  }

  void look(std::uint64_t page) {
    RC_ASSERT(must(pages_->is_allocated(PageId{page})) == now_.contains(page));
    const auto next = must(pages_->next_allocated(PageId{page}));
    const auto expected = now_.lower_bound(page);
    RC_ASSERT(next.has_value() == (expected != now_.end()));
    if (next) RC_ASSERT(next->value == *expected);
  }

  void synced() {
    durable_ = {{now_, low_, high_}};
    waiting_.clear();
  }

  void redo(const Step& step) {
    reopen(true);
    for (std::uint64_t i = 0; i <= step.detail % 3; ++i) {
      const std::uint64_t page = step.where + 7 * i;
      const auto redone = pages_->redo_allocate(PageId{page});
      RC_ASSERT(redone.has_value() != geometry_.reserved(page));
      if (!redone) continue;
      now_.insert(page);
      low_ = std::max(low_, page + 1);
      high_ = std::max(high_, low_);
      if (step.detail % 2 == 0 || i != 1) continue;
      RC_ASSERT(pages_->redo_free(PageId{page}).has_value());
      now_.erase(page);
      waiting_[page] = attempts_;
    }
    pages_->redo_done();
  }

  std::uint64_t end_of_use() const { return now_.empty() ? 0 : *now_.rbegin() + 1; }
  std::set<std::uint64_t> allocated() {
    std::set<std::uint64_t> found;
    for (auto next = must(pages_->next_allocated(PageId{})); next;
         next = must(pages_->next_allocated(PageId{next->value + 1})))
      found.insert(found.end(), next->value);
    return found;
  }
  void compare() {
    RC_ASSERT(allocated() == now_);
    const std::uint64_t high_water = pages_->high_water().value;
    RC_ASSERT(high_water >= low_);
    RC_ASSERT(high_water <= high_);
    RC_ASSERT(pages_->free_count() == geometry_.usable(0, high_water) - now_.size());
  }

  const bool reuse_;
  const detail::MapGeometry geometry_{PageSize{}};
  ThreadScheduler scheduler_;
  SparseDisk disk_;
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<PageAllocator> pages_;
  std::set<std::uint64_t> now_;
  std::vector<State> durable_;                 // what an opener may find
  std::map<std::uint64_t, unsigned> waiting_;  // pages that were freed, with the attempts before
  unsigned attempts_ = 0;                      // syncs that were meant to fail
  std::uint64_t low_ = 0, high_ = 0;           // between which high water is: a shrink that fails may lower it
};

// What was open past the end of a file that was shrunk is no place for new pages.
TEST(AllocatorPropertyTest, AShrunkFileGrowsFromItsEnd) {
  ThreadScheduler scheduler;
  SparseDisk disk;
  const auto file = std::move(*PageFile::create(scheduler, disk, "", PageSize(), FileId{std::byte{7}}));
  const auto pages = std::move(*PageAllocator::open(*file));
  const std::uint64_t first = pages->allocate()->value;
  std::vector<std::uint64_t> others(4000);
  for (std::uint64_t& page : others) page = pages->allocate()->value;
  for (std::size_t i = 2000; i < 4000; ++i) ASSERT_TRUE(pages->free(PageId{others[i]}));
  ASSERT_TRUE(pages->sync());  // the last ones are open
  for (std::size_t i = 0; i < 2000; ++i) ASSERT_TRUE(pages->free(PageId{others[i]}));
  ASSERT_TRUE(pages->shrink_to_fit());  // those before are not
  ASSERT_EQ(pages->high_water(), PageId{first + 1});
  for (std::uint64_t i = 0; i < 4000; ++i) ASSERT_LT(pages->allocate()->value, (i / kChunk + 4) * kChunk);
}

RC_GTEST_PROP(AllocatorProperty, IsASetOfPages, ()) {
  const auto steps = *rc::gen::scale(2.0, rc::gen::container<std::vector<Step>>(any_step()));
  Modelled world(*rc::gen::arbitrary<bool>());
  for (const Step& step : steps) world.step(step);
}

}  // namespace
}  // namespace pagedb
