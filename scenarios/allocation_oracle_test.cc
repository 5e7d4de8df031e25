// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// AllocationOracle, and the sets of pages that it counts with: which pages may be given out, which commits are legal
// while operations and syncs overlap, what becomes of them when the file is opened with an older one, and which of them
// a crash may leave.
#include "scenarios/allocation_oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "scenarios/page_set.h"

namespace pagedb::scenarios {
namespace {

using ::testing::HasSubstr;
using Kind = Verdict::Kind;
using Ranges = std::vector<PageRange>;

// ---- sets of pages

PageSet set_of(const Ranges& ranges) {
  PageSet set;
  for (const PageRange& range : ranges) set.add(range);
  return set;
}

TEST(PageSet, JoinsWhatMeetsAndSplitsWhatIsCut) {
  EXPECT_EQ(set_of({{2, 4}, {6, 8}}).ranges(), (Ranges{{2, 4}, {6, 8}}));
  EXPECT_EQ(set_of({{6, 8}, {2, 4}}).ranges(), (Ranges{{2, 4}, {6, 8}}));
  EXPECT_EQ(set_of({{2, 4}, {6, 8}, {4, 6}}).ranges(), (Ranges{{2, 8}}));
  EXPECT_EQ(set_of({{2, 4}, {6, 8}, {3, 7}}).ranges(), (Ranges{{2, 8}}));
  EXPECT_EQ(set_of({{3, 4}, {6, 7}, {2, 9}}).ranges(), (Ranges{{2, 9}}));
  PageSet set = set_of({{2, 10}});
  set.remove({4, 6});
  EXPECT_EQ(set.ranges(), (Ranges{{2, 4}, {6, 10}}));
  set.remove({3, 7});
  EXPECT_EQ(set.ranges(), (Ranges{{2, 3}, {7, 10}}));
  set.remove({0, 20});
  EXPECT_EQ(set, PageSet());
}

TEST(PageSet, KnowsWhatIsInIt) {
  const PageSet set = set_of({{2, 4}, {6, 8}});
  EXPECT_EQ(set.size(), 4u);
  for (std::uint64_t page = 0; page < 10; ++page)
    EXPECT_EQ(set.contains(page), page == 2 || page == 3 || page == 6 || page == 7) << page;
  for (const PageRange& some : Ranges{{0, 3}, {3, 6}, {5, 7}, {0, 99}}) EXPECT_TRUE(set.touches(some)) << some.begin;
  for (const PageRange& none : Ranges{{0, 2}, {4, 6}, {8, 99}}) EXPECT_FALSE(set.touches(none)) << none.begin;
  EXPECT_EQ(set.without(set_of({{3, 7}})), set_of({{2, 3}, {7, 8}}));
  EXPECT_EQ(set.without(set_of({{0, 9}})), PageSet());
  EXPECT_EQ(set.without(set_of({{4, 6}})), set);
}

TEST(PageSet, DoesWhatASetOfNumbersDoes) {
  std::mt19937_64 draw(3);
  for (int round = 0; round < 200; ++round) {
    PageSet set;
    std::set<std::uint64_t> numbers;
    for (int step = 0; step < 40; ++step) {
      const std::uint64_t begin = draw() % 30;
      const std::uint64_t end = begin + 1 + draw() % 6;
      const bool adds = draw() % 2 != 0;
      bool touched = false;
      for (std::uint64_t page = begin; page < end; ++page) touched |= numbers.contains(page);
      EXPECT_EQ(set.touches({begin, end}), touched);
      adds ? set.add({begin, end}) : set.remove({begin, end});
      for (std::uint64_t page = begin; page < end; ++page) {
        if (adds) numbers.insert(page);
        if (!adds) numbers.erase(page);
      }
      ASSERT_EQ(set.size(), numbers.size());
      for (std::uint64_t page = 0; page < 40; ++page) ASSERT_EQ(set.contains(page), numbers.contains(page));
      for (std::size_t i = 1; i < set.ranges().size(); ++i)
        ASSERT_LT(set.ranges()[i - 1].end, set.ranges()[i].begin) << "apart from each other";
    }
  }
}

// ---- the oracle

/// The allocation root of a superblock: a number tells it from others.
ReferenceSuperblock root(std::uint64_t number) {
  return {.page_size = 4096,
          .file_tag = 0,
          .generation = 1,
          .redo_from = 0,
          .root_page = number == 0 ? 0 : 258 + 2 * (number % 2),
          .root_generation = number,
          .root_crc32c = static_cast<std::uint32_t>(number * 7)};
}

ReferenceAllocation map_of(const Ranges& ranges) {
  ReferenceAllocation map;
  map.allocated = ranges;
  for (const PageRange& range : ranges) map.used += range.end - range.begin;
  map.high_water = ranges.empty() ? 0 : ranges.back().end;
  return map;
}

ReferenceAllocation damaged_map() {
  ReferenceAllocation map;
  map.damaged.push_back({.page = 260, .pages = {0, 1000}, .used = 0, .unreadable = false, .what = "generation"});
  return map;
}

void expect_legal(const Verdict& verdict) { EXPECT_EQ(verdict.kind, Kind::legal) << verdict.message; }

void expect_broken(const Verdict& verdict, const std::string& says, Invariant invariant = Invariant::allocator) {
  EXPECT_EQ(verdict.kind, Kind::broken) << "and should say: " << says;
  EXPECT_EQ(name(verdict.invariant), name(invariant));
  EXPECT_THAT(verdict.message, HasSubstr(says));
}

/// An oracle, and short ways to tell it things.
struct Rig {
  AllocationOracle oracle{4096};

