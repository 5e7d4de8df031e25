// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: make a real backend meet a failing disk through the table of system calls, and see what a failed sync does
// to a file.
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/io/system.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

// The operating system, except that fdatasync fails on demand.
class FailingSync final : public pagedb::System {
 public:
  int fdatasync(int fd) const noexcept override { return failing ? -EIO : System::fdatasync(fd); }

  bool failing = false;
};

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  FailingSync system;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered}, system);
  auto page = pagedb::AlignedBuffer::allocate(4096);
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!page || !file || !(*file)->write(pagedb::PageId{1}, page->span())) return 1;

  system.failing = true;
  const auto synced = (*file)->sync();
  if (synced || synced.error().code != pagedb::ErrorCode::io_error || !(*file)->poisoned()) return 1;
  std::printf("%s\n", synced.error().message().c_str());

  // The kernel may have dropped the write and forgotten about it, so that trying again would succeed and mean nothing.
  system.failing = false;
  const auto again = (*file)->sync();
  if (again || again.error().code != pagedb::ErrorCode::poisoned) return 1;
  std::printf("%s\n", again.error().message().c_str());

  file->reset();
  return pagedb::PageFile::open(scheduler, disk, path).has_value() ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_failed_sync." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
