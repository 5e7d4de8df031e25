// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Rows: 10,000 random dirty pages made durable, beside the bare writes and beside LMDB and SQLite.
#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/aligned_buffer.h"
#include "engine/buffer_pool.h"
#include "tools/benchmarks/disk_file.h"
#include "tools/benchmarks/measure.h"
#include "tools/benchmarks/pool/peers.h"
#include "tools/benchmarks/pool/rows.h"

namespace pagedb::bench {
namespace {

constexpr std::uint32_t kFilePages = 131'072;  // 512 MiB, in every file and table
constexpr std::uint32_t kDirty = 10'000;
constexpr unsigned kDepth = 128;
constexpr unsigned kRounds = 15;
constexpr unsigned kPeerRounds = 7;
constexpr std::size_t kPageBytes = 4096;

// `kDirty` different numbers below `bound`, in random order.
std::vector<std::uint32_t> choose(Sequence& sequence, std::uint32_t bound) {
  std::vector<bool> taken(bound);
  std::vector<std::uint32_t> chosen;
  while (chosen.size() < kDirty) {
    const std::uint32_t one = sequence.below(bound);
    if (taken[one]) continue;
    taken[one] = true;
    chosen.push_back(one);
  }
  return chosen;
}

// The bare minimum: the bytes of the pages in order of place, written with io_uring into a file that is all there, and
// one fdatasync.
class BareWriter {
 public:
  explicit BareWriter(const std::string& directory) : path_(directory + "/pool_bench.bare") {
    auto memory = AlignedBuffer::allocate(kDirty * kPageBytes);
    if (!memory) return;
    memory_ = std::move(*memory);
    std::memset(memory_.data(), 0x5A, memory_.size());
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0644);
    good_ = file_ >= 0 && ::io_uring_queue_init(kDepth, &ring_, 0) == 0;
    constexpr std::size_t kPiece = 1024 * kPageBytes;
    for (std::size_t at = 0; good_ && at < kFilePages * kPageBytes; at += kPiece) {
      good_ = ::pwrite(file_, memory_.data(), kPiece, static_cast<off_t>(at)) == static_cast<ssize_t>(kPiece);
    }
    good_ = good_ && ::fsync(file_) == 0;
  }
  ~BareWriter() {
    if (file_ >= 0) {
      ::io_uring_queue_exit(&ring_);
      ::close(file_);
    }
    std::remove(path_.c_str());
  }
  BareWriter(const BareWriter&) = delete;
  BareWriter& operator=(const BareWriter&) = delete;
  [[nodiscard]] bool good() const { return good_; }

  // Milliseconds, or a negative number on failure.
  double write(std::vector<std::uint32_t> ids) {
    const std::uint64_t begin = now_ns();
    std::sort(ids.begin(), ids.end());
    std::size_t started = 0;
    std::size_t finished = 0;
    while (finished < ids.size()) {
      while (started < ids.size() && started - finished < kDepth) {
        io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
        ::io_uring_prep_write(entry, file_, memory_.data() + started * kPageBytes, kPageBytes,
                              std::uint64_t{ids[started]} * kPageBytes);
        ++started;
      }
      if (::io_uring_submit_and_wait(&ring_, 1) < 0) return -1;
      io_uring_cqe* completion = nullptr;
      while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
        if (completion->res != static_cast<int>(kPageBytes)) return -1;
        ::io_uring_cqe_seen(&ring_, completion);
        ++finished;
      }
    }
    if (::fdatasync(file_) != 0) return -1;
    return static_cast<double>(now_ns() - begin) / 1e6;
  }

 private:
  std::string path_;
  AlignedBuffer memory_;
  int file_ = -1;
  io_uring ring_{};
  bool good_ = false;
};

struct Times {
  double change_ms = 0;      // changing the pages in memory
  double checkpoint_ms = 0;  // making them durable
};

bool pool_times(BufferPool& pool, std::span<const PageId> ids, std::span<const std::uint32_t> chosen,
                std::uint64_t& lsn, Times& times) {
  static const std::vector<std::byte> value(kPageBytes - kPageHeaderBytes, std::byte{0x33});
  const std::uint64_t begin = now_ns();
  for (const std::uint32_t one : chosen) {
    auto guard = pool.fetch_exclusive(ids[one]);
    if (!guard) return false;
    std::memcpy(payload(guard->write()).data(), value.data(), value.size());
    guard->set_lsn(Lsn{++lsn});
  }
  const std::uint64_t changed = now_ns();
  if (!pool.checkpoint(Lsn{++lsn})) return false;
  times.change_ms = static_cast<double>(changed - begin) / 1e6;
  times.checkpoint_ms = static_cast<double>(now_ns() - changed) / 1e6;
  return true;
}

