// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator against a set of page numbers: operations at random, with syncs that fail and files that are opened
// again. Fixed seeds.
#include <map>
#include <random>

#include "engine/page_allocator_test.h"

namespace pagedb::testing_support {
namespace {

class PageAllocatorModel : public PageAllocatorTest {
 protected:
  using Pages = std::set<std::uint64_t>;

  void taken(std::uint64_t page) {
    ASSERT_FALSE(geometry_.reserved(page)) << page;
    ASSERT_TRUE(now_.insert(page).second) << page << " was given out twice";
    // What a failed attempt may have committed, the next one makes sure of before anything else.
    const auto freed_at = waiting_.find(page);
    ASSERT_TRUE(freed_at == waiting_.end() || attempts_ - freed_at->second >= 2)
        << page << " was given out before its being free was durable";
    waiting_.erase(page);
    ever_ = std::max(ever_, page + 1);
  }
  std::uint64_t some() {
    auto at = now_.lower_bound(random_() % (*now_.rbegin() + 1));
    return at == now_.end() ? *now_.rbegin() : *at;
  }
  void freed(std::uint64_t page) {
    now_.erase(page);
    waiting_[page] = attempts_;
  }
  void synced() {
    durable_ = now_;
    waiting_.clear();
    may_be_.clear();
  }
  void expect_equal() {
    ASSERT_EQ(all(), std::vector(now_.begin(), now_.end()));
    ASSERT_LE(pages_->high_water().value, ever_);
    expect_consistent();
  }

  void step(unsigned what) {
    if (what < 300) return taken(take());
    if (what < 330) return taken(must(pages_->allocate_near(PageId{random_() % 70'000})).value);
    if (what < 350) {
      const std::uint64_t count = random_() % 8 == 0 ? 1 + random_() % 16'000 : 1 + random_() % 300;
      const std::uint64_t first = run(count);
      for (std::uint64_t page = first; page < first + count; ++page) taken(page);
      return;
    }
    if (what < 650 && !now_.empty()) {
      const std::uint64_t page = some();
      give(page);
      freed(page);
      EXPECT_EQ(error_of(pages_->free(PageId{page})).code, ErrorCode::not_allocated);
      return;
    }
    if (what < 670 && !now_.empty()) {  // many in a row
      auto at = now_.lower_bound(some());
      for (std::uint64_t count = random_() % 20'000; count > 0 && at != now_.end(); --count) {
        const std::uint64_t page = *at++;
        give(page);
        freed(page);
      }
      return;
    }
    if (what < 690) {
      must(pages_->sync());
      return synced();
    }
    if (what < 700) {
      must(pages_->shrink_to_fit());
      ever_ = now_.empty() ? 0 : *now_.rbegin() + 1;
      EXPECT_EQ(pages_->high_water(), PageId{ever_});
      return synced();
    }
    if (what < 710) {  // a sync that stops after some writes
      int writes = static_cast<int>(random_() % 8);
      system_.on_write = [&](off_t, std::size_t) -> FaultySystem::Answer {
        if (writes-- > 0) return std::nullopt;
        return -EIO;
      };
      const bool ok = random_() % 2 == 0 ? pages_->sync().has_value() : pages_->shrink_to_fit().has_value();
      system_.on_write = nullptr;
      may_be_.push_back(now_);
      ++attempts_;
      if (ok) synced();
      return;
    }
    if (what < 715) {  // everything that no sync covered is forgotten
      reopen();
      const auto found = all();
      const Pages pages(found.begin(), found.end());
      ASSERT_TRUE(pages == durable_ || std::ranges::count(may_be_, pages) > 0);
      now_ = durable_ = pages;
      waiting_.clear();
      may_be_.clear();
      ever_ = std::max(ever_, pages_->high_water().value);
      return expect_equal();
    }
    if (now_.empty()) return;
    EXPECT_TRUE(has(some()));
  }

  std::mt19937_64 random_;
  Pages now_, durable_;
  std::map<std::uint64_t, int> waiting_;  // pages that were freed, with the attempts before
  int attempts_ = 0;                      // failed syncs
  std::vector<Pages> may_be_;             // what a failed sync may have committed
  std::uint64_t ever_ = 0;  // one past the highest page that was ever allocated, or that the file says was
};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorModel, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

TEST_P(PageAllocatorModel, is_a_set_of_pages) {
  skip_syncs();
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    make();
    random_.seed(seed);
    now_ = durable_ = {};
    waiting_.clear();
    may_be_.clear();
    ever_ = 0;
    for (int i = 0; i < 4000 && !HasFatalFailure(); ++i) {
      step(static_cast<unsigned>(random_() % 720));
      if (i % 500 == 0) expect_equal();
    }
    expect_equal();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace pagedb::testing_support
