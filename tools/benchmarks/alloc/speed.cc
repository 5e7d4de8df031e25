// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: allocating, and freeing and allocating, warm; one thread, and two.
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/benchmarks/alloc/churn.h"
#include "tools/benchmarks/alloc/rows.h"

namespace pagedb::bench {
namespace {

constexpr std::uint32_t kWorkingSet = 100'000;
constexpr unsigned kRounds = 101;
constexpr unsigned kPairs = 75;

const PageAllocatorOptions kReuse{.reuse_before_sync = true};

using Work = std::function<void(std::uint64_t count)>;
using ThreadWork = std::function<void(unsigned thread, std::uint64_t count)>;

// The bare floor: one compare-and-swap of a word that nobody else wants, `count` times.
void swaps(std::atomic<std::uint64_t>& word, std::uint64_t count) {
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  for (; count > 0; --count) {
    if (word.compare_exchange_strong(seen, seen + 1)) ++seen;
  }
}

// Measures allocator and peer in turns, beside `swaps_each` compare-and-swaps an operation. The ratio of the two.
double compare(Report& report, unsigned swaps_each, Work allocator, Work peer,
               std::function<void()> before_allocator = {}) {
  std::atomic<std::uint64_t> word{0};
  const std::string floor = swaps_each == 1 ? "one compare-and-swap (the floor)" : "two compare-and-swaps (the floor)";
  const std::vector<Subject> subjects{
      {floor, [&](std::uint64_t count) { swaps(word, count * swaps_each); }},
      {"allocator", std::move(allocator), std::move(before_allocator)},
      {swaps_each == 1 ? "peer: mutex and counter" : "peer: mutex and vector", std::move(peer)},
  };
  const Rounds rounds(subjects, kRounds);
  rounds.print(report, floor);
  return rounds.ratio(subjects[1].name, subjects[2].name);
}

void allocating(Report& report, const std::string& directory) {
  report.section("allocate, past all others; one thread");
  Space space(directory);
  MutexAllocator peer;
  const double ratio = compare(
      report, 1, [&](std::uint64_t count) { extend(space.pages(), count); },
      [&](std::uint64_t count) { extend(peer, count); });
  report.at_most("allocate, time over the peer", ratio, 1.0);
}

void one_page(Report& report, const std::string& directory) {
  report.section("free and allocate the same page again and again; reuse_before_sync");
  Space space(directory, kReuse);
  MutexAllocator mutex;
  std::uint64_t ours = take_one(space.pages());
  std::uint64_t theirs = take_one(mutex);
  const double ratio = compare(
      report, 2, [&](std::uint64_t count) { cycle_one(space.pages(), ours, count); },
      [&](std::uint64_t count) { cycle_one(mutex, theirs, count); });
  report.at_most("free and allocate, one page, time over the peer", ratio, 1.0);
}

// The ratio for a set of pages.
template <class Set>
double set_of_pages(Report& report, const std::string& directory, const PageAllocatorOptions& options,
                    const Set& empty) {
  Space space(directory, options);
  MutexAllocator mutex;
  Set ours = empty, theirs = empty;
  ours.fill(space.pages());
  theirs.fill(mutex);
  std::function<void()> sync;
  if (!options.reuse_before_sync) sync = [&] { must(space.pages().sync()); };
  return compare(
      report, 2, [&](std::uint64_t count) { ours.run(space.pages(), count); },
      [&](std::uint64_t count) { theirs.run(mutex, count); }, std::move(sync));
}

// What two threads of this machine are over one, at the least that they have to do.
void two_floors(Report& report) {
  struct alignas(256) Word {
    std::atomic<std::uint64_t> value{0};
  };
  std::vector<Word> words(2);
  const Pairs floor =
      two_over_one([&](unsigned thread, std::uint64_t count) { swaps(words[thread].value, 2 * count); }, kPairs);
  report.figure("  compare-and-swaps, each thread of a word of its own (the floor)", floor.ratio, "x");
  report.say(counted(floor));
}

// Two threads over one, of the allocator and of its peer.
void two_rows(Report& report, const std::string& what, const ThreadWork& allocator, const ThreadWork& peer) {
  Pairs ours, theirs;
  // In a thread of its own: its id and that of the second thread then follow each other, as those of a program's
  // workers do, and the allocator keeps threads apart by their ids.
  std::thread([&] { ours = two_over_one(allocator, kPairs); }).join();
  std::thread([&] { theirs = two_over_one(peer, kPairs); }).join();
  report.at_least("rate of two threads over one, " + what, ours.ratio, 1.7);
  report.say(counted(ours));
  report.figure("  peer", theirs.ratio, "x");
  report.say(counted(theirs));
}

template <class Set>
void two_sets(Report& report, const std::string& what, const std::string& directory,
              const PageAllocatorOptions& options, const std::vector<Set>& empty) {
  Space space(directory, options);
  MutexAllocator mutex;
  std::vector<Set> ours = empty, theirs = empty;
  for (Set& set : ours) set.fill(space.pages());
  for (Set& set : theirs) set.fill(mutex);
  two_rows(
      report, what, [&](unsigned thread, std::uint64_t count) { ours[thread].run(space.pages(), count); },
      [&](unsigned thread, std::uint64_t count) { theirs[thread].run(mutex, count); });
}

}  // namespace

void speed_rows(Report& report, const std::string& directory) {
  allocating(report, directory);
  one_page(report, directory);
  report.section("free 100,000 pages, the last one first, and allocate them again; reuse_before_sync");
  report.at_most("free and allocate, 100,000 pages as a stack, time over the peer",
                 set_of_pages(report, directory, kReuse, Stack(kWorkingSet)), 1.0);
  report.section("free one of 100,000 pages at random and allocate another one; reuse_before_sync");
  // A vector gives back the page that was freed last wherever that is; a bitmap goes there, and a lane moves with it.
  report.figure("free and allocate, 100,000 pages at random, time over the peer (no bound)",
                set_of_pages(report, directory, kReuse, RandomSet(kWorkingSet, 1)), "x");
  report.section("The two without reuse_before_sync; a sync, not timed, before each slice of some 5 ms");
  report.figure("as a stack, time over the peer (no bound)", set_of_pages(report, directory, {}, Stack(kWorkingSet)),
                "x");
  report.figure("at random, time over the peer (no bound)",
                set_of_pages(report, directory, {}, RandomSet(kWorkingSet, 1)), "x");
}

void two_thread_rows(Report& report, const std::string& directory) {
  report.section("One thread and two in turns; each has 100,000 pages of its own");
  two_floors(report);
  {
    Space space(directory);
    MutexAllocator mutex;
    two_rows(
        report, "allocate", [&](unsigned, std::uint64_t count) { extend(space.pages(), count); },
        [&](unsigned, std::uint64_t count) { extend(mutex, count); });
  }
  const std::vector<Stack> stacks(2, Stack(kWorkingSet));
  two_sets(report, "free and allocate, stacks, reuse_before_sync", directory, kReuse, stacks);
  const std::vector<RandomSet> random{RandomSet(kWorkingSet, 1), RandomSet(kWorkingSet, 2)};
  two_sets(report, "free and allocate, at random, reuse_before_sync", directory, kReuse, random);
  two_sets(report, "free and allocate, at random, before any sync", directory, {}, random);
}

}  // namespace pagedb::bench
