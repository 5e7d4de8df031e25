// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/allocation_oracle.h"

#include <fmt/format.h>

#include <algorithm>

namespace pagedb::scenarios {

Verdict AllocationOracle::broken(const std::string& what) const {
  return {Verdict::Kind::broken, Invariant::allocator, what};
}

AllocationOracle::Commit AllocationOracle::commit(const ReferenceSuperblock& root, const ReferenceAllocation& map) {
  return {root.root_page, root.root_generation, root.root_crc32c, map.high_water, PageSet(map.allocated), false, false};
}

void AllocationOracle::restart(const ReferenceSuperblock& root, const ReferenceAllocation& map) {
  clock_ = 0;
  operations_.clear();
  changes_.clear();
  syncs_.clear();
  commits_.clear();
  commits_.push_back(commit(root, map));
  commits_.back().unseen = !map.sound();
  base_ = owned_ = commits_.back().pages;
  open_ = false;
  acked_ = current_ = 0;
  synced_since_ = 0;
}

// ---- what the workload does

std::size_t AllocationOracle::allocate_begins(std::uint64_t count, std::size_t change) {
  operations_.push_back({.began = ++clock_, .count = count, .change = change, .value = true});
  return operations_.size() - 1;
}

Verdict AllocationOracle::allocated(std::size_t operation, std::uint64_t first, std::size_t durable) {
  Operation& made = operations_[operation];
  made.ended = ++clock_;
  made.pages = {first, first + made.count};
  const bool taken = owned_.touches(made.pages);
  owned_.add(made.pages);
  if (taken)
    return broken(fmt::format("pages from {} on were given out, and somebody has one of {}", first, made.count));
  for (std::uint64_t page = first; page < made.pages.end; ++page) {
    if (geometry_.reserved(page)) return broken(fmt::format("page {} was given out, which is reserved", page));
    if (may_return(page, durable)) {
      return broken(
          fmt::format("page {} was given out, but a crash may still bring back a state in which it is in use", page));
    }
  }
  return {};
}

void AllocationOracle::not_allocated(std::size_t operation) {
  operations_[operation].ended = ++clock_;
  operations_[operation].failed = true;
}

std::size_t AllocationOracle::free_begins(PageRange range, std::size_t change) {
  operations_.push_back({.began = ++clock_, .pages = range, .count = range.end - range.begin, .change = change});
  owned_.remove(range);
  return operations_.size() - 1;
}

void AllocationOracle::freed(std::size_t operation, bool ok) {
  Operation& made = operations_[operation];
  made.ended = ++clock_;
  if (ok) return;
  made.failed = true;
  owned_.add(made.pages);
}

std::size_t AllocationOracle::sync_begins() {
  syncs_.push_back({{++clock_, kOpen}, commits_.size()});
  return syncs_.size() - 1;
}

Verdict AllocationOracle::sync_ended(std::size_t sync, bool ok) {
  Sync& made = syncs_[sync];
  made.ended = ++clock_;
  if (!ok) return {};
  synced_since_ = std::max(synced_since_, made.began);
  if (!sees_commits_) return {};
  // A commit since it began that has all of it is the one, or an earlier one than that; one that was under way then
  // need not have it. Where there was none, there was nothing to commit, or the last one was stored again.
  std::optional<std::string> differs;
  for (std::size_t i = std::min(made.commits, current_); i <= current_; ++i) {
    const Commit& commit = commits_[i];
    differs = commit.unseen ? std::nullopt : compare(commit.pages, made.began);
    if (differs) continue;
    acked_ = std::max(acked_, i);
    return {};
  }
  return {Verdict::Kind::broken, Invariant::durability, "a sync returned Ok, but the last commit " + *differs};
}

Verdict AllocationOracle::reopened(const ReferenceSuperblock& root, const ReferenceAllocation& map) {
  const auto index = commit_of(root);
  if (!index) return broken("the file was opened with an allocation root that nobody committed");
  if (*index < acked_) return broken("the file was opened with an older allocation root than an acknowledged one");
  const Commit found = commits_[*index];
  if (!map.sound() || found.pages != PageSet(map.allocated))
    return broken("the file was opened with another allocation map than was committed");
  for (std::size_t i = *index + 1; i < commits_.size(); ++i) commits_[i].abandoned = true;
  acked_ = current_ = *index;
  base_ = owned_ = found.pages;
  operations_.clear();
  changes_.clear();
  syncs_.clear();
  return {};
}

bool AllocationOracle::may_return(std::uint64_t page, std::size_t from) const noexcept {
  return std::any_of(commits_.begin() + static_cast<std::ptrdiff_t>(from), commits_.end(),
                     [page](const Commit& commit) { return !commit.abandoned && commit.pages.contains(page); });
}

bool AllocationOracle::certainly_free(std::uint64_t page) const noexcept {
  if (geometry_.reserved(page) || owned_.contains(page) || may_return(page, acked_)) return false;
  return std::none_of(operations_.begin(), operations_.end(), [&](const Operation& operation) {
    return !operation.value && operation.ended >= synced_since_ && operation.pages.begin <= page &&
           page < operation.pages.end;
  });
}

bool AllocationOracle::being_freed(std::uint64_t page) const noexcept {
  return std::any_of(operations_.begin(), operations_.end(), [page](const Operation& operation) {
    return operation.ended == kOpen && !operation.value && operation.pages.begin <= page && page < operation.pages.end;
  });
}

// ---- commits

bool AllocationOracle::is_new(const ReferenceSuperblock& superblock) const noexcept {
  // One that counts may be stored again. One that was abandoned may be made once more, by others, on other grounds.
  const auto index = commit_of(superblock);
  return !index || *index < acked_ || commits_[*index].abandoned;
}

Verdict AllocationOracle::submitted(const ReferenceSuperblock& superblock, const ReferenceAllocation& map) {
  if (!map.sound()) {
    return broken(fmt::format("a superblock was written that refers to a map that is not there: page {}: {}",
                              map.damaged.front().page, map.damaged.front().what));
  }
  std::uint64_t since = clock_ + 1;
  for (const Sync& sync : syncs_) {
    if (sync.ended == kOpen) since = std::min(since, sync.began);
  }
  ++clock_;
  commits_.push_back(commit(superblock, map));
  current_ = commits_.size() - 1;
  const PageSet& found = commits_.back().pages;
  if (const auto differs = compare(found, since)) return broken("a commit " + *differs);
  if (const auto differs = compare_changes(found, since)) return broken("a commit " + *differs);
  std::uint64_t highest = found.ranges().empty() ? 0 : found.ranges().back().end;
  if (map.high_water < highest)
    return broken(fmt::format("a commit has high water {} and page {} in use", map.high_water, highest - 1));
  return {};
}

void AllocationOracle::submitted_unseen(const ReferenceSuperblock& superblock) {
  ++clock_;
  commits_.push_back(commit(superblock, {}));
  commits_.back().unseen = true;
  current_ = commits_.size() - 1;
}

std::optional<std::string> AllocationOracle::compare(const PageSet& found, std::uint64_t since) const {
  PageSet settled = base_;
  std::uint64_t unknown = 0;  // pages of allocations that have not returned
  PageSet may_be_used, may_be_free;
  for (const Operation& operation : operations_) {
    if (operation.failed) continue;
    if (operation.ended < since) {
      operation.value ? settled.add(operation.pages) : settled.remove(operation.pages);
    } else if (operation.value && operation.ended == kOpen) {
      unknown += operation.count;
    } else {
      (operation.value ? may_be_used : may_be_free).add(operation.pages);
    }
  }
  const PageSet lost = settled.without(found).without(may_be_free);
  if (!lost.ranges().empty()) return fmt::format("has page {} free, which is in use", lost.ranges().front().begin);
  const PageSet more = found.without(settled).without(may_be_used);
  if (more.size() > unknown) return fmt::format("has page {} in use, which is free", more.ranges().front().begin);
  return {};
}

std::optional<std::string> AllocationOracle::compare_changes(const PageSet& found, std::uint64_t since) const {
  for (std::size_t change = 1; change <= changes_.size(); ++change) {
    const Period& period = changes_[change - 1];
    if (period.ended < since) continue;
    bool seen = false, missed = period.ended == kOpen;  // what is not over is in no commit
    for (const Operation& operation : operations_) {
      if (operation.change != change || operation.failed || operation.ended == kOpen) continue;
      // Not told apart where the same page was changed twice.
      const bool twice = std::any_of(operations_.begin(), operations_.end(), [&](const Operation& other) {
        return &other != &operation && other.ended >= std::min(since, period.began) &&
               other.pages.begin < operation.pages.end && operation.pages.begin < other.pages.end;
      });
      if (twice) continue;
      (found.contains(operation.pages.begin) == operation.value ? seen : missed) = true;
    }
    if (seen && missed) return "contains a part of a change";
  }
  return {};
}

std::optional<std::size_t> AllocationOracle::commit_of(const ReferenceSuperblock& superblock) const noexcept {
  for (std::size_t i = commits_.size(); i-- > 0;) {
    const Commit& commit = commits_[i];
    if (commit.root_page == superblock.root_page && commit.root_generation == superblock.root_generation &&
        commit.root_crc32c == superblock.root_crc32c) {
      return i;
    }
  }
  return std::nullopt;
}

Verdict AllocationOracle::judge_current(const ReferenceAllocation& map) const {
  if (!map.sound()) {
    return broken(
        fmt::format("the map does not verify: page {}: {}", map.damaged.front().page, map.damaged.front().what));
  }
  const PageSet found(map.allocated);
  auto differs = compare(found, synced_since_);
  if (!differs) differs = compare_changes(found, synced_since_);
  return differs ? broken("the reopened file " + *differs) : Verdict{};
}

Verdict AllocationOracle::judge_found(const ReferenceSuperblock& superblock, const ReferenceAllocation& map,
                                      bool damaging) const {
  const auto index = commit_of(superblock);
  if (damaging && !map.sound()) return {Verdict::Kind::detected, {}, {}};
  // Both slots lost the newer one.
  if (damaging && index && *index < acked_) return {Verdict::Kind::excused, {}, {}};
  if (!index) return broken("a crash left an allocation root that nobody committed");
  if (*index < acked_) {
    return {Verdict::Kind::broken, Invariant::durability,
            fmt::format("a sync had made allocation commit {} durable, but the crash left commit {}", acked_, *index)};
  }
  if (!map.sound()) {
    return {Verdict::Kind::broken, Invariant::durability,
            fmt::format("the allocation map does not verify: page {}: {}", map.damaged.front().page,
                        map.damaged.front().what)};
  }
  const Commit& commit = commits_[*index];
  if (commit.unseen) return {};
  if (commit.pages != PageSet(map.allocated) || commit.high_water != map.high_water)
    return broken("the crash left another allocation map than was committed");
  return {};
}

}  // namespace pagedb::scenarios
