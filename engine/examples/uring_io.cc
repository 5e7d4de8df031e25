// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a batch of writes and a batch of reads at depth through io_uring, or through DirectIo where the kernel
// refuses it.
#include "engine/io/uring_io.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"

namespace {

constexpr std::size_t kBlockBytes = 4096;
constexpr std::size_t kBlocks = 256;

int example(const std::string& path) {
  auto memory = pagedb::AlignedBuffer::allocate(kBlocks * kBlockBytes);
  if (!memory) return 1;

  // Memory that most requests use may be registered; where the limit on locked memory forbids it, things work without.
  std::unique_ptr<pagedb::IoBackend> disk;
  pagedb::UringIo* uring = nullptr;
  if (auto made = pagedb::UringIo::make({.registered_memory = memory->span()})) {
    uring = made->get();
    disk = std::move(*made);
  } else {
    std::printf("no io_uring (%s): one request at a time\n", std::strerror(made.error()));
    disk = std::make_unique<pagedb::DirectIo>();
  }
  const auto file = disk->create(path);
  if (!file) {
    std::fprintf(stderr, "create: %s\n", std::strerror(file.error()));
    return 1;
  }

  std::vector<pagedb::IoRequest> requests;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    requests.push_back({pagedb::IoOp::write, i * kBlockBytes, memory->data() + i * kBlockBytes, kBlockBytes});
  }
  std::size_t failed = 0;
  const auto count_failures = [&](std::size_t, pagedb::IoStatus status) {
    if (status.error != 0 || status.bytes != kBlockBytes) ++failed;
  };
  (*file)->run(requests, count_failures);
  if ((*file)->sync() != 0 || disk->sync_directory(path) != 0) return 1;

  for (pagedb::IoRequest& request : requests) request.op = pagedb::IoOp::read;
  (*file)->run(requests, count_failures);
  std::printf("%zu blocks written and read at depth %u, %zu failed\n", kBlocks, (*file)->limits().queue_depth, failed);
  if (uring != nullptr) {
    const pagedb::UringFacts facts = uring->facts();
    std::printf("%u ring, %u with registered memory\n", facts.rings, facts.rings_with_memory);
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_uring_io." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
