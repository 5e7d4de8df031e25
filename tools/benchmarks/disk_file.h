// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// DiskFile: a PageFile of written pages on a real disk, O_DIRECT through io_uring, that goes when it is destroyed.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/uring_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace pagedb::bench {

/// See the head of this file.
class DiskFile {
 public:
  /// Makes `directory`/bench.pages of `pages` pages of 4 KiB, every one written, at depth `queue_depth` from then
  /// on. On failure says why on stderr, and `good` is false.
  DiskFile(const std::string& directory, std::uint64_t pages, unsigned queue_depth);
  ~DiskFile();
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  [[nodiscard]] bool good() const { return file_ != nullptr; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] PageFile& file() { return *file_; }
  [[nodiscard]] Scheduler& scheduler() { return scheduler_; }
  /// The pages that are not the file's own, in order.
  [[nodiscard]] std::span<const PageId> ids() const { return ids_; }

 private:
  bool make(std::uint64_t pages, unsigned queue_depth);

  std::string path_;
  ThreadScheduler scheduler_;
  std::unique_ptr<UringIo> backend_;
  std::unique_ptr<PageFile> file_;
  std::vector<PageId> ids_;
};

}  // namespace pagedb::bench
