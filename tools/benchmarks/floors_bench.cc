// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the simulation cannot be quicker than: copying a 4 KiB page, and its checksum. tools/bench prints them beside
// the simulation's rates.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "engine/crc32c.h"

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPages =
    64;  // what page_file_crash works on: 256 KiB, so caches play the part that they play there

void memcpy_4k(benchmark::State& state) {
  const std::vector<std::byte> from(kPages * kPageBytes, std::byte{1});
  std::vector<std::byte> to(kPages * kPageBytes);
  std::size_t at = 0;
  for (auto _ : state) {
    std::memcpy(to.data() + at, from.data() + at, kPageBytes);
    benchmark::ClobberMemory();
    at = (at + kPageBytes) % to.size();
  }
}

void crc32c_4k(benchmark::State& state) {
  const std::vector<std::byte> pages(kPages * kPageBytes, std::byte{1});
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(pagedb::crc32c(std::span(pages).subspan(at, kPageBytes)));
    at = (at + kPageBytes) % pages.size();
  }
}

BENCHMARK(memcpy_4k);
BENCHMARK(crc32c_4k);

}  // namespace

BENCHMARK_MAIN();
