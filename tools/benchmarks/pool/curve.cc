// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: what a fetch costs from 1,000 to 4,000,000 frames, beside the floor.
#include <unistd.h>

#include "tools/benchmarks/pool/bare.h"
#include "tools/benchmarks/pool/resident.h"
#include "tools/benchmarks/pool/rows.h"

namespace pagedb::bench {
namespace {

// Memory that can be had without others having to give theirs up, in bytes.
std::uint64_t available_bytes() {
  std::uint64_t kib = 0;
  if (std::FILE* file = std::fopen("/proc/meminfo", "r")) {
    char line[128];
    while (std::fgets(line, sizeof line, file) != nullptr) {
      unsigned long long value = 0;
      if (std::sscanf(line, "MemAvailable: %llu", &value) == 1) kib = value;
    }
    std::fclose(file);
  }
  return kib * 1024;
}

}  // namespace

void curve_rows(Report& report) {
  constexpr std::uint64_t kSpareBytes = std::uint64_t{1} << 30;  // for whoever else uses the machine
  report.section("A fetch and 64 bytes, by frames; ns, and beside the floor");
  report.say("     frames      floor        shared            optimistic");
  for (const std::uint32_t frames : {1'000u, 10'000u, 100'000u, 1'000'000u, 4'000'000u}) {
    const std::uint64_t bytes = std::uint64_t{frames} * (4096 + 64 + 16) + kSpareBytes;
    if (bytes > available_bytes()) {
      report.say(text("  %9u   not measured: needs %.1f GiB, %.1f GiB are free", frames,
                      static_cast<double>(bytes) / (1u << 30), static_cast<double>(available_bytes()) / (1u << 30)));
      continue;
    }
    ResidentPool pool(frames);
    const Walk walk(frames, 4);
    std::vector<const std::byte*> places;
    for (const std::uint32_t id : walk.ids()) places.push_back(pool.pages()[id]);
    std::size_t at_floor = 0;
    std::size_t at_shared = 0;
    std::size_t at_optimistic = 0;
    const std::vector<Subject> subjects{
        {"floor", [&](std::uint64_t count) { Walk::go<const std::byte*>(places, count, at_floor, bare_reads); }},
        {"shared",
         [&](std::uint64_t count) {
           Walk::go<std::uint32_t>(walk.ids(), count, at_shared, [&](auto ids) { return pool.shared(ids, 0); });
         }},
        {"optimistic",
         [&](std::uint64_t count) {
           Walk::go<std::uint32_t>(walk.ids(), count, at_optimistic, [&](auto ids) { return pool.optimistic(ids, 0); });
         }},
    };
    const Rounds rounds(subjects, 51);
    report.say(text("  %9u %10.1f  %8.1f (%.2f x)  %8.1f (%.2f x)", frames, rounds.ns("floor"), rounds.ns("shared"),
                    rounds.ratio("shared", "floor"), rounds.ns("optimistic"), rounds.ratio("optimistic", "floor")));
  }
}

}  // namespace pagedb::bench