  Verdict allocate(std::uint64_t first, std::uint64_t count = 1, std::size_t change = 0) {
    return oracle.allocated(oracle.allocate_begins(count, change), first, oracle.acknowledged());
  }
  void free(std::uint64_t page, std::size_t change = 0) {
    oracle.freed(oracle.free_begins({page, page + 1}, change), true);
  }
  Verdict commit(std::uint64_t number, const Ranges& ranges) { return oracle.submitted(root(number), map_of(ranges)); }
  /// A whole sync with one commit.
  void sync(std::uint64_t number, const Ranges& ranges) {
    const std::size_t sync = oracle.sync_begins();
    expect_legal(commit(number, ranges));
    oracle.sync_ended(sync, true);
  }
  Verdict found(std::uint64_t number, const Ranges& ranges, bool damaging = false) const {
    return oracle.judge_found(root(number), map_of(ranges), damaging);
  }
};

TEST(AllocationOracle, APageHasOneOwner) {
  Rig rig;
  expect_legal(rig.allocate(2));
  expect_legal(rig.allocate(3, 4));
  expect_broken(rig.allocate(2), "pages from 2 on were given out, and somebody has one of 1");
  expect_broken(rig.allocate(6, 3), "somebody has one of 3");
  EXPECT_EQ(rig.oracle.owned(), set_of({{2, 9}}));
}

TEST(AllocationOracle, NobodyGetsAReservedPage) {
  for (const std::uint64_t page : {0u, 1u, 255u, 256u, 257u, 285u, 16384u})
    expect_broken(Rig().allocate(page), "page " + std::to_string(page) + " was given out, which is reserved");
  for (const std::uint64_t page : {2u, 254u, 286u, 16383u}) expect_legal(Rig().allocate(page));
  expect_broken(Rig().allocate(250, 8), "page 255 was given out, which is reserved");
}

TEST(AllocationOracle, AFreedPageWaitsUntilNoCrashBringsItBack) {
  Rig rig;
  expect_legal(rig.allocate(2));
  rig.sync(1, {{2, 3}});
  rig.free(2);
  EXPECT_TRUE(rig.oracle.may_return(2, rig.oracle.acknowledged()));
  EXPECT_EQ(rig.oracle.owned(), PageSet());
  expect_broken(Rig(rig).allocate(2), "page 2 was given out, but a crash may still bring back a state");
  // The commit that has it free is durable once the disk says so, or once somebody was told.
  const std::size_t sync = rig.oracle.sync_begins();
  expect_legal(rig.commit(2, {}));
  expect_broken(Rig(rig).allocate(2), "a crash may still bring back");
  Rig durable = rig;
  expect_legal(durable.oracle.allocated(durable.oracle.allocate_begins(1), 2, 2));
  rig.oracle.sync_ended(sync, true);
  EXPECT_FALSE(rig.oracle.may_return(2, rig.oracle.acknowledged()));
  expect_legal(rig.allocate(2));
}

TEST(AllocationOracle, APageOfAnUnacknowledgedCommitMayReturnToo) {
  Rig rig;
  expect_legal(rig.allocate(2));
  const std::size_t sync = rig.oracle.sync_begins();
  expect_legal(rig.commit(1, {{2, 3}}));
  rig.oracle.sync_ended(sync, false);
  rig.free(2);
  expect_broken(rig.allocate(2), "a crash may still bring back");
}

// ---- commits

TEST(AllocationOracle, ACommitHasWhatReturnedBeforeItsSyncBegan) {
  Rig rig;
  expect_legal(rig.allocate(2, 3));
  rig.free(3);
  static_cast<void>(rig.oracle.sync_begins());
  expect_legal(Rig(rig).commit(1, {{2, 3}, {4, 5}}));
  expect_broken(Rig(rig).commit(1, {{2, 3}}), "a commit has page 4 free, which is in use");
  expect_broken(Rig(rig).commit(1, {{2, 5}}), "a commit has page 3 in use, which is free");
  expect_broken(Rig(rig).commit(1, {{2, 3}, {4, 5}, {9, 10}}), "a commit has page 9 in use, which is free");
  expect_broken(Rig(rig).commit(1, {}), "a commit has page 2 free, which is in use");
}

TEST(AllocationOracle, OfWhatOverlapsTheSyncEachByItselfMayBeInIt) {
  Rig rig;
  expect_legal(rig.allocate(2));
  expect_legal(rig.allocate(3));
  const std::size_t freeing = rig.oracle.free_begins({3, 4});
  static_cast<void>(rig.oracle.sync_begins());
  expect_legal(rig.allocate(4));
  rig.oracle.freed(freeing, true);
  for (const Ranges& ranges : {Ranges{{2, 3}}, Ranges{{2, 4}}, Ranges{{2, 5}}, Ranges{{2, 3}, {4, 5}}})
    expect_legal(Rig(rig).commit(1, ranges));
  expect_broken(Rig(rig).commit(1, {{3, 4}}), "has page 2 free");
}

TEST(AllocationOracle, AnAllocationUnderWayMayHaveTakenAnyPage) {
  Rig rig;
  static_cast<void>(rig.oracle.sync_begins());
  const std::size_t one = rig.oracle.allocate_begins(1), two = rig.oracle.allocate_begins(2);
  expect_legal(Rig(rig).commit(1, {}));
  expect_legal(Rig(rig).commit(1, {{9, 10}}));
  expect_legal(Rig(rig).commit(1, {{9, 10}, {20, 22}}));
  expect_broken(Rig(rig).commit(1, {{9, 10}, {20, 23}}), "has page 9 in use, which is free");
  // One that failed has taken none.
  rig.oracle.not_allocated(two);
  expect_legal(Rig(rig).commit(1, {{9, 10}}));
  expect_broken(Rig(rig).commit(1, {{9, 11}}), "has page 9 in use");
  rig.oracle.not_allocated(one);
  expect_broken(Rig(rig).commit(1, {{9, 10}}), "has page 9 in use");
}

TEST(AllocationOracle, AFreeThatFailedHasFreedNothing) {
  Rig rig;
  expect_legal(rig.allocate(2));
  const std::size_t freeing = rig.oracle.free_begins({2, 3});
  EXPECT_TRUE(rig.oracle.being_freed(2));
  EXPECT_FALSE(rig.oracle.being_freed(3));
  rig.oracle.freed(freeing, false);
  EXPECT_FALSE(rig.oracle.being_freed(2));
  EXPECT_EQ(rig.oracle.owned(), set_of({{2, 3}}));
  static_cast<void>(rig.oracle.sync_begins());
  expect_broken(rig.commit(1, {}), "has page 2 free");
}

TEST(AllocationOracle, TheOldestSyncUnderWaySaysWhatACommitMustHave) {
  Rig rig;
  const std::size_t first = rig.oracle.sync_begins();
  expect_legal(rig.allocate(2));
  static_cast<void>(rig.oracle.sync_begins());
  expect_legal(Rig(rig).commit(1, {}));  // it may be the first one's
  rig.oracle.sync_ended(first, true);
  expect_broken(Rig(rig).commit(1, {}), "has page 2 free");
  // Nobody syncs: whoever commits has it all.
  Rig idle;
  expect_legal(idle.allocate(2));
  expect_broken(idle.commit(1, {}), "has page 2 free");
}

TEST(AllocationOracle, ACommitRefersToAMapThatIsThere) {
  Rig rig;
  expect_broken(rig.oracle.submitted(root(1), damaged_map()),
                "refers to a map that is not there: page 260: generation");
  ReferenceAllocation low = map_of({{2, 4}});
  low.high_water = 3;
  expect_legal(rig.allocate(2, 2));
  expect_broken(rig.oracle.submitted(root(1), low), "a commit has high water 3 and page 3 in use");
  low.high_water = 200;
  expect_legal(rig.oracle.submitted(root(2), low));
}

// ---- changes

TEST(AllocationOracle, AChangeIsInACommitAsAWholeOrNotAtAll) {
  Rig rig;
  expect_legal(rig.allocate(9));
  static_cast<void>(rig.oracle.sync_begins());
  const std::size_t change = rig.oracle.change_begins();
  expect_legal(rig.allocate(2, 1, change));
  rig.free(9, change);
  expect_legal(rig.allocate(3, 1, change));
  expect_legal(Rig(rig).commit(1, {{9, 10}}));
  expect_broken(Rig(rig).commit(1, {{2, 4}}), "contains a part of a change");  // a snapshot waits until it is over
  rig.oracle.change_ends(change);
  expect_legal(Rig(rig).commit(1, {{9, 10}}));
  expect_legal(Rig(rig).commit(1, {{2, 4}}));
  for (const Ranges& part : {Ranges{{2, 3}}, Ranges{{2, 4}, {9, 10}}, Ranges{{3, 4}, {9, 10}}, Ranges{}})
    expect_broken(Rig(rig).commit(1, part), "contains a part of a change");
}

TEST(AllocationOracle, WhatDidNotHappenIsNoPartOfAChange) {
  Rig rig;
  static_cast<void>(rig.oracle.sync_begins());
  const std::size_t change = rig.oracle.change_begins();
  expect_legal(rig.allocate(2, 1, change));
  rig.oracle.not_allocated(rig.oracle.allocate_begins(1, change));
  rig.oracle.change_ends(change);
  expect_legal(Rig(rig).commit(1, {{2, 3}}));
  expect_legal(Rig(rig).commit(1, {}));
}

TEST(AllocationOracle, ChangesAreApartFromEachOther) {
  Rig rig;
  static_cast<void>(rig.oracle.sync_begins());
  const std::size_t one = rig.oracle.change_begins(), two = rig.oracle.change_begins();
  expect_legal(rig.allocate(2, 1, one));
  expect_legal(rig.allocate(3, 1, two));
  rig.oracle.change_ends(one);
  rig.oracle.change_ends(two);
  for (const Ranges& ranges : {Ranges{}, Ranges{{2, 3}}, Ranges{{3, 4}}, Ranges{{2, 4}}})
    expect_legal(Rig(rig).commit(1, ranges));
}

// ---- syncs

TEST(AllocationOracle, ASyncIsOwedTheFirstCommitSinceItBegan) {
  Rig rig;
  const std::size_t sync = rig.oracle.sync_begins();
  expect_legal(rig.commit(1, {}));
  expect_legal(rig.commit(2, {}));
  EXPECT_EQ(rig.oracle.acknowledged(), 0u);
  rig.oracle.sync_ended(sync, true);
  EXPECT_EQ(rig.oracle.acknowledged(), 1u) << "the second may be somebody else's";
  EXPECT_EQ(rig.oracle.last_commit(), 2u);
  const std::size_t failed = rig.oracle.sync_begins();
  expect_legal(rig.commit(3, {}));
  rig.oracle.sync_ended(failed, false);
  EXPECT_EQ(rig.oracle.acknowledged(), 1u);
  // Nothing to commit: what there is counts.
  rig.oracle.sync_ended(rig.oracle.sync_begins(), true);
  EXPECT_EQ(rig.oracle.acknowledged(), 3u);
}

TEST(AllocationOracle, WhatMustSurviveIsWhatASyncAcknowledged) {
  Rig rig;
  const auto before = rig.oracle.obligations(0);
  expect_legal(rig.commit(1, {}));
  EXPECT_TRUE(rig.oracle.obligations(0) == before);
  rig.oracle.sync_ended(rig.oracle.sync_begins(), true);
  EXPECT_FALSE(rig.oracle.obligations(0) == before);
  EXPECT_FALSE(rig.oracle.obligations(0) == rig.oracle.obligations(1)) << "another level's are others";
}

TEST(AllocationOracle, APageIsCertainlyFreeWhenNothingStandsAgainstIt) {
  Rig rig;
  EXPECT_TRUE(rig.oracle.certainly_free(2));
  EXPECT_FALSE(rig.oracle.certainly_free(256)) << "reserved";
  expect_legal(rig.allocate(2));
  EXPECT_FALSE(rig.oracle.certainly_free(2)) << "somebody's";
  rig.free(2);
  EXPECT_FALSE(rig.oracle.certainly_free(2)) << "not before a sync";
  rig.oracle.sync_ended(rig.oracle.sync_begins(), false);
  EXPECT_FALSE(rig.oracle.certainly_free(2));
  rig.sync(1, {});
  EXPECT_TRUE(rig.oracle.certainly_free(2));
  // Freed while a sync is under way: the next one's.
  expect_legal(rig.allocate(3));
  const std::size_t sync = rig.oracle.sync_begins();
  rig.free(3);
  expect_legal(rig.commit(2, {}));
  rig.oracle.sync_ended(sync, true);
  EXPECT_FALSE(rig.oracle.certainly_free(3));
}

// ---- opened again

/// Commit 1 has page 2 and is acknowledged, commit 2 has page 3 too and is not.
Rig with_a_commit_too_many() {
  Rig rig;
  expect_legal(rig.allocate(2));
  rig.sync(1, {{2, 3}});
  expect_legal(rig.allocate(3));
  const std::size_t sync = rig.oracle.sync_begins();
  expect_legal(rig.commit(2, {{2, 4}}));
  rig.oracle.sync_ended(sync, false);
  return rig;
}

TEST(AllocationOracle, AFileIsOpenedWithWhatWasCommitted) {
  const Rig rig = with_a_commit_too_many();
  const auto reopened = [&](std::uint64_t number, const ReferenceAllocation& map) {
    return Rig(rig).oracle.reopened(root(number), map);
  };
  expect_legal(reopened(1, map_of({{2, 3}})));
  expect_legal(reopened(2, map_of({{2, 4}})));
  expect_broken(reopened(3, map_of({{2, 3}})), "an allocation root that nobody committed");
  expect_broken(reopened(0, map_of({})), "an older allocation root than an acknowledged one");
  expect_broken(reopened(1, map_of({{2, 4}})), "another allocation map than was committed");
  expect_broken(reopened(1, damaged_map()), "another allocation map than was committed");
}

TEST(AllocationOracle, WithTheNewestCommitNothingIsLost) {
  Rig rig = with_a_commit_too_many();
  expect_legal(rig.oracle.reopened(root(2), map_of({{2, 4}})));
  EXPECT_EQ(rig.oracle.owned(), set_of({{2, 4}}));
  EXPECT_EQ(rig.oracle.acknowledged(), 2u);
  expect_broken(rig.found(1, {{2, 3}}), "made allocation commit 2 durable", Invariant::durability);
}

TEST(AllocationOracle, WithAnOlderCommitTheNewerOnesAreAbandoned) {
  Rig rig = with_a_commit_too_many();
  expect_legal(rig.oracle.reopened(root(1), map_of({{2, 3}})));
  EXPECT_EQ(rig.oracle.owned(), set_of({{2, 3}}));
  EXPECT_EQ(rig.oracle.acknowledged(), 1u);
  // The root that counts is stored again before any node is overwritten: no new commit. One that was abandoned may be
  // made again, with other contents.
  EXPECT_FALSE(rig.oracle.is_new(root(1)));
  EXPECT_TRUE(rig.oracle.is_new(root(2)));
  EXPECT_TRUE(rig.oracle.is_new(root(3)));
  // Nothing is built on what was abandoned: its page is nobody's.
  EXPECT_FALSE(rig.oracle.may_return(3, rig.oracle.acknowledged()));
  EXPECT_TRUE(rig.oracle.certainly_free(3));
  expect_legal(rig.allocate(3));
  // A crash may leave it all the same, until something newer is durable.
  expect_legal(rig.found(2, {{2, 4}}));
  rig.sync(3, {{2, 4}});
  EXPECT_EQ(rig.oracle.acknowledged(), 3u);
  expect_broken(rig.found(2, {{2, 4}}), "the crash left commit 2", Invariant::durability);
}

TEST(AllocationOracle, ASyncWithoutChangesAcknowledgesWhatWasOpened) {
  Rig rig = with_a_commit_too_many();
  expect_legal(rig.oracle.reopened(root(1), map_of({{2, 3}})));
  rig.oracle.sync_ended(rig.oracle.sync_begins(), true);
  EXPECT_EQ(rig.oracle.acknowledged(), 1u) << "not the newer one, which was abandoned";
  expect_legal(rig.found(1, {{2, 3}}));
}

TEST(AllocationOracle, WhatWasUnderWayBeforeItWasOpenedIsForgotten) {
  Rig rig = with_a_commit_too_many();
  static_cast<void>(rig.oracle.sync_begins());
  static_cast<void>(rig.oracle.allocate_begins(1));
  expect_legal(rig.allocate(7));
  expect_legal(rig.oracle.reopened(root(1), map_of({{2, 3}})));
  static_cast<void>(rig.oracle.sync_begins());
  expect_legal(Rig(rig).commit(3, {{2, 3}}));
  expect_broken(Rig(rig).commit(3, {{2, 3}, {7, 8}}), "has page 7 in use, which is free");
}

TEST(AllocationOracle, ARootOlderThanTheAcknowledgedOneIsNewAgain) {
  Rig rig;
  rig.sync(1, {});
  rig.sync(2, {});
  EXPECT_FALSE(rig.oracle.is_new(root(2)));
  EXPECT_TRUE(rig.oracle.is_new(root(1))) << "nobody who goes on from 2 stores it";
  EXPECT_EQ(rig.oracle.commit_of(root(1)), 1u);
  EXPECT_FALSE(rig.oracle.commit_of(root(9)));
}

// ---- what a crash left

TEST(AllocationOracle, ACrashLeavesTheAcknowledgedCommitOrANewerOne) {
  const Rig rig = with_a_commit_too_many();
  expect_legal(rig.found(1, {{2, 3}}));
  expect_legal(rig.found(2, {{2, 4}}));
  expect_broken(rig.found(0, {}), "a sync had made allocation commit 1 durable, but the crash left commit 0",
                Invariant::durability);
  expect_broken(rig.found(5, {{2, 3}}), "an allocation root that nobody committed");
  expect_broken(rig.found(1, {{2, 4}}), "another allocation map than was committed");
  expect_broken(rig.found(2, {{2, 3}}), "another allocation map than was committed");
  ReferenceAllocation map = map_of({{2, 3}});
  ++map.high_water;
  expect_broken(rig.oracle.judge_found(root(1), map, false), "another allocation map than was committed");
  expect_broken(rig.oracle.judge_found(root(1), damaged_map(), false),
                "the allocation map does not verify: page 260: generation", Invariant::durability);
}

TEST(AllocationOracle, MediaFaultsExcuseDamageAndAnOlderCommitAndNothingElse) {
  const Rig rig = with_a_commit_too_many();
  EXPECT_EQ(rig.oracle.judge_found(root(1), damaged_map(), true).kind, Kind::detected);
  EXPECT_EQ(rig.found(0, {}, true).kind, Kind::excused);
  expect_legal(rig.found(1, {{2, 3}}, true));
  expect_broken(rig.found(5, {{2, 3}}, true), "an allocation root that nobody committed");
  expect_broken(rig.found(1, {{2, 4}}, true), "another allocation map than was committed");
}

TEST(AllocationOracle, ACommitWhoseMapWasHiddenMayHoldAnything) {
  Rig rig;
  rig.oracle.submitted_unseen(root(1));
  EXPECT_EQ(rig.oracle.last_commit(), 1u);
  EXPECT_FALSE(rig.oracle.is_new(root(1)));
  expect_legal(rig.found(1, {{2, 3}}, true));
}

TEST(AllocationOracle, ARecoveryBeginsWithWhatItFound) {
  Rig rig = with_a_commit_too_many();
  EXPECT_TRUE(rig.oracle.is_open()) << "the workload's";
  rig.oracle.restart(root(2), map_of({{2, 4}}));
  EXPECT_FALSE(rig.oracle.is_open());
  rig.oracle.opened();
  EXPECT_TRUE(rig.oracle.is_open());
  EXPECT_EQ(rig.oracle.owned(), set_of({{2, 4}}));
  EXPECT_EQ(rig.oracle.acknowledged(), 0u);
  EXPECT_EQ(rig.oracle.last_commit(), 0u);
  EXPECT_TRUE(rig.oracle.may_return(3, 0));
  expect_legal(rig.found(2, {{2, 4}}));
  expect_broken(rig.found(1, {{2, 3}}), "nobody committed");
}

}  // namespace
}  // namespace pagedb::scenarios
