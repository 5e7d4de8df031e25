// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: create a page file, write a page and make it durable, close, open again and read it.
#include "engine/page_file.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <random>
#include <string_view>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/thread_scheduler.h"

namespace {

constexpr std::string_view kText = "the first row";
constexpr pagedb::PageId kPage{1};

int failed(const pagedb::PageError& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

// Tells the files of a system apart. A program would take it from /dev/urandom or getrandom.
pagedb::FileId new_id() {
  std::mt19937_64 numbers(static_cast<std::uint64_t>(::getpid()));
  pagedb::FileId id;
  for (std::byte& byte : id) byte = static_cast<std::byte>(numbers());
  return id;
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});  // drop the option for O_DIRECT
  const pagedb::PageSize size = *pagedb::PageSize::of(16384);
  auto page = pagedb::AlignedBuffer::allocate(size.bytes());
  if (!page) return failed(page.error());

  const pagedb::FileId id = new_id();
  {
    auto created = pagedb::PageFile::create(scheduler, disk, path, size, id);
    if (!created) return failed(created.error());
    pagedb::PageFile& file = **created;
    std::memcpy(pagedb::payload(page->span()).data(), kText.data(), kText.size());
    pagedb::set_page_lsn(page->span(), pagedb::Lsn{1});
    if (const auto written = file.write(kPage, page->span()); !written) return failed(written.error());
    if (const auto synced = file.sync(); !synced) return failed(synced.error());  // only now is it durable
  }

  {
    // What recovery starts from: pages are durable as of log record 1, so the log may be cut below 2.
    auto again = pagedb::PageFile::open(scheduler, disk, path);
    if (!again) return failed(again.error());
    if (const auto allowed = (*again)->may_write(kPage); !allowed) return failed(allowed.error());
    if (const auto done = (*again)->commit_redo_from(pagedb::Lsn{2}); !done) return failed(done.error());
  }

  // The file knows its page size. Saying what one expects turns a mix-up into an error.
  auto opened = pagedb::PageFile::open(scheduler, disk, path, {.access = pagedb::Access::read_only, .page_size = size});
  if (!opened) return failed(opened.error());
  pagedb::PageFile& file = **opened;
  std::printf("%llu pages of %u bytes, generation %llu\n", static_cast<unsigned long long>(file.page_count()),
              file.page_size().bytes(), static_cast<unsigned long long>(file.generation()));
  const auto header = file.read(kPage, page->span());
  if (!header) return failed(header.error());
  if (header->lsn != 1 || std::memcmp(pagedb::payload(page->span()).data(), kText.data(), kText.size()) != 0) return 1;

  // What cannot be had is an error of its own.
  if (!file.is_reserved(pagedb::PageId{0}) ||
      file.read(pagedb::PageId{0}, page->span()).error().code != pagedb::ErrorCode::reserved_page) {
    return 1;
  }
  const auto unwritten = file.read(pagedb::PageId{2}, page->span());
  if (unwritten || unwritten.error().code != pagedb::ErrorCode::never_written) return 1;
  if (file.write(kPage, page->span()).error().code != pagedb::ErrorCode::read_only) return 1;
  if (file.redo_from() != pagedb::Lsn{2}) return 1;
  return file.file_id() == id && !file.poisoned() ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_page_file." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
