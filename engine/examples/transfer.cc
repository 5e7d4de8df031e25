// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a file of one's own, such as a log, on the I/O seam, with the engine's policy for interruptions and short
// transfers.
#include "engine/io/transfer.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/thread_scheduler.h"

namespace {

int failed(const pagedb::PageError& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

int example(const std::string& path) {
  constexpr std::size_t kBlock = 4096;
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = disk.create(path);
  if (!file) return failed(pagedb::io_failure(file.error()));
  auto memory = pagedb::AlignedBuffer::allocate(4 * kBlock);
  if (!memory) return failed(memory.error());
  std::memset(memory->data(), 'l', memory->size());

  // One transfer, all of it, and durable.
  if (const auto moved = pagedb::transfer(**file, scheduler, {pagedb::IoOp::write, 0, memory->data(), kBlock});
      !moved) {
    return failed(moved.error());
  }
  if (const auto synced = pagedb::sync_file(**file, scheduler); !synced) return failed(synced.error());

  // Several; each tells how it ended.
  std::array<pagedb::IoRequest, 3> batch;
  for (std::size_t i = 0; i < batch.size(); ++i)
    batch[i] = {pagedb::IoOp::write, (i + 1) * kBlock, memory->data() + i * kBlock, kBlock};
  int good = 0;
  pagedb::transfer_batch(**file, scheduler, batch,
                         [&](std::size_t, const pagedb::Result<void>& result) { good += result ? 1 : 0; });
  if (good != 3) return 1;

  // At the end of the file a read is short; `needed` says how much is enough.
  if ((*file)->resize(kBlock + 100) != 0) return 1;
  const pagedb::IoRequest tail{pagedb::IoOp::read, kBlock, memory->data(), kBlock};
  if (!pagedb::transfer(**file, scheduler, tail, 100)) return 1;
  const auto all = pagedb::transfer(**file, scheduler, tail);
  if (all || all.error().code != pagedb::ErrorCode::short_transfer) return 1;
  std::printf("%s\n", all.error().message().c_str());
  return pagedb::io_failure(ENOSPC).code == pagedb::ErrorCode::no_space ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_transfer." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
