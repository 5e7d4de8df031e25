// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Redo: 1,000,000 changes of 24 bytes, ten for each of 100,000 pages of a file of 262,144, in random order; beside the
// bare reads and writes of those pages on a file of the same size, by one thread at depth and by as many as redo.
//
// Each round changes the pages on, so that none of it has been redone before. The log is in memory: what reading one
// costs is the log's business.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/recovery.h"
#include "tools/benchmarks/disk_file.h"
#include "tools/benchmarks/recovery/rows.h"

namespace pagedb::bench {
namespace {

constexpr std::uint64_t kFilePages = 262'144;
constexpr std::size_t kPages = 100'000;
constexpr std::size_t kRecords = 1'000'000;
constexpr std::size_t kBatch = 256;
constexpr unsigned kTasks = 4;
constexpr unsigned kDepth = 64;
constexpr unsigned kRoundsMax = 5;
constexpr std::uint64_t kEnoughNs =
    60'000'000'000;  // after which no other round begins: disks of virtual machines may be slow
constexpr std::size_t kPageBytes = 4096;

[[noreturn]] void refused(const std::string& what) {
  std::fprintf(stderr, "recovery_bench: %s\n", what.c_str());
  std::exit(3);
}

struct Change {
  std::uint32_t offset;
  std::byte bytes[24];
};

/// Changes of random ones of the pages, from one LSN on.
class Log final : public RedoSource {
 public:
  Log(std::span<const PageId> pages, std::vector<Lsn>& newest, std::uint64_t first, Sequence& random) {
    records_.reserve(kRecords);
    for (std::size_t i = 0; i < kRecords; ++i) {
      const std::uint32_t page = random.below(kPages);
      Record record{.page = pages[page], .lsn = Lsn{first + i}, .previous = newest[page], .change = {}};
      record.change.offset = static_cast<std::uint32_t>(kPageHeaderBytes + random.below(4000));
      std::memset(record.change.bytes, static_cast<int>(i & 0xFF), sizeof record.change.bytes);
      newest[page] = record.lsn;
      records_.push_back(record);
    }
  }
  Result<std::optional<RedoRecord>> next() noexcept override {
    if (at_ == records_.size()) return std::nullopt;
    const Record& record = records_[at_++];
    return RedoRecord{.kind = RedoKind::change,
                      .page = record.page,
                      .lsn = record.lsn,
                      .previous = record.previous,
                      .body = std::as_bytes(std::span(&record.change, 1))};
  }

 private:
  struct Record {
    PageId page;
    Lsn lsn, previous;
    Change change;
  };
  std::vector<Record> records_;
  std::size_t at_ = 0;
};

Result<void> apply(const RedoRecord& record, std::span<std::byte> page) {
  Change change;
  std::memcpy(&change, record.body.data(), sizeof change);
  std::memcpy(page.data() + change.offset, change.bytes, sizeof change.bytes);
  return {};
}

/// The bare file.
class Floor {
 public:
  Floor(const std::string& directory, Scheduler& scheduler) : path_(directory + "/floor.bytes"), scheduler_(scheduler) {
    std::remove(path_.c_str());
    auto backend = UringIo::make({.queue_depth = kDepth});
    if (!backend) refused("no io_uring");
    backend_ = std::move(*backend);
    auto file = backend_->create(path_);
    if (!file) refused(path_ + ": cannot be created");
    file_ = std::move(*file);
    auto memory = AlignedBuffer::allocate(kTasks * kBatch * kPageBytes);
    if (!memory) refused("no memory");
    memory_ = std::move(*memory);
    std::memset(memory_.data(), 0x5A, memory_.size());
    for (std::uint64_t at = 0; at < kFilePages * kPageBytes; at += memory_.size()) {
      const IoRequest request{IoOp::write, at, memory_.data(), memory_.size()};
      if (!whole({&request, 1})) refused(path_ + ": cannot be filled");
    }
    if (file_->sync() != 0) refused(path_ + ": sync failed");
  }
  ~Floor() {
    file_.reset();
    std::remove(path_.c_str());
  }

