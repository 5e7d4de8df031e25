// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// For models of the page allocator: an allocator over a store in memory, and a history of each page that judges
//
//   - what is given out: no page to two tasks, none before a commit that has it free is durable
//   - what is committed: everything that returned before the commit began, nothing that had not begun; a change or a
//   run
//     as a whole or not at all
//   - what is cut off: nothing that somebody has
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/page_allocator.h"
#include "sim/model/execution.h"
#include "sim/model/random_policy.h"
#include "sim/model/testing/alloc_store_model.h"

namespace pagedb::detail {

struct StoreAllocator {
  static auto open(AllocationStore& store, const PageAllocatorOptions& options) {
    return PageAllocator::open(store, options);
  }
};

}  // namespace pagedb::detail

namespace pagedb::sim::model {

/// What an AllocModel is made of.
struct AllocSetup {
  const MapImage* image = nullptr;
  PageAllocatorOptions options{};
  bool one_lane = false;
};

/// See the head of this file. Task 0 ends it with `finish`.
class AllocModel {
 public:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  explicit AllocModel(Execution& execution, const AllocSetup& setup = {})
      : model(execution),
        store(execution, setup.image != nullptr ? *setup.image : MapImage{}, setup.one_lane),
        setup_(setup),
        base_(store.durable()) {
    store.on_commit = [this] {
      model.read(this);
      return clock_;
    };
    store.on_slot = [this](const Tree& tree, unsigned begun) { judge(tree, begun); };
    store.on_durable = [this](const Tree& tree) {
      model.write(this);
      for (auto& [page, history] : histories_)
        if (!tree.has(page)) history.free_is_durable = true;
    };
    store.on_cut = [this](std::uint64_t length) {
      model.expect(owned(length).empty(), "a page is cut off that somebody has");
    };
    auto opened = detail::StoreAllocator::open(store, setup.options);
    if (must(opened)) pages = std::move(*opened);
  }

  /// A disk on which `body` was done and synced.
  template <class Body>
  [[nodiscard]] static MapImage image(const Body& body) {
    MapImage image;
    Execution execution(1'000'000);
    Random policy(1, 1);
    static_cast<void>(policy.next());
    const bool fine = execution.run(policy, [&](Execution& model) {
      AllocModel world(model);
      body(world);
      world.must(world.pages->sync());
      image = world.store.image();
    });
    if (!fine) image = MapImage{};  // and whatever is expected of it will be missed
    return image;
  }

  // ---- what tasks do

  std::uint64_t allocate() {
    return taken([&] { return pages->allocate(); });
  }
  std::uint64_t near(std::uint64_t hint) {
    return taken([&] { return pages->allocate_near({hint}); });
  }
  /// The first page of a run.
  std::uint64_t run(std::uint64_t count) {
    return taken([&] { return pages->allocate_run(count); }, count);
  }
  // The same, where there may be no page any more: kNone.
  std::uint64_t allocate_if_any() {
    return taken([&] { return pages->allocate(); }, 1, true);
  }
  std::uint64_t near_if_any(std::uint64_t hint) {
    return taken([&] { return pages->allocate_near({hint}); }, 1, true);
  }
  std::uint64_t run_if_any(std::uint64_t count) {
    return taken([&] { return pages->allocate_run(count); }, count, true);
  }
  void free(std::uint64_t page) {
    if (page == kNone) return;
    Page& history = history_of(page);
    history.owned = false;
    history.free_is_durable = false;
    history.ops.push_back({.allocates = false, .change = change_of_[model.current().value]});
    must(pages->free({page}));
    returned(history);
  }
  /// Does what `body` does in one change.
  template <class Body>
  void change(const Body& body) {
    const PageAllocator::Change change(*pages);
    unsigned& mine = change_of_[model.current().value];
    mine = ++changes_;
    body();
    mine = 0;
  }
  bool sync() { return must(pages->sync()); }
  void shrink() { must(pages->shrink_to_fit()); }

  template <class T>
  bool must(const Result<T>& result) {
    model.expect(result.has_value(), result ? "" : "no error is due: " + result.error().message());
    return result.has_value();
  }

  // ---- at the end

  /// Syncs, compares what the allocator says with the history, and opens another one, which says the same.
  void finish() {
    sync();
    expect_as_owned();
    pages.reset();
    auto opened = detail::StoreAllocator::open(store, setup_.options);
    if (!must(opened)) return;
    pages = std::move(*opened);
    expect_as_owned();
    pages.reset();
  }
  /// Every page before the end that nobody has is given out.
  void expect_all_reachable() {
    sync();
    const std::uint64_t end = setup_.options.end->value;
    std::uint64_t free = store.geometry().usable(0, end) - (owned(0).size() - owned(end).size());
    for (; free > 0; --free)
      if (allocate() == kNone) return;
    const auto none = pages->allocate();
    model.expect(!none && none.error().code == ErrorCode::no_free_page, "a page that is not there was given out");
  }

  Execution& model;
  ModelMapStore store;
  std::unique_ptr<PageAllocator> pages;

