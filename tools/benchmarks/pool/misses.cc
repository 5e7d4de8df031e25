// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: hits beside somebody who misses; misses at depth beside fio.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "engine/buffer_pool.h"
#include "tools/benchmarks/disk_file.h"
#include "tools/benchmarks/measure.h"
#include "tools/benchmarks/pool/rows.h"

namespace pagedb::bench {
namespace {

constexpr std::uint64_t kFilePages = 262'144;  // 1 GiB

// What a thread that hits 16 pages for a while saw. A thread that is not running because others are, or because the
// machine beneath this virtual one took the core away, is none of the pool's doing; one that sleeps, or runs and gets
// nowhere, is.
struct Hits {
  double a_second = 0;    // while it had a core
  double stall_ms = 0;    // longest time without progress, less what it was without a core for no reason of its own
  double longest_ms = 0;  // the same with that
};

// Hits 16 pages for `ms` milliseconds. Looks at the clock every 64 hits.
Hits hit(BufferPool& pool, std::span<const PageId> hot, unsigned ms) {
  Hits result;
  std::uint64_t hits = 0;
  const std::uint64_t cpu_at_begin = thread_cpu_ns();
  std::uint64_t cpu = cpu_at_begin;
  std::uint64_t sleeps = thread_sleeps();
  const std::uint64_t begin = now_ns();
  std::uint64_t last = begin;
  std::uint64_t known = begin;  // when `cpu` and `sleeps` were read
  std::uint64_t seen = 0;
  while (last - begin < ms * std::uint64_t{1'000'000}) {
    for (unsigned i = 0; i < 64; ++i) {
      const auto guard = pool.fetch(hot[i % 16]);
      if (!guard) std::abort();
      seen ^= read_64(guard->page().data());
    }
    hits += 64;
    const std::uint64_t now = now_ns();
    if (now - last > 200'000) {
      const double gap = static_cast<double>(now - last);
      const std::uint64_t cpu_now = thread_cpu_ns();
      const std::uint64_t sleeps_now = thread_sleeps();
      const double without_core = static_cast<double>(now - known) - static_cast<double>(cpu_now - cpu);
      const double stall = sleeps_now != sleeps ? gap : std::max(gap - std::max(without_core, 0.0), 0.0);
      result.longest_ms = std::max(result.longest_ms, gap / 1e6);
      result.stall_ms = std::max(result.stall_ms, stall / 1e6);
      cpu = cpu_now;
      sleeps = sleeps_now;
      known = last = now_ns();
    } else {
      last = now;
    }
  }
  use(seen);
  result.a_second = 1e9 * static_cast<double>(hits) / static_cast<double>(thread_cpu_ns() - cpu_at_begin);
  return result;
}

void hits_beside_misses(Report& report, DiskFile& disk) {
  report.section("16 hot pages hit by one thread, alone and while another one misses with O_DIRECT, in turns");
  auto made = BufferPool::create(disk.scheduler(), disk.file(), {.frames = 1024});
  if (!made) return report.say(made.error().message());
  BufferPool& pool = **made;
  const std::span<const PageId> hot = disk.ids().first(16);
  const std::span<const PageId> cold = disk.ids().subspan(16);
  std::atomic<bool> stop{false};
  std::atomic<bool> miss{false};
  std::atomic<std::uint64_t> misses{0};
  std::thread other([&] {
    Sequence sequence(5);
    while (!stop.load()) {
      if (!miss.load()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      const PageId id = cold[sequence.below(static_cast<std::uint32_t>(cold.size()))];
      if (const auto guard = pool.fetch(id); !guard) std::abort();
      misses.fetch_add(1);
    }
  });
  constexpr unsigned kMs = 500;
  std::vector<double> ratios;
  std::vector<double> rates;
  Hits worst;
  double stall_alone_ms = 0;
  for (unsigned round = 0; round < 11; ++round) {
    miss.store(false);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const Hits alone = hit(pool, hot, kMs);
    miss.store(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const Hits beside = hit(pool, hot, kMs);
    rates.push_back(alone.a_second / 1e6);
    ratios.push_back(beside.a_second / alone.a_second);
    stall_alone_ms = std::max(stall_alone_ms, alone.stall_ms);
    worst.stall_ms = std::max(worst.stall_ms, beside.stall_ms);
    worst.longest_ms = std::max(worst.longest_ms, beside.longest_ms);
  }
  miss.store(false);
  stop.store(true);
  other.join();
  report.figure("  hits alone", median(rates), "M/s");
  report.figure("  misses beside them", static_cast<double>(misses.load()) / (11 * kMs / 1000.0), "/s");
  report.at_least("rate of hits beside misses, over alone", median(ratios), 0.8);
  report.at_most("longest stall of a hit in ms, less time without a core", worst.stall_ms, 5);
  report.figure("  with that (others run on this machine)", worst.longest_ms, "ms");
  report.figure("  longest stall alone, less time without a core", stall_alone_ms, "ms");
}

struct Reads {
  double iops = 0;
  double cpu_us = 0;  // of processor time a read
};

constexpr unsigned kDepth = 32;
constexpr unsigned kSeconds = 3;

// fio's own account, its defaults otherwise: neither registered buffers nor files.
std::optional<Reads> fio_reads(const std::string& path) {
  const std::string command =
      "fio --name=read --filename='" + path +
      "' --readonly --rw=randread --bs=4k --direct=1 --ioengine=io_uring --iodepth=" + std::to_string(kDepth) +
      " --time_based --runtime=" + std::to_string(kSeconds) + " --output-format=json 2>/dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string output;
  char piece[4096];
  for (std::size_t bytes; (bytes = std::fread(piece, 1, sizeof piece, pipe)) > 0;) output.append(piece, bytes);
  if (::pclose(pipe) != 0) return std::nullopt;
  const auto json = nlohmann::json::parse(output, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  const auto& job = json["jobs"][0];
  const double seconds = job["read"]["runtime"].get<double>() / 1000;
  const double reads = job["read"]["total_ios"].get<double>();
  const double busy = (job["usr_cpu"].get<double>() + job["sys_cpu"].get<double>()) / 100;
  return Reads{reads / seconds, 1e6 * busy * seconds / reads};
}

// A task that walks random pages and asks for those ahead of it.
std::optional<Reads> prefetched_reads(BufferPool& pool, std::span<const PageId> ids, Sequence& sequence) {
  constexpr std::size_t kWindow = 64 * kDepth;  // asked for ahead of the walk
  constexpr std::size_t kAsk = 8 * kDepth;      // asked for at once
  std::vector<PageId> walk(1 << 16);
  for (PageId& id : walk) id = ids[sequence.below(static_cast<std::uint32_t>(ids.size()))];
  const std::uint64_t reads_before = pool.stats().reads;
  const std::uint64_t cpu_before = process_cpu_ns();
  const std::uint64_t begin = now_ns();
  std::size_t asked = 0;
  std::uint64_t seen = 0;
  for (std::size_t at = 0; now_ns() - begin < kSeconds * std::uint64_t{1'000'000'000}; ++at) {
    asked = std::max(asked, at);
    if (asked + kAsk <= at + kWindow) {
      const std::size_t first = asked % walk.size();
      asked += pool.prefetch(std::span(walk).subspan(first, std::min(kAsk, walk.size() - first)));
    }
    const auto guard = pool.fetch(walk[at % walk.size()]);
    if (!guard) {
      std::fprintf(stderr, "pool_bench: %s\n", guard.error().message().c_str());
      return std::nullopt;
    }
    seen ^= read_64(guard->page().data());
  }
  use(seen);
  const double seconds = static_cast<double>(now_ns() - begin) / 1e9;
  const double cpu_us = static_cast<double>(process_cpu_ns() - cpu_before) / 1e3;
  const double reads = static_cast<double>(pool.stats().reads - reads_before);
  return Reads{reads / seconds, cpu_us / reads};
}

void misses_at_depth(Report& report, DiskFile& disk) {
  report.section("Random misses through prefetch, beside fio's io_uring at depth 32 on the same file, in turns");
  auto made = BufferPool::create(disk.scheduler(), disk.file(), {.frames = 8192});
  if (!made) return report.say(made.error().message());
  Sequence sequence(6);
  std::vector<double> iops, cpu, iops_ratio, cpu_ratio;
  for (unsigned round = 0; round < 5; ++round) {
    const auto fio = fio_reads(disk.path());
    if (!fio) return report.say("  (not compared: fio is missing or failed; tools/setup bench installs it)");
    const auto ours = prefetched_reads(**made, disk.ids(), sequence);
    if (!ours) return;
    report.say(text("  round %u: pool %7.0f IOPS, %.2f us of CPU each; fio %7.0f IOPS, %.2f us", round + 1, ours->iops,
                    ours->cpu_us, fio->iops, fio->cpu_us));
    iops_ratio.push_back(ours->iops / fio->iops);
    cpu_ratio.push_back(ours->cpu_us / fio->cpu_us);
  }
  report.at_least("reads a second over fio's", median(iops_ratio), 0.95);
  report.at_most("CPU time a read over fio's", median(cpu_ratio), 1.3);
  const BufferPoolStats stats = (*made)->stats();
  report.say(text("  %.1f %% of the pages read came through prefetch",
                  100.0 * static_cast<double>(stats.prefetched) / static_cast<double>(stats.reads)));
}

}  // namespace

void miss_rows(Report& report, const std::string& directory) {
  DiskFile disk(directory, kFilePages, kDepth);
  if (!disk.good()) return report.at_least("a file to read from", 0, 1);
  hits_beside_misses(report, disk);
  misses_at_depth(report, disk);
}

}  // namespace pagedb::bench
