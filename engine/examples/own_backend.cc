// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a backend of one's own. This one keeps files in memory; PageFile runs on it as on a disk.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/backend.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

struct Content {
  std::mutex mutex;
  std::vector<std::byte> bytes;
  bool locked = false;
};

class MemoryFile final : public pagedb::IoFile {
 public:
  MemoryFile(std::shared_ptr<Content> content, pagedb::Access access) : content_(std::move(content)), access_(access) {}
  ~MemoryFile() override {
    const std::lock_guard lock(content_->mutex);
    if (access_ == pagedb::Access::read_write) content_->locked = false;
  }

  pagedb::IoLimits limits() const noexcept override { return {.queue_depth = 4}; }
  pagedb::IoResult<std::uint64_t> size() noexcept override {
    const std::lock_guard lock(content_->mutex);
    return content_->bytes.size();
  }
  int resize(std::uint64_t bytes) noexcept override {
    const std::lock_guard lock(content_->mutex);
    content_->bytes.resize(bytes);
    return 0;
  }
  int sync() noexcept override { return 0; }  // as durable as memory gets

  void run(std::span<const pagedb::IoRequest> requests, pagedb::IoDone done) noexcept override {
    for (std::size_t i = 0; i < requests.size(); ++i) done(i, serve(requests[i]));
  }

 private:
  pagedb::IoStatus serve(const pagedb::IoRequest& request) {
    const std::lock_guard lock(content_->mutex);
    std::vector<std::byte>& bytes = content_->bytes;
    if (request.op == pagedb::IoOp::write) {
      if (access_ == pagedb::Access::read_only) return {.error = EBADF};
      bytes.resize(std::max<std::size_t>(bytes.size(), request.offset + request.size));
      std::memcpy(bytes.data() + request.offset, request.data, request.size);
      return {.bytes = request.size};
    }
    if (request.offset >= bytes.size()) return {};  // the end of the file
    const std::size_t there = std::min(request.size, bytes.size() - request.offset);
    std::memcpy(request.data, bytes.data() + request.offset, there);
    return {.bytes = there};
  }

  std::shared_ptr<Content> content_;
  pagedb::Access access_;
};

class MemoryBackend final : public pagedb::IoBackend {
 public:
  pagedb::IoResult<std::unique_ptr<pagedb::IoFile>> open(const std::string& path,
                                                         pagedb::Access access) noexcept override {
    const auto found = files_.find(path);
    if (found == files_.end()) return tl::unexpected<int>(ENOENT);
    return open(found->second, access);
  }
  pagedb::IoResult<std::unique_ptr<pagedb::IoFile>> create(const std::string& path) noexcept override {
    const auto [place, created] = files_.emplace(path, std::make_shared<Content>());
    if (!created) return tl::unexpected<int>(EEXIST);
    return open(place->second, pagedb::Access::read_write);
  }
  int sync_directory(const std::string&) noexcept override { return 0; }

 private:
  static pagedb::IoResult<std::unique_ptr<pagedb::IoFile>> open(const std::shared_ptr<Content>& content,
                                                                pagedb::Access access) {
    if (access == pagedb::Access::read_write) {
      const std::lock_guard lock(content->mutex);
      if (std::exchange(content->locked, true)) return tl::unexpected<int>(EWOULDBLOCK);
    }
    return std::make_unique<MemoryFile>(content, access);
  }

  std::map<std::string, std::shared_ptr<Content>> files_;
};

}  // namespace

int main() {
  pagedb::ThreadScheduler scheduler;
  MemoryBackend memory;
  auto page = pagedb::AlignedBuffer::allocate(4096);
  if (!page) return 1;
  {
    auto file = pagedb::PageFile::create(scheduler, memory, "rows", pagedb::PageSize(), pagedb::FileId{std::byte{1}});
    if (!file || !(*file)->write(pagedb::PageId{1}, page->span()) || !(*file)->sync()) return 1;
    const auto second = pagedb::PageFile::open(scheduler, memory, "rows");
    if (second || second.error().code != pagedb::ErrorCode::locked) return 1;
    std::printf("%s\n", second.error().message().c_str());
  }
  auto file = pagedb::PageFile::open(scheduler, memory, "rows");
  return file && (*file)->read(pagedb::PageId{1}, page->span()) ? 0 : 1;
}
