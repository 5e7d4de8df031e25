// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimDisk: an IoBackend in memory and virtual time that does what its device profile says, no better and no worse.
//
// A write is acknowledged into a volatile cache. A sync covers the writes of its file whose completion was delivered
// before the sync was submitted; the floors rise only when it succeeds. Everything above the floor is at the mercy of
// `crash_image` (sim/crash.h). What a process reads decides nothing about what a crash leaves. Requests that break the
// alignment rules are refused with EINVAL, always. Memory of a write must not change while it is in flight: a change is
// reported to the observer. Syncing is the only thing that makes anything durable: not closing, not reading, not
// waiting.
//
// Trace events (a, b, c): submit_read, submit_write: request, offset, size (read) or the observer's tag (write);
// done_read, done_write: request, bytes | errno << 32, tag of the first sector read (read) or of the write; sync_begin:
// request; sync_end: request, errno; open, create: errno; resize: bytes, errno.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/backend.h"
#include "faults/ledger.h"
#include "faults/plan.h"
#include "faults/profile.h"
#include "sim/choices.h"
#include "sim/file_state.h"
#include "sim/media.h"
#include "sim/sim_scheduler.h"
#include "sim/trace.h"

namespace pagedb::sim {

/// Watches a disk: the oracle's eyes, and where crashes are taken.
class DiskObserver {
 public:
  virtual ~DiskObserver() = default;
  /// A write is about to be queued. The observer may set `record.tag`.
  virtual void write_submitted(WriteRecord& /*record*/) {}
  /// A fault was injected into a request. `index` is its place in the disk's ledger.
  virtual void fault_injected(std::uint32_t /*index*/, const faults::InjectedFault& /*fault*/) {}
  /// A caller changed the memory of a write while it was in flight.
  virtual void write_memory_changed(const WriteRecord& /*record*/) {}
  /// An I/O was just submitted or has just completed: a crash may come here.
  virtual void boundary() {}
};

/// What a disk is made of and reports to. All pointers outlive the disk, or its next `reset`.
struct DiskSetup {
  SimScheduler* scheduler{};
  Choices* choices{};
  Trace* trace{};
  const faults::DeviceProfile* profile{};
  const faults::FaultPlan* plan{};  ///< what is injected into requests
  std::string faulty_path{};        ///< ... of this file only; empty: of every file
  faults::Ledger* ledger{};         ///< where it is entered
  Arena* arena{};                   ///< where the bytes of writes live
  DiskObserver* observer{};
  Span span{};             ///< whose decisions these are
  std::uint8_t depth = 0;  ///< 0: the workload's disk; 1: a recovery's; 2: a nested recovery's. For traces, and for the
                           ///< identity of writes
  std::uint64_t first_record =
      1;  ///< id of the first write, so that the ids of a crash image go on where its origin stopped
};

class SimDisk final : public IoBackend {
 public:
  SimDisk();
  ~SimDisk() override;

  /// Starts again, without files, as `setup` says. No file may be open. Unless it was sealed, no request may be in
  /// flight; if it was, the scheduler that it had must be gone.
  void reset(const DiskSetup& setup);

  // IoBackend
  IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override;
  IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override;
  int sync_directory(const std::string& path) noexcept override;

  /// The errno of everything after the power went.
  static constexpr int kCrashed = 108;  // ESHUTDOWN

  /// The power goes, or the simulation is stuck: from here on every call answers kCrashed without effect, and every
  /// waiter is woken.
  void seal();
  /// Whether it was: nothing that the disk said since then is worth judging.
  [[nodiscard]] bool sealed() const noexcept { return sealed_; }

  /// Damages a sector of a file's durable medium that some write has put there; false when there is none. Decisions
  /// come from `span`.
  bool damage_something(Span& span, FileState& file, faults::FaultKind kind);

  /// The file of that path, or null. For the oracle, which judges by what the medium holds.
  [[nodiscard]] const FileState* file(std::string_view path) const noexcept;
  [[nodiscard]] const std::vector<std::unique_ptr<FileState>>& files() const noexcept { return files_; }
  [[nodiscard]] std::vector<std::unique_ptr<FileState>>& files() noexcept { return files_; }

  /// Adds a file in the given state; for crash images.
  FileState& add_file();

  /// Identity of all that is durable.
  [[nodiscard]] StateHash durable_hash() const noexcept;
  /// Transfers completed since `reset`.
  [[nodiscard]] std::uint64_t ios() const noexcept { return ios_; }
  /// Bytes moved by them.
  [[nodiscard]] std::uint64_t io_bytes() const noexcept { return io_bytes_; }
  /// Id that the next write will get.
  [[nodiscard]] std::uint64_t next_record() const noexcept { return next_record_; }
  /// Changes whenever something happens that a crash could see.
  [[nodiscard]] std::uint64_t change_clock() const noexcept { return change_clock_; }
  [[nodiscard]] const DiskSetup& setup() const noexcept { return setup_; }

 private:
  class File;
  struct Request;
  struct Batch;

  Request& take_request();
  void submit(FileState& file, Batch& batch, const IoRequest& request, std::size_t index);
  void fire(Request& request);
  void complete(Request& request, IoStatus status);
  void perform_write(Request& request, faults::FaultKind fault, IoStatus& status);
  void perform_read(Request& request, IoStatus& status);
  int perform_sync(FileState& file, std::uint64_t submitted_at, faults::FaultKind fault);
  faults::FaultKind roll(const faults::RequestKind& kind, FileState& file);
  /// What else there is to decide about a fault that hits a request of `sectors` logical sectors.
  std::uint32_t fault_detail(faults::FaultKind fault, std::uint32_t sectors);
  /// Where a write that is misdirected or dropped goes. False: it goes where it was sent after all.
  bool send_astray(WriteRecord& record, faults::FaultKind fault, const FileState& file);
  std::uint32_t inject(faults::FaultKind kind, const FileState& file, std::uint64_t offset, std::uint64_t size,
                       int sys_errno, std::uint64_t record = 0, std::uint64_t intended = 0);
  Time latency(std::uint32_t base_ns);
  [[nodiscard]] std::uint16_t fiber() const noexcept;
  void trace(EventKind kind, const FileState* file, std::uint64_t a, std::uint64_t b, std::uint64_t c);
  void boundary() {
    if (setup_.observer != nullptr) setup_.observer->boundary();
  }

  DiskSetup setup_;
  std::vector<std::unique_ptr<FileState>> files_;   // in creation order
  std::vector<std::unique_ptr<FileState>> spare_;   // of earlier lives, with their memory
  std::vector<std::unique_ptr<Request>> requests_;  // all ever made
  std::vector<Request*> idle_;
  std::uint64_t next_record_ = 1;
  std::uint64_t next_request_ = 1;
  std::uint64_t delivery_clock_ = 0;
  std::uint64_t change_clock_ = 0;
  std::uint64_t ios_ = 0, io_bytes_ = 0;
  std::vector<TaskId> syncing_;  // tasks that wait for a sync
  std::uint32_t writes_in_flight_ = 0;
  const Request* acting_ = nullptr;  // whose completion is being worked on
  bool sealed_ = false;
};

}  // namespace pagedb::sim
