// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Space: a PageFile of 4 KiB pages on a real disk with its allocator, O_DIRECT, that goes when it is destroyed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "engine/aligned_buffer.h"
#include "engine/page_allocator.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"
#include "tools/benchmarks/alloc/counting_io.h"
#include "tools/benchmarks/measure.h"

namespace pagedb::bench {

/// Bytes of a page in every file here.
inline constexpr std::size_t kPageBytes = 4096;
/// Pages in a region of 4 KiB pages.
inline constexpr std::uint64_t kRegionPages = 4 * kPageBytes;

/// Says why and ends the program with exit code 3.
[[noreturn]] void fail(const std::string& why);
/// The value of a result that has to have one.
template <class T>
T must(Result<T> result) {
  if (!result) fail(result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// See the head of this file.
class Space {
 public:
  /// Makes `directory`/alloc_bench.pages, in which nothing is allocated.
  explicit Space(const std::string& directory, const PageAllocatorOptions& options = {});
  ~Space();
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] PageAllocator& pages() { return *pages_; }
  /// What was transferred since this was last called.
  IoCounts counts() { return io_->take(); }

  void close();
  /// Opens file and allocator. Nanoseconds that took.
  std::uint64_t open();

 private:
  std::string path_;
  PageAllocatorOptions options_;
  ThreadScheduler scheduler_;
  std::unique_ptr<CountingIo> io_;
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<PageAllocator> pages_;
};

/// Bare transfers of one page with O_DIRECT, at a page of a file that is there.
class BareFile {
 public:
  explicit BareFile(const std::string& path);
  ~BareFile();
  BareFile(const BareFile&) = delete;
  BareFile& operator=(const BareFile&) = delete;
  /// Each returns how many nanoseconds it took.
  std::uint64_t read(std::uint64_t page);
  std::uint64_t sync();
  std::uint64_t write_and_sync(std::uint64_t page);

 private:
  int file_;
  AlignedBuffer memory_;
};

/// Prints what an allocator takes that has `regions` in memory, and holds it against its bounds; `one_region`: what it
/// took with one.
void memory_lines(Report& report, PageAllocator& pages, std::size_t one_region, std::uint64_t regions);

}  // namespace pagedb::bench