struct Durable {
  std::string name;
  std::string package;
  std::unique_ptr<Database> database;
  double bound;
};

}  // namespace

void checkpoint_rows(Report& report, const std::string& directory) {
  report.section("10,000 random dirty pages of 4 KiB, of a file of 512 MiB, made durable; in turns");
  DiskFile disk(directory, kFilePages, kDepth);
  BareWriter bare(directory);
  if (!disk.good() || !bare.good()) return report.at_least("files to write to", 0, 1);
  auto made = BufferPool::create(disk.scheduler(), disk.file(), {.frames = kFilePages, .background_writer = false});
  if (!made) return report.say(made.error().message());
  BufferPool& pool = **made;
  for (std::size_t at = 0; at < disk.ids().size(); ++at) {  // all in memory, as the peers have it
    constexpr std::size_t kAhead = 1024;
    if (at % kAhead == 0) pool.prefetch(disk.ids().subspan(at, std::min(kAhead, disk.ids().size() - at)));
    if (!pool.fetch(disk.ids()[at])) return report.at_least("reads without error", 0, 1);
  }
  std::vector<Durable> databases;
  databases.push_back({"LMDB", "liblmdb-dev", make_lmdb_database(directory, kFilePages), 2});
  databases.push_back(
      {"SQLite, WAL, synchronous=FULL", "libsqlite3-dev", make_sqlite_database(directory, kFilePages), 3});
  const auto rows = static_cast<std::uint32_t>(disk.ids().size());

  Sequence sequence(8);
  std::uint64_t lsn = 0;
  std::vector<double> bare_ms, change_ms, checkpoint_ms, over_bare;
  std::vector<std::vector<double>> log_ms(databases.size()), commit_ms(databases.size()), tidy_ms(databases.size()),
      over_us(databases.size()), commit_over_us(databases.size()), all_over_us(databases.size());
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::vector<std::uint32_t> chosen = choose(sequence, rows);
    const double raw = bare.write(chosen);
    Times times;
    if (raw < 0 || !pool_times(pool, disk.ids(), chosen, lsn, times))
      return report.at_least("writes without error", 0, 1);
    bare_ms.push_back(raw);
    change_ms.push_back(times.change_ms);
    checkpoint_ms.push_back(times.checkpoint_ms);
    over_bare.push_back(times.checkpoint_ms / raw);
    for (std::size_t i = 0; i < databases.size() && round < kPeerRounds; ++i) {
      if (databases[i].database == nullptr) continue;
      std::uint64_t commit_ns = 0;
      const std::uint64_t begin = now_ns();
      if (!databases[i].database->replace(chosen, commit_ns)) return report.at_least("commits without error", 0, 1);
      const double logged = static_cast<double>(now_ns() - begin) / 1e6;
      databases[i].database->tidy();
      const double whole = static_cast<double>(now_ns() - begin) / 1e6;
      const double commit = static_cast<double>(commit_ns) / 1e6;
      log_ms[i].push_back(logged);
      commit_ms[i].push_back(commit);
      tidy_ms[i].push_back(whole - logged);
      over_us[i].push_back((commit + whole - logged) / times.checkpoint_ms);
      commit_over_us[i].push_back(commit / times.checkpoint_ms);
      all_over_us[i].push_back(whole / (times.change_ms + times.checkpoint_ms));
    }
  }
  report.figure("  bare: sorted writes at depth 128, one fdatasync", median(bare_ms), "ms");
  report.figure("  pool: checkpoint", median(checkpoint_ms), "ms");
  report.figure("  pool: changing the pages before that", median(change_ms), "ms");
  report.at_most("checkpoint over the bare writes and fdatasync", median(over_bare), 1.1);
  for (std::size_t i = 0; i < databases.size(); ++i) {
    if (databases[i].database == nullptr) {
      absent(report, databases[i].name, databases[i].package);
      continue;
    }
    report.say(
        text("  %s: changes and commit %.1f ms, of which the commit %.1f ms; bringing the pages to their place "
             "after that %.1f ms",
             databases[i].name.c_str(), median(log_ms[i]), median(commit_ms[i]), median(tidy_ms[i])));
    report.say(
        text("    commit alone over checkpoint %.2fx; everything, changes included, over changes and checkpoint %.2fx",
             median(commit_over_us[i]), median(all_over_us[i])));
    // Durable and in place, so that no log is needed any more: that is what our checkpoint leaves.
    report.at_least(databases[i].name + ": commit and log brought home, over checkpoint", median(over_us[i]),
                    databases[i].bound);
  }
  if (!pool.close()) report.at_least("a close without error", 0, 1);
}

}  // namespace pagedb::bench
