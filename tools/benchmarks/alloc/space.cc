// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/benchmarks/alloc/space.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/io/direct_io.h"
#include "engine/io/uring_io.h"

namespace pagedb::bench {

void fail(const std::string& why) {
  std::fprintf(stderr, "alloc_bench: %s\n", why.c_str());
  std::exit(3);
}

Space::Space(const std::string& directory, const PageAllocatorOptions& options)
    : path_(directory + "/alloc_bench.pages"), options_(options) {
  std::remove(path_.c_str());
  if (auto uring = UringIo::make()) {
    io_ = std::make_unique<CountingIo>(std::move(*uring));
  } else {
    io_ = std::make_unique<CountingIo>(std::make_unique<DirectIo>());
  }
  file_ = must(PageFile::create(scheduler_, *io_, path_, PageSize{}, FileId{std::byte{9}}));
  pages_ = must(PageAllocator::open(*file_, options_));
}

Space::~Space() {
  close();
  std::remove(path_.c_str());
}

void Space::close() {
  pages_.reset();
  file_.reset();
}

std::uint64_t Space::open() {
  const std::uint64_t begin = now_ns();
  auto file = PageFile::open(scheduler_, *io_, path_);
  if (!file) fail(file.error().message());
  auto pages = PageAllocator::open(**file, options_);
  const std::uint64_t took = now_ns() - begin;
  pages_ = must(std::move(pages));
  file_ = std::move(*file);
  return took;
}

BareFile::BareFile(const std::string& path)
    : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0644)),
      memory_(must(AlignedBuffer::allocate(kPageBytes))) {
  if (file_ < 0) fail(path + ": " + std::strerror(errno));
  std::memset(memory_.data(), 0x5A, kPageBytes);
}

BareFile::~BareFile() { ::close(file_); }

std::uint64_t BareFile::read(std::uint64_t page) {
  const std::uint64_t begin = now_ns();
  const auto moved = ::pread(file_, memory_.data(), kPageBytes, static_cast<off_t>(page * kPageBytes));
  const std::uint64_t took = now_ns() - begin;
  if (moved != static_cast<ssize_t>(kPageBytes)) fail("a bare read failed");
  return took;
}

std::uint64_t BareFile::sync() {
  const std::uint64_t begin = now_ns();
  if (::fdatasync(file_) != 0) fail("a bare fdatasync failed");
  return now_ns() - begin;
}

std::uint64_t BareFile::write_and_sync(std::uint64_t page) {
  const std::uint64_t begin = now_ns();
  const auto moved = ::pwrite(file_, memory_.data(), kPageBytes, static_cast<off_t>(page * kPageBytes));
  if (moved != static_cast<ssize_t>(kPageBytes) || ::fdatasync(file_) != 0) fail("a bare write failed");
  return now_ns() - begin;
}

void memory_lines(Report& report, PageAllocator& pages, std::size_t one_region, std::uint64_t regions) {
  constexpr double kStates = kRegionPages / 4;  // two bits a page
  const double fixed = static_cast<double>(one_region) - kStates;
  const auto bytes = static_cast<double>(pages.memory_bytes());
  const double besides = (bytes - static_cast<double>(one_region)) / static_cast<double>(regions - 1) - kStates;
  report.at_most("memory besides two bits a page: bytes a region of 16,384 pages", besides, 200);
  report.at_most("memory besides two bits a page: bytes whatever the size", fixed, 8192);
  report.say(text("  %.0f bytes for %llu regions, that is %.3f bits a page all told", bytes,
                  static_cast<unsigned long long>(regions), bytes * 8 / static_cast<double>(regions * kRegionPages)));
}

}  // namespace pagedb::bench
