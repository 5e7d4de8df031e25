// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: write and read many pages at the device's depth, and find out which entry of a batch failed.
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

int failed(const pagedb::PageError& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

int example(const std::string& path) {
  constexpr std::size_t kPages = 64;
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto created = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!created) return failed(created.error());
  pagedb::PageFile& file = **created;
  std::printf("%u requests in flight, memory aligned to %u\n", file.limits().queue_depth, file.limits().memory_align);

  const std::size_t page_bytes = file.page_size().bytes();
  auto memory = pagedb::AlignedBuffer::allocate(kPages * page_bytes);
  if (!memory) return failed(memory.error());
  std::vector<pagedb::PageIo> batch(kPages);
  for (std::size_t i = 0; i < kPages; ++i) {
    batch[i] = {.id = pagedb::PageId{300 + i}, .page = memory->span().subspan(i * page_bytes, page_bytes)};
  }
  if (const auto written = file.write_batch(batch); !written) return failed(written.error());
  if (const auto synced = file.sync(); !synced) return failed(synced.error());
  if (file.page_count() != 300 + kPages) return 1;

  batch[5].id = pagedb::PageId{299};  // skipped by the writes above
  const auto read = file.read_batch(batch);
  if (read) return 1;
  for (const pagedb::PageIo& entry : batch) {
    if (!entry.result) std::printf("%s\n", entry.result.error().message().c_str());
  }
  return batch[5].result.error().code == pagedb::ErrorCode::never_written && batch[6].result ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_page_batch." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
