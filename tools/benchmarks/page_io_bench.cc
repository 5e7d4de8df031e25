// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Buffered 4 KiB page writes and reads through PageFile (sealed, verified), beside bare pwrite and pread of the same
// bytes at the same place of the same file.
//
// Makes page_io_bench.pages in the current folder, 256 pages that stay in the page cache, and removes it at the end.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

constexpr std::uint64_t kFirstPage = 1;  // page 0 is the superblock, its twin stands at page 256
constexpr std::uint64_t kPages = 255;
constexpr std::size_t kPageBytes = 4096;
const char* const kPath = "page_io_bench.pages";

struct Fixture {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo backend{{.caching = pagedb::Caching::buffered}};
  std::unique_ptr<pagedb::PageFile> file;
  pagedb::AlignedBuffer page;
  int bare = -1;

  // False with a message when the file cannot be made.
  bool open() {
    std::remove(kPath);
    auto created =
        pagedb::PageFile::create(scheduler, backend, kPath, pagedb::PageSize{}, pagedb::FileId{std::byte{1}});
    auto memory = pagedb::AlignedBuffer::allocate(kPageBytes);
    if (!created || !memory) {
      std::fprintf(stderr, "%s: %s\n", kPath, (created ? memory.error() : created.error()).message().c_str());
      return false;
    }
    file = std::move(*created);
    page = std::move(*memory);
    std::memset(page.data() + pagedb::kPageHeaderBytes, 0x5a, kPageBytes - pagedb::kPageHeaderBytes);
    for (std::uint64_t id = kFirstPage; id <= kPages; ++id) {
      if (const auto written = file->write(pagedb::PageId{id}, page.span()); !written) {
        std::fprintf(stderr, "%s: %s\n", kPath, written.error().message().c_str());
        return false;
      }
    }
    bare = ::open(kPath, O_RDWR | O_CLOEXEC);
    return bare >= 0;
  }

  void close() {
    ::close(bare);
    file.reset();
    std::remove(kPath);
  }
};

// The next page, round and round.
std::uint64_t next(std::uint64_t& at) {
  at = at % kPages + 1;
  return at;
}

void page_write(benchmark::State& state, Fixture& fixture) {
  std::uint64_t at = 0;
  for (auto _ : state) {
    if (!fixture.file->write(pagedb::PageId{next(at)}, fixture.page.span()))
      return state.SkipWithError("a write failed");
  }
}

void bare_write(benchmark::State& state, Fixture& fixture) {
  std::uint64_t at = 0;
  for (auto _ : state) {
    const auto offset = static_cast<off_t>(next(at) * kPageBytes);
    if (::pwrite(fixture.bare, fixture.page.data(), kPageBytes, offset) != static_cast<ssize_t>(kPageBytes))
      return state.SkipWithError("a write failed");
  }
}

// The bare writes leave one page's header everywhere; reads need every page to be its own again.
bool restore(Fixture& fixture) {
  for (std::uint64_t id = kFirstPage; id <= kPages; ++id) {
    if (!fixture.file->write(pagedb::PageId{id}, fixture.page.span())) return false;
  }
  return true;
}

void page_read(benchmark::State& state, Fixture& fixture) {
  if (!restore(fixture)) return state.SkipWithError("a write failed");
  std::uint64_t at = 0;
  for (auto _ : state) {
    if (!fixture.file->read(pagedb::PageId{next(at)}, fixture.page.span())) return state.SkipWithError("a read failed");
  }
}

void bare_read(benchmark::State& state, Fixture& fixture) {
  std::uint64_t at = 0;
  for (auto _ : state) {
    const auto offset = static_cast<off_t>(next(at) * kPageBytes);
    if (::pread(fixture.bare, fixture.page.data(), kPageBytes, offset) != static_cast<ssize_t>(kPageBytes))
      return state.SkipWithError("a read failed");
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  Fixture fixture;
  if (!fixture.open()) return 3;
  const auto add = [&](const char* name, void (*function)(benchmark::State&, Fixture&)) {
    benchmark::RegisterBenchmark(name, [function, &fixture](benchmark::State& state) { function(state, fixture); });
  };
  add("page_write_4k", page_write);
  add("bare_pwrite_4k", bare_write);
  add("page_read_4k", page_read);
  add("bare_pread_4k", bare_read);
  benchmark::RunSpecifiedBenchmarks();
  fixture.close();
  return 0;
}
