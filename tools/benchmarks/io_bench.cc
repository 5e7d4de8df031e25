// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// io_bench: 4 KiB random O_DIRECT reads of an existing file, through UringIo at depth 32 and DirectIo at depth 1.
//
// Usage: io_bench --file=PATH [--seconds=N] [Google Benchmark flags]. `items_per_second` is the IOPS. Offsets come from
// a fixed xorshift sequence. PATH should hold written data (a sparse file never reaches the disk);
// tools/benchmarks/io_vs_fio.sh makes one and compares with fio.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/direct_io.h"
#include "engine/io/uring_io.h"

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr unsigned kDepth = 32;
constexpr std::size_t kRunRequests = 4096;  // one `run`; long, so that filling and draining the queue does not count

class Offsets {
 public:
  explicit Offsets(std::uint64_t file_bytes) : pages_(file_bytes / kPageBytes) {}
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % pages_ * kPageBytes;
  }

 private:
  std::uint64_t pages_;
  std::uint64_t state_ = 0x9e3779b97f4a7c15;
};

struct Memory {
  Memory() : bytes(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, kDepth * kPageBytes))) {}
  ~Memory() { std::free(bytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* bytes;
};

// Random reads in runs of `requests` requests, through an open file.
void random_reads(benchmark::State& state, pagedb::IoFile& file, std::size_t requests) {
  const auto size = file.size();
  if (!size || *size < kPageBytes) return state.SkipWithError("the file is shorter than a page");
  const Memory memory;
  Offsets offsets(*size);
  std::vector<pagedb::IoRequest> batch(requests);
  std::int64_t failed = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < requests; ++i) {
      batch[i] = {pagedb::IoOp::read, offsets.next(), memory.bytes + i % kDepth * kPageBytes, kPageBytes};
    }
    file.run(batch, [&](std::size_t, pagedb::IoStatus status) {
      failed += static_cast<std::int64_t>(status.error != 0 || status.bytes != kPageBytes);
    });
  }
  if (failed != 0) state.SkipWithError("a read failed");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(requests));
}

void uring_depth_32(benchmark::State& state, const std::string& path) {
  auto backend = pagedb::UringIo::make({.queue_depth = kDepth});
  if (!backend) return state.SkipWithError("io_uring refused");
  auto file = (*backend)->open(path, pagedb::Access::read_only);
  if (!file) return state.SkipWithError("cannot open the file");
  random_reads(state, **file, kRunRequests);
}

void uring_depth_1(benchmark::State& state, const std::string& path) {
  auto backend = pagedb::UringIo::make({.queue_depth = 1});
  if (!backend) return state.SkipWithError("io_uring refused");
  auto file = (*backend)->open(path, pagedb::Access::read_only);
  if (!file) return state.SkipWithError("cannot open the file");
  random_reads(state, **file, 64);
}

void direct_depth_1(benchmark::State& state, const std::string& path) {
  pagedb::DirectIo backend;
  auto file = backend.open(path, pagedb::Access::read_only);
  if (!file) return state.SkipWithError("cannot open the file");
  random_reads(state, **file, 1);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::string path;
  double seconds = 2;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--file="))
      path = argument.substr(7);
    else if (argument.starts_with("--seconds="))
      seconds = std::atof(argv[i] + 10);
    else
      path.clear(), i = argc;
  }
  if (path.empty()) {
    std::fprintf(stderr, "io_bench: no file given\nsay --file=PATH, a file of at least 4 KiB, better of 1 GiB\n");
    return 2;
  }
  const auto add = [&](const char* name, void (*function)(benchmark::State&, const std::string&)) {
    benchmark::RegisterBenchmark(name, function, path)->MinTime(seconds)->UseRealTime();
  };
  add("uring_read_4k_depth_32", uring_depth_32);
  add("direct_read_4k_depth_1", direct_depth_1);
  add("uring_read_4k_depth_1", uring_depth_1);
  benchmark::RunSpecifiedBenchmarks();
}
