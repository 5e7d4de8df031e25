// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: opening a space in which many pages are free; memory.
#include <algorithm>
#include <utility>
#include <vector>

#include "tools/benchmarks/alloc/rows.h"
#include "tools/benchmarks/alloc/space.h"

namespace pagedb::bench {
namespace {

constexpr std::uint64_t kPages = 2'000'000;  // of which every other one is freed
constexpr std::size_t kOpens = 31;           // that count: those that were disturbed least
constexpr std::uint64_t kTimeNs = 6'000'000'000;

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1000; }

// One opening, and what stood beside it: a bare fdatasync of nothing (the slower one of before and after), and a read.
struct Opening {
  double open_us = 0;
  double sync_us = 0;
  double read_us = 0;
};

double median_of(const std::vector<Opening>& openings, double Opening::* member) {
  std::vector<double> values;
  for (const Opening& opening : openings) values.push_back(opening.*member);
  return median(std::move(values));
}

void opening_lines(Report& report, std::vector<Opening> openings) {
  const double all = median_of(openings, &Opening::open_us);
  const std::size_t count = openings.size();
  // Others may be using the disk, and what they take is not the opening's.
  std::sort(openings.begin(), openings.end(),
            [](const Opening& a, const Opening& b) { return a.sync_us + a.read_us < b.sync_us + b.read_us; });
  openings.resize(std::min(count, kOpens));
  report.at_most(text("time in ms (the %zu that were disturbed least)", openings.size()),
                 median_of(openings, &Opening::open_us) / 1000, 1);
  report.figure("  beside them a bare fdatasync of nothing", median_of(openings, &Opening::sync_us) / 1000, "ms");
  report.figure("  and a bare pread with O_DIRECT, the floor of a read", median_of(openings, &Opening::read_us) / 1000,
                "ms");
  report.figure(text("  time, all %zu", count), all / 1000, "ms");
}

}  // namespace

void open_rows(Report& report, const std::string& directory) {
  Space space(directory);
  const std::size_t one_region = space.pages().memory_bytes();
  std::vector<PageId> ids;
  for (std::uint64_t i = 0; i < kPages; ++i) ids.push_back(must(space.pages().allocate()));
  for (std::uint64_t i = 0; i < kPages; i += 2) must(space.pages().free(ids[i]));
  must(space.pages().sync());

  report.section("Memory of the allocator of 2,000,000 pages");
  memory_lines(report, space.pages(), one_region, ids.back().value / kRegionPages + 1);

  report.section("Opening a space with 1,000,000 free pages: PageFile::open and PageAllocator::open, O_DIRECT");
  BareFile bare(space.path());
  std::vector<Opening> openings;
  std::vector<double> first_us;
  IoCounts opening, allocating;
  std::size_t memory = 0;
  for (const std::uint64_t start = now_ns(); openings.empty() || now_ns() - start < kTimeNs;) {
    space.close();
    Opening now{.sync_us = us(bare.sync()), .read_us = us(bare.read(0))};
    space.counts();
    now.open_us = us(space.open());
    const IoCounts opened = space.counts();
    now.sync_us = std::max(now.sync_us, us(bare.sync()));
    openings.push_back(now);
    opening.reads = std::max(opening.reads, opened.reads);
    opening.read_bytes = std::max(opening.read_bytes, opened.read_bytes);
    opening.writes = std::max(opening.writes, opened.writes);
    opening.syncs = std::max(opening.syncs, opened.syncs);
    memory = space.pages().memory_bytes();
    if (const std::uint64_t free = space.pages().free_count(); free < kPages / 2)
      fail(text("only %llu pages are free", static_cast<unsigned long long>(free)));
    const std::uint64_t begin = now_ns();
    const auto first = space.pages().allocate();
    first_us.push_back(us(now_ns() - begin));
    if (!first) fail(first.error().message());
    const IoCounts allocated = space.counts();
    allocating.reads = std::max(allocating.reads, allocated.reads);
  }
  report.at_most("pages read", static_cast<double>(opening.read_bytes) / kPageBytes, 8);
  report.say(text("  %llu reads, %llu writes, %llu fdatasync; %zu bytes of memory then",
                  static_cast<unsigned long long>(opening.reads), static_cast<unsigned long long>(opening.writes),
                  static_cast<unsigned long long>(opening.syncs), memory));
  opening_lines(report, std::move(openings));
  report.figure("  the first allocate", median(first_us) / 1000, "ms");
  report.figure("    pages that it reads", static_cast<double>(allocating.reads), "");
}

}  // namespace pagedb::bench
