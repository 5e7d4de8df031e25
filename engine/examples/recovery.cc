// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: recovery. The log is the caller's; here it is a list in memory that a "crash" does not touch. Shown: a log
// as a RedoSource, changes in terms of one's own, allocations, and what the report says of a page that lost a write.
#include "engine/recovery.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/page_allocator.h"
#include "engine/page_file.h"
#include "engine/thread_scheduler.h"

namespace {

using pagedb::Lsn;
using pagedb::PageId;
using pagedb::RedoKind;
using pagedb::RedoRecord;

// A change of this program: a number is added to the page's first word.
struct Record {
  RedoKind kind{};
  PageId page{};
  Lsn lsn{};
  Lsn previous{};
  std::uint64_t add = 0;
  std::vector<std::byte> image{};
};

class Log final : public pagedb::RedoSource {
 public:
  explicit Log(const std::vector<Record>& records) : records_(records) {}

  pagedb::Result<std::optional<RedoRecord>> next() noexcept override {
    if (at_ == records_.size()) return std::nullopt;
    const Record& record = records_[at_++];
    RedoRecord out{.kind = record.kind, .page = record.page, .lsn = record.lsn, .previous = record.previous};
    if (record.kind == RedoKind::image) out.body = record.image;
    if (record.kind == RedoKind::change) out.body = std::as_bytes(std::span(&record.add, 1));
    return out;
  }

 private:
  const std::vector<Record>& records_;
  std::size_t at_ = 0;
};

pagedb::Result<void> add(const RedoRecord& record, std::span<std::byte> page) {
  std::uint64_t word = 0, number = 0;
  if (record.body.size() != sizeof number) return pagedb::failure({.code = pagedb::ErrorCode::bad_length});
  std::memcpy(&word, pagedb::payload(page).data(), sizeof word);
  std::memcpy(&number, record.body.data(), sizeof number);
  word += number;
  std::memcpy(pagedb::payload(page).data(), &word, sizeof word);
  return {};
}

int example(const std::string& path) {
  pagedb::ThreadScheduler scheduler;
  pagedb::DirectIo disk({.caching = pagedb::Caching::buffered});
  auto file = pagedb::PageFile::create(scheduler, disk, path, pagedb::PageSize(), pagedb::FileId{std::byte{1}});
  if (!file) return 1;

  // Page 2 is in the log only. Page 3 should be on disk with LSN 15, and is not: its disk lost that write.
  const std::vector<Record> records = {
      {.kind = RedoKind::allocate, .page = PageId{2}, .lsn = Lsn{10}},
      {.kind = RedoKind::image, .page = PageId{2}, .lsn = Lsn{11}, .image = std::vector<std::byte>(4096)},
      {.kind = RedoKind::change, .page = PageId{2}, .lsn = Lsn{12}, .previous = Lsn{11}, .add = 40},
      {.kind = RedoKind::change, .page = PageId{2}, .lsn = Lsn{13}, .previous = Lsn{12}, .add = 2},
      {.kind = RedoKind::change, .page = PageId{3}, .lsn = Lsn{16}, .previous = Lsn{15}, .add = 1},
  };
  Log log(records);
  auto allocator = pagedb::PageAllocator::open(**file, {.redo = true});
  if (!allocator) return 1;
  const auto report = pagedb::recover(scheduler, **file, log, add, {.allocation = allocator->get()});
  if (!report) {
    std::fprintf(stderr, "%s\n", report.error().message().c_str());
    return 1;
  }
  (*allocator)->redo_done();

  std::printf("%llu pages redone, %llu lost writes\n", static_cast<unsigned long long>(report->pages_redone),
              static_cast<unsigned long long>(report->lost_writes));
  for (const pagedb::DamagedPage& page : report->unrecoverable) {
    const std::string why(pagedb::name(page.why));
    std::printf("page %llu must not be used: %s\n", static_cast<unsigned long long>(page.page.value), why.c_str());
  }
  auto memory = pagedb::AlignedBuffer::allocate(4096);
  std::uint64_t word = 0;
  if (!memory || !(*file)->read(PageId{2}, memory->span())) return 1;
  std::memcpy(&word, pagedb::payload(memory->span()).data(), sizeof word);
  return word == 42 && report->unrecoverable.size() == 1 && (*allocator)->is_allocated(PageId{2}) == true ? 0 : 1;
}

}  // namespace

int main() {
  const std::string path = "example_recovery." + std::to_string(::getpid());
  const int result = example(path);
  ::unlink(path.c_str());
  return result;
}