 private:
  static constexpr unsigned kNever = ~0u;
  struct Op {
    bool allocates = false;
    unsigned returned = kNever;
    unsigned change = 0;  // what it is a part of; 0: of nothing
  };
  struct Page {
    std::vector<Op> ops;
    bool owned = false;
    bool free_is_durable = true;
  };

  Page& history_of(std::uint64_t page) {
    const auto [at, is_new] = histories_.try_emplace(page);
    if (is_new && base_.has(page)) at->second = {.ops = {{.allocates = true, .returned = 0}}, .owned = true};
    return at->second;
  }
  /// Every page from `from` on that somebody has.
  std::vector<std::uint64_t> owned(std::uint64_t from) const {
    std::vector<std::uint64_t> found;
    for (auto at = std::ranges::lower_bound(base_.pages, from); at != base_.pages.end(); ++at)
      if (!histories_.contains(*at)) found.push_back(*at);
    for (auto at = histories_.lower_bound(from); at != histories_.end(); ++at)
      if (at->second.owned) found.push_back(at->first);
    std::ranges::sort(found);
    return found;
  }

  template <class Take>
  std::uint64_t taken(const Take& take, std::uint64_t count = 1, bool may_be_none = false) {
    const unsigned mine = change_of_[model.current().value];
    const unsigned change = count > 1 && mine == 0 ? ++changes_ : mine;
    ++taking_;
    const auto first = take();
    model.write(this);
    --taking_;
    if (may_be_none && !first && first.error().code == ErrorCode::no_free_page) return kNone;
    if (!must(first)) return kNone;
    ++clock_;
    for (std::uint64_t page = first->value; page < first->value + count; ++page) {
      model.expect(!store.geometry().reserved(page), "a reserved page was given out");
      Page& history = history_of(page);
      model.expect(!history.owned, "a page was given to two tasks");
      model.expect(history.free_is_durable || setup_.options.reuse_before_sync,
                   "a page was given out before its being free was durable");
      history.owned = true;
      history.ops.push_back({.allocates = true, .returned = clock_, .change = change});
    }
    return first->value;
  }
  void returned(Page& history) {
    model.write(this);
    history.ops.back().returned = ++clock_;
  }

  void judge(const Tree& tree, unsigned begun) {
    std::map<unsigned, std::pair<bool, bool>> changes;  // whether something of it is in the tree, and is not
    for (const auto& [page, history] : histories_) {
      const bool has = tree.has(page);
      // The tree may have the page as it was after any of its operations but those it must not forget.
      bool fits = taking_ > 0 && has && (history.ops.empty() || !history.ops.back().allocates);
      for (std::size_t after = 0; after <= history.ops.size() && !fits; ++after) {
        const bool forgets = after < history.ops.size() && history.ops[after].returned <= begun;
        const bool allocated = after > 0 && history.ops[after - 1].allocates;
        fits = !forgets && allocated == has;
      }
      model.expect(fits, has ? "a page is committed as allocated that nobody had" : "an allocation was not committed");
      // Whether the last operation is in it can be told where all others must be.
      const std::size_t count = history.ops.size();
      if (count == 0 || (count > 1 && history.ops[count - 2].returned > begun)) continue;
      const Op& op = history.ops.back();
      if (op.change == 0 || (taking_ > 0 && has && !op.allocates)) continue;  // or somebody takes it again
      (op.allocates == has ? changes[op.change].first : changes[op.change].second) = true;
    }
    if (taking_ == 0) {
      const auto unknown = [this](std::uint64_t page) { return !histories_.contains(page); };
      model.expect(std::ranges::count_if(tree.pages, unknown) == std::ranges::count_if(base_.pages, unknown),
                   "a page is committed as allocated that nobody took");
    }
    for (const auto& [change, in_and_out] : changes)
      model.expect(!(in_and_out.first && in_and_out.second), "a part of a change was committed");
  }

  void expect_as_owned() {
    std::uint64_t after = 0;
    const std::vector<std::uint64_t> mine = owned(0);
    model.expect(store.durable().pages == mine, "the disk has other pages than were taken");
    const auto expect_next = [&](std::uint64_t page) {
      const auto next = pages->next_allocated({after});
      if (must(next))
        model.expect((*next ? (*next)->value : kNone) == page, "the allocator has other pages than were taken");
    };
    for (const std::uint64_t page : mine) {
      if (page != after) expect_next(page);  // asking for each would take long
      after = page + 1;
    }
    expect_next(kNone);
    const std::uint64_t high_water = pages->high_water().value;
    model.expect(high_water >= after, "high water is too low");
    model.expect(pages->free_count() == store.geometry().usable(0, high_water) - mine.size(),
                 "free pages are counted wrong");
  }

  const AllocSetup setup_;
  const Tree base_;  // the disk to begin with: pages without a history
  std::map<std::uint64_t, Page> histories_;
  unsigned clock_ = 0;
  unsigned taking_ = 0;                          // tasks that are about to be given something
  std::map<std::uint64_t, unsigned> change_of_;  // by task: the change that it is in
  unsigned changes_ = 0;
};

}  // namespace pagedb::sim::model
