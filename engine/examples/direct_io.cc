// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: create a file with direct I/O, write a block, make it durable, read it back; a second writer is refused.
#include "engine/io/direct_io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/aligned_buffer.h"

namespace {

constexpr std::size_t kBlockBytes = 4096;

// One transfer. Real code uses engine/io/transfer.h, which also continues short transfers and repeats interrupted ones.
bool moved_all(pagedb::IoFile& file, pagedb::IoOp op, std::byte* data) {
  const pagedb::IoRequest request{op, 0, data, kBlockBytes};
  bool good = false;
  file.run({&request, 1}, [&](std::size_t, pagedb::IoStatus status) {
    if (status.error != 0) std::fprintf(stderr, "transfer: %s\n", std::strerror(status.error));
    good = status.error == 0 && status.bytes == kBlockBytes;
  });
  return good;
}

int example(const std::string& path) {
  pagedb::DirectIo direct;
  pagedb::DirectIo buffered({.caching = pagedb::Caching::buffered});
  pagedb::IoBackend* disk = &direct;
  auto file = disk->create(path);
  if (!file && file.error() == EOPNOTSUPP) {
    // No direct I/O on this file system. Going through the page cache is a choice, made by name.
    disk = &buffered;
    file = disk->create(path);
  }
  if (!file) {
    std::fprintf(stderr, "create: %s\n", std::strerror(file.error()));
    return 1;
  }
  const pagedb::IoLimits limits = (*file)->limits();
  std::printf("memory aligned to %u, offsets to %u bytes\n", limits.memory_align, limits.offset_align);

  auto block = pagedb::AlignedBuffer::allocate(kBlockBytes);
  if (!block) return 1;
  std::fill(block->span().begin(), block->span().end(), std::byte{0x5a});
  if (!moved_all(**file, pagedb::IoOp::write, block->data())) return 1;
  if ((*file)->sync() != 0 || disk->sync_directory(path) != 0) return 1;  // the bytes, then the name: now it is durable

  std::fill(block->span().begin(), block->span().end(), std::byte{0});
  if (!moved_all(**file, pagedb::IoOp::read, block->data())) return 1;
  if (block->span()[kBlockBytes - 1] != std::byte{0x5a}) return 1;

  const auto second = disk->open(path, pagedb::Access::read_write);
  if (second || second.error() != EWOULDBLOCK) return 1;
  std::printf("a second writer is refused: %s\n", std::strerror(second.error()));
  return 0;
}

}  // namespace

int main() {
  const std::string path = "example_direct_io." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
