// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: which pages of a 1.x file are in use. The file is made here as 1.x would have left it: page 0 is the
// allocator's state, pages 1 and 4 are rows, pages 2 and 3 are free.
#include "engine/legacy_allocator.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/page.h"
#include "engine/thread_scheduler.h"

namespace {

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

int failed(const pagedb::PageError& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

// Writes page `id`, whose payload begins with `front`.
template <class Front>
bool put(int fd, std::uint64_t id, const Front& front) {
  auto page = pagedb::AlignedBuffer::allocate(pagedb::PageSize().bytes());
  if (!page) return false;
  std::memcpy(pagedb::payload(page->span()).data(), &front, sizeof front);
  pagedb::seal(page->span(), {.id = pagedb::PageId{id}});
  return ::pwrite(fd, page->data(), page->size(), static_cast<off_t>(id * page->size())) ==
         static_cast<ssize_t>(page->size());
}

bool make_legacy_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return false;
  // "PGSB" and version 1; the first free page; one past the last page given out; how many are free.
  const std::array<std::uint64_t, 4> state{0x0000'0001'4253'4750, 3, 5, 2};
  const std::array<char, 8> row{"a row"};
  const bool written =
      put(fd, 0, state) && put(fd, 1, row) && put(fd, 2, kNone) && put(fd, 3, std::uint64_t{2}) && put(fd, 4, row);
  ::close(fd);
  return written;
}

int example(const std::string& path) {
  if (!make_legacy_file(path)) return 1;
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  const pagedb::OpenOptions legacy{
      .access = pagedb::Access::read_only, .page_size = pagedb::PageSize(), .legacy = true};
  {
    auto file = pagedb::PageFile::open(scheduler, disk, path, legacy);
    if (!file) return failed(file.error());
    const auto allocation = pagedb::read_legacy_allocation(**file);
    if (!allocation) return failed(allocation.error());

    // What an import would copy. The high water may lie past the end of the file.
    const std::uint64_t end = std::min(allocation->high_water(), (*file)->page_count());
    std::uint64_t in_use = 0;
    for (std::uint64_t id = 1; id < end; ++id) in_use += allocation->is_in_use(pagedb::PageId{id}) ? 1 : 0;
    std::printf("%llu pages in use; free:", static_cast<unsigned long long>(in_use));
    for (auto id = allocation->next_free({}); id; id = allocation->next_free({id->value + 1}))
      std::printf(" %llu", static_cast<unsigned long long>(id->value));
    std::puts("");
    if (in_use != 2 || allocation->free_count() != 2 || !allocation->is_free(pagedb::PageId{3})) return 1;
  }

  // Page 2, the end of the chain, names page 3 again.
  const int fd = ::open(path.c_str(), O_WRONLY);
  if (fd < 0) return 1;
  const bool written = put(fd, 2, std::uint64_t{3});
  ::close(fd);
  if (!written) return 1;
  auto file = pagedb::PageFile::open(scheduler, disk, path, legacy);
  if (!file) return failed(file.error());
  const auto refused = pagedb::read_legacy_allocation(**file);
  if (refused || refused.error().code != pagedb::ErrorCode::allocation_damaged) return 1;
  std::printf("%s\n", refused.error().message().c_str());
  return refused.error().page == pagedb::PageId{2} ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_legacy_allocator." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
