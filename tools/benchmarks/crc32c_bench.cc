// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// CRC32C of a 4 KiB page: the engine's, ISA-L called directly, and the portable table.
#include <benchmark/benchmark.h>
#include <isa-l/crc.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/crc32c.h"
#include "engine/internal/crc32c_paths.h"

namespace {

using Page = std::array<std::byte, 4096>;

const Page& page() {
  static const Page bytes = [] {
    Page filled{};
    std::uint32_t state = 1;
    for (std::byte& byte : filled) {
      state = state * 1664525u + 1013904223u;
      byte = static_cast<std::byte>(state >> 24);
    }
    return filled;
  }();
  return bytes;
}

void engine_4k(benchmark::State& state) {
  const Page& bytes = page();
  for (auto _ : state) {
    benchmark::DoNotOptimize(pagedb::crc32c(bytes));
    benchmark::ClobberMemory();
  }
}

void isal_4k(benchmark::State& state) {
  // ISA-L declares its input without const but only reads it.
  auto* bytes = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(page().data()));
  for (auto _ : state) {
    benchmark::DoNotOptimize(~crc32_iscsi(bytes, static_cast<int>(page().size()), 0xffffffffu));
    benchmark::ClobberMemory();
  }
}

void portable_4k(benchmark::State& state) {
  const Page& bytes = page();
  for (auto _ : state) {
    benchmark::DoNotOptimize(pagedb::detail::crc32c_portable(0, bytes));
    benchmark::ClobberMemory();
  }
}

BENCHMARK(engine_4k);
BENCHMARK(isal_4k);
BENCHMARK(portable_4k);

}  // namespace

BENCHMARK_MAIN();
