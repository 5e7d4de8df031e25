// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/benchmarks/disk_file.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/aligned_buffer.h"

namespace pagedb::bench {

DiskFile::DiskFile(const std::string& directory, std::uint64_t pages, unsigned queue_depth)
    : path_(directory + "/bench.pages") {
  if (!make(pages, queue_depth)) file_.reset();
}

DiskFile::~DiskFile() {
  file_.reset();
  backend_.reset();
  std::remove(path_.c_str());
}

bool DiskFile::make(std::uint64_t pages, unsigned queue_depth) {
  constexpr std::size_t kBatch = 1024;
  const auto says = [this](const PageError& error) {
    std::fprintf(stderr, "%s: %s\n", path_.c_str(), error.message().c_str());
    return false;
  };
  std::remove(path_.c_str());
  auto backend = UringIo::make({.queue_depth = queue_depth});
  if (!backend) {
    std::fprintf(stderr, "no io_uring: %s\n", std::strerror(backend.error()));
    return false;
  }
  backend_ = std::move(*backend);
  auto made = PageFile::create(scheduler_, *backend_, path_, PageSize{}, FileId{std::byte{7}});
  if (!made) return says(made.error());
  file_ = std::move(*made);
  auto memory = AlignedBuffer::allocate(kBatch * PageSize{}.bytes());
  if (!memory) return says(memory.error());
  for (std::size_t at = 0; at < memory->size(); at += PageSize{}.bytes()) {
    std::memset(memory->data() + at + kPageHeaderBytes, 0x5A, PageSize{}.bytes() - kPageHeaderBytes);
  }
  for (std::uint64_t id = 0; id < pages; ++id) {
    if (!file_->is_reserved(PageId{id})) ids_.push_back(PageId{id});
  }
  for (std::size_t first = 0; first < ids_.size(); first += kBatch) {
    std::vector<PageIo> batch;
    for (std::size_t i = first; i < std::min(first + kBatch, ids_.size()); ++i) {
      batch.push_back({ids_[i], memory->span().subspan((i - first) * PageSize{}.bytes(), PageSize{}.bytes()), {}});
    }
    if (const auto written = file_->write_batch(batch); !written) return says(written.error());
  }
  if (const auto synced = file_->sync(); !synced) return says(synced.error());
  return true;
}

}  // namespace pagedb::bench