  /// Reads and writes each page once, by `threads` threads.
  void run(std::span<const PageId> pages, unsigned threads) {
    std::atomic<std::size_t> next{0};
    const auto work = [&](unsigned thread) {
      for (std::size_t at; (at = next.fetch_add(kBatch)) < pages.size();) {
        const auto batch = pages.subspan(at, std::min(kBatch, pages.size() - at));
        transfer(IoOp::read, batch, thread);
        transfer(IoOp::write, batch, thread);
      }
    };
    std::vector<TaskId> tasks;
    for (unsigned i = 1; i < threads; ++i) tasks.push_back(scheduler_.spawn("floor", [&work, i] { work(i); }));
    work(0);
    for (const TaskId task : tasks) scheduler_.join(task);
    if (file_->sync() != 0) refused(path_ + ": sync failed");
  }

 private:
  bool whole(std::span<const IoRequest> requests) {
    bool good = true;
    file_->run(requests,
               [&](std::size_t i, IoStatus status) { good &= status.error == 0 && status.bytes == requests[i].size; });
    return good;
  }
  void transfer(IoOp op, std::span<const PageId> pages, unsigned thread) {
    std::vector<IoRequest> requests;
    std::byte* const memory = memory_.data() + thread * kBatch * kPageBytes;
    for (std::size_t i = 0; i < pages.size(); ++i)
      requests.push_back({op, pages[i].value * kPageBytes, memory + i * kPageBytes, kPageBytes});
    if (!whole(requests)) refused(path_ + ": a transfer failed");
  }

  std::string path_;
  Scheduler& scheduler_;
  std::unique_ptr<UringIo> backend_;
  std::unique_ptr<IoFile> file_;
  AlignedBuffer memory_;
};

}  // namespace

void redo_rows(Report& report, const std::string& directory) {
  report.section(
      "Redo of 1,000,000 changes of 24 bytes on 100,000 random pages of a file of 1 GiB, O_DIRECT, io_uring");
  DiskFile disk(directory, kFilePages, kDepth);
  if (!disk.good()) refused("the page file cannot be made");
  Floor floor(directory, disk.scheduler());

  Sequence random(42);
  std::vector<PageId> pages(disk.ids().begin(), disk.ids().end());
  for (std::size_t i = 0; i < kPages; ++i)
    std::swap(pages[i], pages[i + random.below(static_cast<std::uint32_t>(pages.size() - i))]);
  pages.resize(kPages);
  std::ranges::sort(pages);

  std::vector<Lsn> newest(kPages);
  std::vector<double> ratios, rates, floors_s[2];
  RecoveryReport last;
  const std::uint64_t started = now_ns();
  for (unsigned round = 0; round < kRoundsMax && (round == 0 || now_ns() - started < kEnoughNs); ++round) {
    Log log(pages, newest, 1 + std::uint64_t{round} * kRecords, random);
    double bare_s[2];
    for (const unsigned threads : {1u, kTasks}) {
      const std::uint64_t begin = now_ns();
      floor.run(pages, threads);
      bare_s[threads != 1] = static_cast<double>(now_ns() - begin) / 1e9;
      floors_s[threads != 1].push_back(bare_s[threads != 1]);
    }
    const std::uint64_t begin = now_ns();
    const auto recovered =
        recover(disk.scheduler(), disk.file(), log, apply, {.redo_memory = std::size_t{256} << 20, .tasks = kTasks});
    const double seconds = static_cast<double>(now_ns() - begin) / 1e9;
    if (!recovered) refused(recovered.error().message());
    if (!recovered->complete() || recovered->changes_applied != kRecords) refused("not all of it was redone");
    rates.push_back(static_cast<double>(kRecords) / seconds);
    ratios.push_back(seconds / std::min(bare_s[0], bare_s[1]));
    last = *recovered;
  }
  report.figure("  bare reads and writes of the pages, by one thread at depth", median(floors_s[0]), "s");
  report.figure("  the same by four threads", median(floors_s[1]), "s");
  report.figure("records redone", median(rates), "1/s");
  report.say(text("  %llu pages read, %llu written, in each of %zu rounds",
                  static_cast<unsigned long long>(last.pages_scanned),
                  static_cast<unsigned long long>(last.pages_redone), ratios.size()));
  report.at_most("recovery, time over the quicker of the two", median(ratios), 2.0);
}

}  // namespace pagedb::bench
