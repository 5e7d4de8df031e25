// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: opening what is not simply sound: an interrupted create, a headerless 1.x file, a damaged superblock, a text
// file.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

// Makes `content` the beginning of the file; with `truncate`, all of it.
bool put(const std::string& path, std::string_view content, bool truncate) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | (truncate ? O_TRUNC : 0), 0600);
  if (fd < 0) return false;
  const bool written = ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::close(fd);
  return written;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  const pagedb::PageSize size;
  const auto open = [&](const pagedb::OpenOptions& options) {
    return pagedb::PageFile::open(scheduler, disk, path, options);
  };

  // A create was cut off by a crash and left an empty file. With page size and identity, open finishes it.
  if (!put(path, "", true)) return 1;
  {
    const auto file = open({.page_size = size, .file_id = pagedb::FileId{std::byte{1}}});
    if (!file || !(*file)->open_report().interrupted_create || (*file)->generation() != 1) return 1;
  }
  // A superblock rots. The next writable open heals it from its twin and says so.
  if (!put(path, std::string(512, 'x'), false)) return 1;
  {
    const auto file = open({.page_size = size});
    if (!file || !(*file)->open_report().superblock_healed) return 1;
    std::puts("a superblock was healed");
  }
  // A headerless file of 1.x, here with a single page. It has to be asked for; the error says with which page size.
  auto page = pagedb::AlignedBuffer::allocate(size.bytes());
  if (!page) return 1;
  pagedb::seal(page->span(), {.id = pagedb::PageId{0}});
  if (!put(path, {reinterpret_cast<const char*>(page->data()), page->size()}, true)) return 1;
  const auto refused = open({});
  if (refused || refused.error().code != pagedb::ErrorCode::headerless_file) return 1;
  std::printf("%s\n", refused.error().message().c_str());
  if (!open({.page_size = size, .legacy = true})) return 1;

  // Somebody's notes. They stay as they are.
  if (!put(path, "milk, bread, a new disk", true)) return 1;
  const auto notes = open({.page_size = size, .file_id = pagedb::FileId{std::byte{1}}});
  if (notes || notes.error().code != pagedb::ErrorCode::not_a_page_file) return 1;
  std::printf("%s\n", notes.error().message().c_str());
  return 0;
}

}  // namespace

int main() {
  const std::string path = "example_open_options." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
