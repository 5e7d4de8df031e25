// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the tests of PageAllocator share: a file with an allocator that come and go together, a note of every transfer,
// and damage made to order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/alloc/geometry.h"
#include "engine/alloc/node_page.h"
#include "engine/page_allocator.h"
#include "engine/page_file_test.h"

namespace pagedb::testing_support {

/// The value of a result that is expected to have one.
template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result) << result.error().message();
  return result ? std::move(*result) : T{};
}
inline void must(const Result<void>& result) { EXPECT_TRUE(result) << result.error().message(); }
/// The error of a result that is expected to have one.
template <class T>
PageError error_of(const Result<T>& result) {
  EXPECT_FALSE(result);
  return result ? PageError{} : result.error();
}

class PageAllocatorTest : public PageFileTest {
 protected:
  static constexpr std::uint64_t kRegion = 16384;                // pages, at 4 KiB
  static constexpr std::uint64_t kZoneEnd = 257 + 29;            // of region 0
  static constexpr std::uint64_t kFirst = 2;                     // page that a user can have
  static constexpr std::uint64_t kInRegion0 = kRegion - 3 - 30;  // pages that users can have: see FORMAT.md

  ~PageAllocatorTest() override { close(); }

  /// A new file with an allocator.
  void make(const PageAllocatorOptions& options = {}, std::uint64_t page_bytes = 4096) {
    close();
    std::filesystem::remove(path_);
    file_ = created(page_bytes);
    ASSERT_NE(file_, nullptr);
    pages_ = must(PageAllocator::open(*file_, options));
    ASSERT_NE(pages_, nullptr);
  }
  void close() {
    pages_.reset();
    file_.reset();
  }
  /// Opens file and allocator again, as after a crash that lost nothing that was written.
  void reopen(const PageAllocatorOptions& options = {}, const OpenOptions& how = {}) {
    close();
    file_ = opened(how);
    ASSERT_NE(file_, nullptr);
    pages_ = must(PageAllocator::open(*file_, options));
    ASSERT_NE(pages_, nullptr);
  }
  /// Only the allocator, without a sync.
  void reopen_allocator(const PageAllocatorOptions& options = {}) {
    pages_.reset();
    pages_ = must(PageAllocator::open(*file_, options));
    ASSERT_NE(pages_, nullptr);
  }
  /// What opening the allocator of the file says when it must not work.
  PageError open_error() {
    close();
    file_ = opened();
    const auto opened_allocator = PageAllocator::open(*file_);
    EXPECT_FALSE(opened_allocator);
    return opened_allocator ? PageError{} : opened_allocator.error();
  }

  std::uint64_t take() { return must(pages_->allocate()).value; }
  std::vector<std::uint64_t> take(std::size_t count) {
    std::vector<std::uint64_t> taken(count);
    for (std::uint64_t& page : taken) page = take();
    return taken;
  }
  std::uint64_t run(std::uint64_t count) { return must(pages_->allocate_run(count)).value; }
  void give(std::uint64_t page) { must(pages_->free(PageId{page})); }
  void give(const std::vector<std::uint64_t>& pages) {
    for (const std::uint64_t page : pages) give(page);
  }
  bool has(std::uint64_t page) { return must(pages_->is_allocated(PageId{page})); }
  /// Every allocated page.
  std::vector<std::uint64_t> all(std::uint64_t from = 0) {
    std::vector<std::uint64_t> found;
    while (true) {
      const auto next = pages_->next_allocated(PageId{from});
      if (!next) ADD_FAILURE() << next.error().message();
      if (!next || !*next) return found;
      found.push_back((*next)->value);
      from = (*next)->value + 1;
    }
  }
  /// Everything that the allocator says of itself but its memory.
  struct Facts {
    std::vector<std::uint64_t> allocated;
    std::uint64_t high_water = 0;
    std::uint64_t free_count = 0;
    friend bool operator==(const Facts&, const Facts&) = default;
  };
  Facts facts() { return {all(), pages_->high_water().value, pages_->free_count()}; }
  /// What stays true whatever was done: counts fit each other, and nothing reserved is allocated.
  void expect_consistent() {
    const Facts now = facts();
    const std::uint64_t high_water = now.high_water;
    EXPECT_EQ(now.free_count + now.allocated.size(), geometry_.usable(0, high_water));
    for (const std::uint64_t page : now.allocated) EXPECT_LT(page, high_water);
    for (const std::uint64_t page : now.allocated) EXPECT_FALSE(geometry_.reserved(page)) << page;
  }

  /// Notes each transfer from now on in `order_`, pages by what they are: "leaf0 root slot twin page77 sync ".
  void note_order() {
    order_.clear();
    system_.on_write = [this](off_t offset, std::size_t size) -> FaultySystem::Answer {
      for (std::size_t at = 0; at < size; at += 4096)
        order_ += what_is((static_cast<std::uint64_t>(offset) + at) / 4096);
      return std::nullopt;
    };
    system_.on_sync = [this]() -> FaultySystem::Answer {
      order_ += "sync ";
      return std::nullopt;
    };
  }
  /// The page that is a home of node `index` of `level` is called "node<level>.<index> ".
  std::string what_is(std::uint64_t page) const {
    if (page == 0) return "slot ";
    if (page == 256) return "twin ";
    if (!geometry_.reserved(page)) return "page" + std::to_string(page) + " ";
    const std::uint64_t region = page / kRegion, offset = page - geometry_.zone(region);
    if (offset % 2 == 0) return "guard ";
    const unsigned level = static_cast<unsigned>(offset / 4);
    return "node" + std::to_string(level) + "." + std::to_string(region >> (7 * level)) + " ";
  }
  /// Counts reads from now on in `reads_`.
  void count_reads() {
    reads_ = 0;
    system_.on_read = [this](off_t, std::size_t) -> FaultySystem::Answer {
      ++reads_;
      return std::nullopt;
    };
  }
  static bool is_slot(off_t offset) { return offset == 0 || offset == static_cast<off_t>(kTwinOffset); }
  /// Lets writes fail with `error`: of slots or of everything else, as long as `failing_`.
  void fail_writes(bool of_slots, int error) {
    failing_ = true;
    system_.on_write = [this, of_slots, error](off_t offset, std::size_t) -> FaultySystem::Answer {
      if (failing_ && is_slot(offset) == of_slots) return -error;
      return std::nullopt;
    };
  }
  /// Where durability is not what is tested, it need not be waited for.
  void skip_syncs() {
    system_.on_sync = system_.on_fsync = [] { return 0; };
  }
  void no_faults() {
    system_.on_fsync = nullptr;
    system_.on_read = nullptr;
    system_.on_write = nullptr;
    system_.on_sync = nullptr;
    system_.on_truncate = nullptr;
  }

  const detail::MapGeometry geometry_{PageSize{}};
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<PageAllocator> pages_;
  std::string order_;
  int reads_ = 0;
  bool failing_ = false;
};

/// A log that notes up to where it was asked to be durable, and may refuse.
class NotedLog final : public LogBarrier {
 public:
  Result<void> ensure_durable(Lsn lsn) noexcept override {
    asked.push_back(lsn.value);
    if (on_ask) on_ask();
    if (refuses) return failure(PageError{.code = ErrorCode::no_space});
    return {};
  }
  std::vector<std::uint64_t> asked;
  std::function<void()> on_ask;
  bool refuses = false;
};

}  // namespace pagedb::testing_support
