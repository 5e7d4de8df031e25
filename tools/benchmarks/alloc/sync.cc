// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: what a sync of few changes writes in a large space.
#include <algorithm>
#include <vector>

#include "tools/benchmarks/alloc/rows.h"
#include "tools/benchmarks/alloc/space.h"

namespace pagedb::bench {
namespace {

constexpr std::uint64_t kPages = 1'000'000'000;
constexpr unsigned kLevels = 4;  // of nodes above each of these pages, leaves included

// Allocates `kPages` pages. Regions.
std::uint64_t fill(PageAllocator& pages) {
  for (std::uint64_t i = 0; i < kPages; ++i) must(pages.allocate());
  return (pages.high_water().value + kRegionPages - 1) / kRegionPages;
}

double ms(std::uint64_t ns) { return static_cast<double>(ns) / 1e6; }

// Frees `count` pages at random.
void change(PageAllocator& pages, std::uint64_t count, Sequence& sequence) {
  while (count > 0) {
    const PageId page{sequence.below(static_cast<std::uint32_t>(kPages))};
    if (must(pages.is_allocated(page))) {
      must(pages.free(page));
      --count;
    }
  }
}

void changes(Report& report, Space& space, std::uint64_t count, unsigned rounds, Sequence& sequence) {
  std::vector<double> times;
  IoCounts most;
  std::uint64_t slots = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    change(space.pages(), count, sequence);
    space.counts();
    const std::uint64_t begin = now_ns();
    must(space.pages().sync());
    times.push_back(ms(now_ns() - begin));
    const IoCounts counts = space.counts();
    if (counts.write_bytes >= most.write_bytes) most = counts;
    slots = std::max(slots, counts.slot_writes);
  }
  const auto pages = most.write_bytes / kPageBytes - most.slot_writes;
  const auto k = static_cast<unsigned long long>(count);
  report.at_most(text("k = %llu: pages of the map written, of 4 k + 4", k), static_cast<double>(pages),
                 static_cast<double>(kLevels * count + 4));
  report.at_most(text("k = %llu: superblock slots written", k), static_cast<double>(slots), 2);
  report.say(text("  %llu bytes in all, %llu fdatasync; %.2f ms", static_cast<unsigned long long>(most.write_bytes),
                  static_cast<unsigned long long>(most.syncs), median(times)));
}

}  // namespace

void sync_rows(Report& report, const std::string& directory) {
  report.section("sync after k random pages were freed, of 1,000,000,000 in use");
  const std::string bare_path = directory + "/alloc_bench.bare";
  Space space(directory);
  const std::size_t one_region = space.pages().memory_bytes();
  std::uint64_t begin = now_ns();
  const std::uint64_t regions = fill(space.pages());
  report.figure("  making it, in memory", ms(now_ns() - begin) / 1000, "s");
  space.counts();
  begin = now_ns();
  must(space.pages().sync());
  const double first_s = ms(now_ns() - begin) / 1000;
  report.figure("  its first sync", first_s, "s");
  report.figure("    which writes", static_cast<double>(space.counts().write_bytes) / (1024 * 1024), "MiB");
  memory_lines(report, space.pages(), one_region, regions);

  Sequence sequence(4);
  changes(report, space, 1, 15, sequence);
  changes(report, space, 100, 7, sequence);
  changes(report, space, 10'000, 5, sequence);

  report.section("sync of nothing and of one change, beside bare writes, in turns");
  BareFile bare(bare_path);
  bare.write_and_sync(0);
  std::vector<double> nothing, one, three;
  std::uint64_t written = 0;
  for (unsigned round = 0; round < 31; ++round) {
    space.counts();
    begin = now_ns();
    must(space.pages().sync());
    nothing.push_back(ms(now_ns() - begin));
    written += space.counts().writes;
    change(space.pages(), 1, sequence);
    begin = now_ns();
    must(space.pages().sync());
    one.push_back(ms(now_ns() - begin));
    three.push_back(ms(bare.write_and_sync(0) + bare.write_and_sync(0) + bare.write_and_sync(0)));
  }
  std::remove(bare_path.c_str());
  report.figure("  sync of nothing", median(nothing) * 1000, "us");
  report.figure("    pages that 31 of them wrote", static_cast<double>(written), "");
  report.figure("  sync of one change", median(one), "ms");
  report.figure("  pwrite of 4 KiB and fdatasync, three times", median(three), "ms");
}

}  // namespace pagedb::bench
