// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: 100,000 resident pages, one hot page, memory.
#include "tools/benchmarks/pool/resident.h"

#include "tools/benchmarks/pool/bare.h"
#include "tools/benchmarks/pool/peers.h"
#include "tools/benchmarks/pool/rows.h"

namespace pagedb::bench {
namespace {

constexpr std::uint32_t kPages = 100'000;
constexpr unsigned kRounds = 101;
constexpr unsigned kPairs = 201;

// What is read of a page: the 64 bytes that it begins with (its header, and where a tree node has its own), or those at
// some line in its midst.
constexpr std::size_t kFirstLine = 0;
constexpr std::size_t kInnerLine = 2112;

// A subject that visits the sequence, from where it left off.
template <class Visit>
Subject visiting(std::string name, const Walk& walk, Visit visit) {
  return {std::move(name), [&walk, visit, at = std::size_t{0}](std::uint64_t count) mutable {
            Walk::go<std::uint32_t>(walk.ids(), count, at, visit);
          }};
}

// Every subject at one place of the page.
std::vector<Subject> subjects_at(std::size_t offset, const Walk& walk, ResidentPool& pool, BareTable& bare,
                                 std::span<const std::byte* const> places) {
  std::vector<Subject> subjects;
  subjects.push_back({"bare 64 bytes (the floor)", [places, at = std::size_t{0}](std::uint64_t count) mutable {
                        Walk::go<const std::byte*>(places, count, at, bare_reads);
                      }});
  subjects.push_back(
      visiting("bare pinned loop", walk, [&bare, offset](auto ids) { return bare.pinned(ids, offset); }));
  subjects.push_back(visiting("pool shared", walk, [&pool, offset](auto ids) { return pool.shared(ids, offset); }));
  subjects.push_back(
      visiting("bare optimistic loop", walk, [&bare, offset](auto ids) { return bare.optimistic(ids, offset); }));
  subjects.push_back(
      visiting("pool optimistic copy", walk, [&pool, offset](auto ids) { return pool.optimistic(ids, offset); }));
  return subjects;
}

// Where each of the sequence's pages has its line at `offset`.
std::vector<const std::byte*> places_at(std::size_t offset, const Walk& walk, const ResidentPool& pool) {
  std::vector<const std::byte*> places;
  for (const std::uint32_t id : walk.ids()) places.push_back(pool.pages()[id] + offset);
  return places;
}

void bounds(Report& report, const Rounds& rounds) {
  report.at_most("shared fetch + 64 bytes + release, over its bare loop",
                 rounds.ratio("pool shared", "bare pinned loop"), 1.25);
  report.at_most("optimistic copy of 64 bytes, over its bare loop",
                 rounds.ratio("pool optimistic copy", "bare optimistic loop"), 1.25);
  report.at_least("pinned over optimistic, time", rounds.ratio("pool shared", "pool optimistic copy"), 1.0);
}

struct Peers {
  struct One {
    std::string name;
    std::string package;
    std::unique_ptr<Peer> peer;
  };
  std::vector<One> all;
};

// Every peer over the pool's own page memory where it takes any.
Peers make_peers(const ResidentPool& pool, std::span<std::byte* const> allocated, const std::string& directory) {
  Peers peers;
  peers.all.push_back({"RocksDB HyperClockCache", "librocksdb-dev", make_hyper_clock_cache(pool.pages())});
  peers.all.push_back({"HyperClockCache, malloc'ed values", "librocksdb-dev", make_hyper_clock_cache(allocated)});
  peers.all.push_back({"RocksDB LRUCache", "librocksdb-dev", make_lru_cache(pool.pages())});
  peers.all.push_back({"mutex and unordered_map", "", make_mutex_map(pool.pages())});
  peers.all.push_back({"SQLite pcache", "libsqlite3-dev", make_sqlite_pcache(kPages)});
  peers.all.push_back({"LMDB mdb_get", "liblmdb-dev", make_lmdb(directory, kPages)});
  return peers;
}

}  // namespace

void resident_rows(Report& report, const std::string& directory) {
  ResidentPool pool(kPages);
  BareTable bare(pool.pages());
  const Walk walk(kPages, 1);
  std::vector<std::unique_ptr<std::byte[]>> blocks;
  std::vector<std::byte*> allocated;
  for (std::uint32_t id = 0; id < kPages; ++id) {
    blocks.push_back(std::make_unique<std::byte[]>(4096));
    allocated.push_back(blocks.back().get());
  }
  Peers peers = make_peers(pool, allocated, directory);

  report.section("100,000 resident pages of 4 KiB at random, the first 64 bytes of each");
  {
    const auto places = places_at(kFirstLine, walk, pool);
    auto subjects = subjects_at(kFirstLine, walk, pool, bare, places);
    for (const Peers::One& one : peers.all) {
      if (one.peer == nullptr) continue;
      subjects.push_back(
          visiting(one.name, walk, [&peer = *one.peer](auto ids) { return peer.visit(ids, kFirstLine); }));
    }
    const Rounds rounds(subjects, kRounds);
    rounds.print(report, subjects.front().name);
    for (const Peers::One& one : peers.all) {
      if (one.peer == nullptr) absent(report, one.name, one.package);
    }
    bounds(report, rounds);
    if (rounds.has("RocksDB HyperClockCache"))
      report.at_least("HyperClockCache over shared fetch, time", rounds.ratio("RocksDB HyperClockCache", "pool shared"),
                      3.5);
  }

  report.section("The same, 64 bytes in the midst of each page");
  {
    const auto places = places_at(kInnerLine, walk, pool);
    const auto subjects = subjects_at(kInnerLine, walk, pool, bare, places);
    const Rounds rounds(subjects, kRounds);
    rounds.print(report, subjects.front().name);
    bounds(report, rounds);
  }

  report.section("The same as the first, one thread and two in turns");
  const Walk other(kPages, 2);
  const auto two = [&](auto visit) {
    std::size_t first = 0;
    std::size_t second = 0;
    const auto run = [&](unsigned thread, std::uint64_t count) {
      if (thread == 0) Walk::go<std::uint32_t>(walk.ids(), count, first, visit);
      if (thread == 1) Walk::go<std::uint32_t>(other.ids(), count, second, visit);
    };
    return two_over_one(run, kPairs);
  };
  const auto bound = [&](const std::string& what, const Pairs& pairs) {
    report.at_least("rate of two threads over one, " + what, pairs.ratio, 1.9);
    report.say(counted(pairs));
  };
  bound("shared", two([&](auto ids) { return pool.shared(ids, kFirstLine); }));
  bound("optimistic", two([&](auto ids) { return pool.optimistic(ids, kFirstLine); }));
  const auto unbound = [&](const std::string& what, const Pairs& pairs) {
    report.figure("  " + what, pairs.ratio, text("x (%u pairs)", pairs.counted));
  };
  unbound("bare pinned loop", two([&](auto ids) { return bare.pinned(ids, kFirstLine); }));
  unbound("bare optimistic loop", two([&](auto ids) { return bare.optimistic(ids, kFirstLine); }));
  for (const Peers::One& one : peers.all) {
    if (one.peer == nullptr || one.package == "libsqlite3-dev" || one.package == "liblmdb-dev") continue;
    unbound(one.name, two([&peer = *one.peer](auto ids) { return peer.visit(ids, kFirstLine); }));
  }
}

void hot_rows(Report& report) {
  ResidentPool pool(kPages);
  const std::unique_ptr<Peer> hyper_clock = make_hyper_clock_cache(pool.pages());
  const std::unique_ptr<Peer> lru = make_lru_cache(pool.pages());
  const std::unique_ptr<Peer> mutex_map = make_mutex_map(pool.pages());
  Sequence sequence(3);  // each slice takes another page, as some have longer chains than others
  const auto page = [&] { return sequence.below(kPages); };

  report.section("One hot page of 100,000; held and let go, nothing read");
  std::vector<Subject> subjects{
      {"pool shared with hint", [&](std::uint64_t count) { pool.hold_shared(page(), count); }},
      {"pool optimistic with hint, validated", [&](std::uint64_t count) { pool.hold_optimistic(page(), count); }},
      {"pool optimistic with hint, 64 bytes copied", [&](std::uint64_t count) { pool.read_hinted(page(), count); }},
      {"mutex and unordered_map", [&](std::uint64_t count) { use(mutex_map->hold(page(), count)); }},
  };
  if (hyper_clock != nullptr && lru != nullptr) {
    subjects.push_back(
        {"RocksDB HyperClockCache", [&](std::uint64_t count) { use(hyper_clock->hold(page(), count)); }});
    subjects.push_back({"RocksDB LRUCache", [&](std::uint64_t count) { use(lru->hold(page(), count)); }});
  }
  const Rounds rounds(subjects, kRounds);
  rounds.print(report);
  if (hyper_clock != nullptr) {
    report.at_least("HyperClockCache over shared fetch + release, time",
                    rounds.ratio("RocksDB HyperClockCache", "pool shared with hint"), 3);
    report.at_least("HyperClockCache over optimistic, time",
                    rounds.ratio("RocksDB HyperClockCache", "pool optimistic with hint, validated"), 15);
  } else {
    absent(report, "RocksDB HyperClockCache", "librocksdb-dev");
  }
  const auto optimistic = [&](std::uint64_t count) { pool.hold_optimistic(7, count); };
  const auto shared = [&](std::uint64_t count) { pool.hold_shared(7, count); };
  const auto bound = [&](const std::string& what, const std::function<void(std::uint64_t)>& other) {
    const Pairs pairs = beside_over_alone(optimistic, [&] { other(1000); }, kPairs);
    report.at_least("rate of optimistic beside a thread of " + what, pairs.ratio, 0.9);
    report.say(counted(pairs));
  };
  bound("shared fetches of the page", shared);
  bound("optimistic ones", optimistic);
  report.figure("  rate of shared beside a thread of shared ones",
                beside_over_alone(shared, [&] { shared(1000); }, kPairs).ratio, "x");
  if (hyper_clock == nullptr) return;
  const auto theirs = [&](std::uint64_t count) { use(hyper_clock->hold(7, count)); };
  report.figure("  HyperClockCache's beside a thread of its own",
                beside_over_alone(theirs, [&] { theirs(1000); }, kPairs).ratio, "x");
}

void memory_rows(Report& report) {
  report.section("Memory besides the pages");
  const auto bytes = [](std::uint32_t frames) {
    ThreadScheduler scheduler;
    MemoryStore store;
    const auto pool = BufferPool::create(scheduler, store, {.frames = frames});
    return pool ? static_cast<double>((*pool)->memory_bytes()) : 0.0;
  };
  const double half = bytes(kPages / 2);
  const double whole = bytes(kPages);
  const double a_frame = (whole - half) / (kPages / 2);
  report.at_most("bytes a frame besides its page, at 100,000 frames", a_frame, 64);
  report.figure("  fixed part (staging for two batches of writes, mostly)", (whole - a_frame * kPages) / 1024, "KiB");
  report.figure("  all of it at 100,000 frames, by frames", whole / kPages, "bytes");
}

}  // namespace pagedb::bench
