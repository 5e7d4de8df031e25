// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"
#include "sim/sanitizer.h"

namespace pagedb::sim {

using faults::FaultKind;
using faults::RequestKind;

static_assert(SimDisk::kCrashed == ESHUTDOWN);

/// One `run` of one caller.
struct SimDisk::Batch {
  TaskId task;
  struct Completion {
    std::size_t index;
    IoStatus status;
    const WriteRecord* record;  // to date its delivery; null for reads and refusals
  };
  std::vector<Completion> completions;
};

/// One request in flight, or one sync.
struct SimDisk::Request final : public TimedEvent {
  SimDisk* disk = nullptr;
  FileState* file = nullptr;
  Batch* batch = nullptr;  // null once the power has gone
  IoRequest io;
  std::size_t index = 0;
  std::uint64_t number = 0;
  WriteRecord* record = nullptr;
  FaultKind fault = FaultKind::count_;
  std::uint32_t detail = 0;
  std::uint16_t fiber = 0;
  bool busy = false;
  void fire() override { disk->fire(*this); }
};

class SimDisk::File final : public IoFile {
 public:
  File(SimDisk& disk, FileState& state, bool writer) : disk_(disk), state_(state), writer_(writer) {}
  ~File() override {
    const HarnessScope scope;
    if (writer_) state_.writer = false;
    disk_.trace(EventKind::close, &state_, 0, 0, 0);
  }

  IoLimits limits() const noexcept override {
    const HarnessScope scope;
    const faults::DeviceProfile& profile = *disk_.setup_.profile;
    return {profile.memory_align_bytes, profile.logical_sector_bytes, profile.queue_depth, profile.atomic_write_bytes};
  }

  IoResult<std::uint64_t> size() noexcept override {
    const HarnessScope scope;
    if (disk_.sealed_) return tl::unexpected(kCrashed);
    disk_.trace(EventKind::size, &state_, state_.length, 0, 0);
    return state_.length;
  }

  int resize(std::uint64_t bytes) noexcept override;
  int sync() noexcept override;
  void run(std::span<const IoRequest> requests, IoDone done) noexcept override;

 private:
  SimDisk& disk_;
  FileState& state_;
  bool writer_;
};

SimDisk::SimDisk() = default;
SimDisk::~SimDisk() = default;

void SimDisk::reset(const DiskSetup& setup) {
  setup_ = setup;
  for (auto& file : files_) spare_.push_back(std::move(file));
  files_.clear();
  for (const auto& request : requests_) {
    if (!request->busy) continue;
    PAGEDB_CHECK(request->batch == nullptr, "no request may be in flight when a disk starts again");
    request->busy = false;  // sealed: its event went with the scheduler
    idle_.push_back(request.get());
  }
  next_record_ = setup.first_record;
  next_request_ = 1;
  delivery_clock_ = change_clock_ = ios_ = io_bytes_ = 0;
  writes_in_flight_ = 0;
  sealed_ = false;
}

FileState& SimDisk::add_file() {
  if (spare_.empty()) spare_.push_back(std::make_unique<FileState>());
  files_.push_back(std::move(spare_.back()));
  spare_.pop_back();
  FileState& file = *files_.back();
  file.number = static_cast<std::uint32_t>(files_.size());
  file.path.clear();
  file.entry_durable = file.missing = file.writer = false;
  file.length = file.durable_length = file.newest_durable = 0;
  file.durable.reset(nullptr);
  file.current.reset(&file.durable);
  file.pending.clear();
  file.lengths.clear();
  return file;
}

const FileState* SimDisk::file(std::string_view path) const noexcept {
  for (const auto& file : files_) {
    if (!file->missing && file->path == path) return file.get();
  }
  return nullptr;
}

IoResult<std::unique_ptr<IoFile>> SimDisk::open(const std::string& path, Access access) noexcept {
  const HarnessScope scope;
  if (sealed_) return tl::unexpected(kCrashed);
  FileState* found = const_cast<FileState*>(file(path));
  const bool writer = access == Access::read_write;
  const int error = found == nullptr ? ENOENT : writer && found->writer ? EWOULDBLOCK : 0;
  trace(EventKind::open, found, static_cast<std::uint64_t>(error), writer ? 1 : 0, 0);
  if (error != 0) return tl::unexpected(error);
  if (writer) found->writer = true;
  return std::make_unique<File>(*this, *found, writer);
}

IoResult<std::unique_ptr<IoFile>> SimDisk::create(const std::string& path) noexcept {
  const HarnessScope scope;
  if (sealed_) return tl::unexpected(kCrashed);
  const bool exists = file(path) != nullptr;
  if (exists) {
    trace(EventKind::create, nullptr, EEXIST, 0, 0);
    return tl::unexpected(EEXIST);
  }
  FileState& made = add_file();
  made.path = path;
  made.writer = true;
  ++change_clock_;
  trace(EventKind::create, &made, 0, 0, 0);
  boundary();
  return std::make_unique<File>(*this, made, true);
}

int SimDisk::sync_directory(const std::string& path) noexcept {
  const HarnessScope scope;
  if (sealed_) return kCrashed;
  FileState* found = const_cast<FileState*>(file(path));
  const FaultKind fault = found != nullptr ? roll({RequestKind::Op::sync}, *found) : FaultKind::count_;
  int error = found == nullptr ? ENOENT : 0;
  if (fault == FaultKind::flush_failure || fault == FaultKind::transient_error) {
    error = fault == FaultKind::flush_failure ? EIO : EINTR;
    inject(fault, *found, 0, 0, error);
  }
  if (error == 0) {
    found->entry_durable = true;
    ++change_clock_;
  }
  trace(EventKind::sync_directory, found, static_cast<std::uint64_t>(error), 0, 0);
  boundary();
  return error;
}

void SimDisk::seal() {
  sealed_ = true;
  for (const auto& request : requests_) {
    if (!request->busy || request->batch == nullptr) continue;
    Batch& batch = *request->batch;
    request->batch = nullptr;  // its event still comes, and finds nobody
    batch.completions.push_back({request->index, {kCrashed, 0}, nullptr});
    setup_.scheduler->unpark(batch.task);
  }
  for (const TaskId task : syncing_) setup_.scheduler->unpark(task);
}

StateHash SimDisk::durable_hash() const noexcept {
  StateHash hash;
  for (const auto& file : files_) {
    if (file->missing) continue;
    // Terms of one file must not meet another's: sectors are numbered from each file's start.
    const StateHash medium = file->durable.hash();
    hash ^= hash_term(medium.low, medium.high, file->number);
    hash ^= hash_term(file->number, file->durable_length, file->entry_durable ? 3 : 2);
  }
  return hash;
}

std::uint16_t SimDisk::fiber() const noexcept {
  return acting_ != nullptr ? acting_->fiber : setup_.scheduler->fiber_number();
}

SimDisk::Request& SimDisk::take_request() {
  if (idle_.empty()) {
    requests_.push_back(std::make_unique<Request>());
    idle_.push_back(requests_.back().get());
  }
  Request& request = *idle_.back();
  idle_.pop_back();
  request.disk = this;
  request.record = nullptr;
  request.fault = FaultKind::count_;
  request.detail = 0;
  request.busy = true;
  request.number = next_request_++;
  request.fiber = setup_.scheduler->fiber_number();
  return request;
}

void SimDisk::submit(FileState& file, Batch& batch, const IoRequest& io, std::size_t index) {
  const faults::DeviceProfile& profile = *setup_.profile;
  const bool write = io.op == IoOp::write;
  const auto address = reinterpret_cast<std::uintptr_t>(io.data);
  if (io.size == 0 || io.offset % profile.logical_sector_bytes != 0 || io.size % profile.logical_sector_bytes != 0 ||
      address % profile.memory_align_bytes != 0 || io.offset + io.size < io.offset) {
    trace(write ? EventKind::submit_write : EventKind::submit_read, &file, 0, io.offset, EINVAL);
    batch.completions.push_back({index, {EINVAL, 0}, nullptr});
    return;
  }

  Request& request = take_request();
  request.file = &file;
  request.batch = &batch;
  request.io = io;
  request.index = index;
  const std::uint32_t sectors = static_cast<std::uint32_t>(io.size / profile.logical_sector_bytes);
  request.fault = roll(
      {write ? RequestKind::Op::write : RequestKind::Op::read, write && io.offset + io.size > file.length, sectors > 1},
      file);
  if (request.fault != FaultKind::count_) request.detail = fault_detail(request.fault, sectors);

  if (write) {
    WriteRecord* record = setup_.arena->record();
    record->id = next_record_++;
    record->file = file.number;
    record->offset = record->intended = io.offset;
    record->size = static_cast<std::uint32_t>(io.size);
    if (request.fault == FaultKind::short_transfer) record->size = request.detail * profile.logical_sector_bytes;
    std::byte* bytes = setup_.arena->allocate(io.size);
    std::memcpy(bytes, io.data, io.size);
    record->bytes = bytes;
    // Ids of a crash image's writes come again in its siblings, so there the bytes belong to a write's identity.
    if (setup_.depth != 0) record->content = digest({bytes, io.size});
    if (!send_astray(*record, request.fault, file)) request.fault = FaultKind::count_;
    request.record = record;
    if (setup_.observer != nullptr) setup_.observer->write_submitted(*record);
    trace(EventKind::submit_write, &file, request.number, io.offset, record->tag);
    if (request.fault == FaultKind::dropped_write) {
      inject(FaultKind::dropped_write, file, io.offset, record->size, 0, record->id, io.offset);
    } else if (record->misdirected()) {
      inject(FaultKind::misdirected_write, file, record->offset, record->size, 0, record->id, io.offset);
    }
    const bool nothing_lands = request.fault == FaultKind::no_space || request.fault == FaultKind::transient_error ||
                               request.fault == FaultKind::dropped_write;
    if (!nothing_lands) {
      file.pending.push_back({.record = record});
      if (record->offset + record->size > file.length)
        file.lengths.push_back({.bytes = record->offset + record->size, .record = record->id});
      ++writes_in_flight_;
      ++change_clock_;
    }
  } else {
    trace(EventKind::submit_read, &file, request.number, io.offset, io.size);
  }
  setup_.scheduler->at(setup_.scheduler->now() + latency(write ? profile.write_latency_ns : profile.read_latency_ns),
                       request);
  boundary();
}

void SimDisk::fire(Request& request) {
  if (request.batch == nullptr) {  // the power went in between
    request.busy = false;
    idle_.push_back(&request);
    return;
  }
  FileState& file = *request.file;
  IoStatus status;
  acting_ = &request;
  if (request.record != nullptr) {
    perform_write(request, request.fault, status);
    trace(EventKind::done_write, &file, request.number, status.bytes | static_cast<std::uint64_t>(status.error) << 32,
          request.record->tag);
  } else {
    perform_read(request, status);
    const WriteRecord* first = file.current.record(request.io.offset / kSectorBytes);
    trace(EventKind::done_read, &file, request.number, status.bytes | static_cast<std::uint64_t>(status.error) << 32,
          first != nullptr ? first->tag : 0);
  }
  acting_ = nullptr;
  ++ios_;
  io_bytes_ += status.bytes;
  complete(request, status);
}

void SimDisk::complete(Request& request, IoStatus status) {
  Batch& batch = *request.batch;
  batch.completions.push_back({request.index, status, request.record});
  request.busy = false;
  request.batch = nullptr;
  idle_.push_back(&request);
  boundary();
  setup_.scheduler->unpark(batch.task);
}

void SimDisk::perform_write(Request& request, FaultKind fault, IoStatus& status) {
  FileState& file = *request.file;
  const WriteRecord& record = *request.record;
  if (std::memcmp(record.bytes, request.io.data, request.io.size) != 0 && setup_.observer != nullptr) {
    setup_.observer->write_memory_changed(record);
  }
  const auto refuse = [&](int error) {
    status = {error, 0};
    inject(fault, file, request.io.offset, request.io.size, error, record.id);
  };
  if (fault == FaultKind::no_space) return refuse(ENOSPC);
  if (fault == FaultKind::transient_error) return refuse(request.detail != 0 ? EAGAIN : EINTR);
  if (fault == FaultKind::dropped_write) {
    status = {0, record.size};
    return;
  }

  --writes_in_flight_;
  ++change_clock_;
  const auto pending = std::find_if(file.pending.begin(), file.pending.end(),
                                    [&](const PendingWrite& w) { return w.record == &record; });
  PAGEDB_CHECK(pending != file.pending.end(), "a write in flight is pending");
  pending->completed = true;
  const std::uint32_t sectors = record.size / kSectorBytes;
  pending->visible_sectors = sectors;
  if (fault == FaultKind::write_error) {
    pending->failed = true;
    // A prefix, or all of it, may have reached the cache before the error; a crash may still find more of it, or less.
    pending->visible_sectors = request.detail * (setup_.profile->logical_sector_bytes / kSectorBytes);
    refuse(EIO);
  } else {
    status = {0, record.size};
    if (fault == FaultKind::short_transfer) inject(fault, file, record.offset, record.size, 0, record.id);
  }
  const std::uint64_t end = record.offset + std::uint64_t{pending->visible_sectors} * kSectorBytes;
  for (std::uint64_t at = record.offset; at < end; at += kSectorBytes) {
    if (!file.current.newer(at / kSectorBytes, record)) file.current.put(at / kSectorBytes, &record);
  }
  if (pending->visible_sectors != 0) file.length = std::max(file.length, end);
  if (pending->failed) {  // what it did to the length, the process sees; nobody promised more
    std::erase_if(file.lengths, [&](const PendingLength& l) { return l.record == record.id && end == record.offset; });
    for (PendingLength& length : file.lengths) {
      if (length.record == record.id) length.bytes = end;
    }
  }

  const bool durable_at_once = !setup_.profile->volatile_cache || setup_.profile->power_loss_protection;
  if (durable_at_once && !pending->failed) {
    // As if a sync followed that covers this write. What file systems do to lengths, they do in order.
    const std::uint64_t now = ++delivery_clock_;
    file.deliver(record, now);
    file.promote(now);
  }
}

void SimDisk::perform_read(Request& request, IoStatus& status) {
  FileState& file = *request.file;
  const IoRequest& io = request.io;
  if (request.fault == FaultKind::transient_error || request.fault == FaultKind::read_error) {
    const int error = request.fault == FaultKind::read_error ? EIO : request.detail != 0 ? EAGAIN : EINTR;
    status = {error, 0};
    inject(request.fault, file, io.offset, io.size, error);
    return;
  }
  std::size_t size = io.offset >= file.length
                         ? 0
                         : static_cast<std::size_t>(std::min<std::uint64_t>(io.size, file.length - io.offset));
  if (request.fault == FaultKind::short_transfer && size == io.size) {
    size = request.detail * setup_.profile->logical_sector_bytes;
    inject(request.fault, file, io.offset, size, 0);
  }
  std::uint64_t bad_sector = 0;
  if (!file.current.read(io.offset, {io.data, size}, bad_sector)) {
    status = {EIO, 0};
    return;
  }
  if (writes_in_flight_ > 0) {
    // A read that races a write may see any mixture of their sectors.
    for (const PendingWrite& write : file.pending) {
      if (write.completed) continue;
      for (std::uint64_t at = write.record->offset; at < write.record->offset + write.record->size;
           at += kSectorBytes) {
        if (at < io.offset || at + kSectorBytes > io.offset + size) continue;
        if (file.current.newer(at / kSectorBytes, *write.record)) continue;
        if (setup_.choices->draw(setup_.span, Site::overlap, 2) == 1) {
          std::memcpy(io.data + (at - io.offset), write.record->bytes + (at - write.record->offset), kSectorBytes);
        }
      }
    }
  }
  status = {0, size};
}

int SimDisk::perform_sync(FileState& file, std::uint64_t submitted_at, FaultKind fault) {
  ++change_clock_;
  if (fault == FaultKind::transient_error) {
    inject(fault, file, 0, 0, EINTR);
    return EINTR;
  }
  if (fault == FaultKind::flush_failure) {
    if (setup_.profile->failed_flush == faults::FailedFlush::drop) {
      for (PendingWrite& write : file.pending) {
        if (write.delivered != 0 && write.delivered <= submitted_at) write.dropped = true;
      }
    }
    inject(fault, file, 0, 0, EIO);
    return EIO;
  }
  file.promote(submitted_at);
  return 0;
}

int SimDisk::File::resize(std::uint64_t bytes) noexcept {
  const HarnessScope scope;
  if (disk_.sealed_) return kCrashed;
  if (!writer_) return EINVAL;  // as ftruncate answers
  const FaultKind fault = disk_.roll({RequestKind::Op::resize, bytes > state_.length, false}, state_);
  int error = 0;
  if (fault == FaultKind::no_space && bytes > state_.length) {
    error = ENOSPC;
    disk_.inject(fault, state_, 0, 0, error);
  } else {
    if (bytes < state_.length) state_.current.cut((bytes + kSectorBytes - 1) / kSectorBytes);
    state_.length = bytes;
    state_.lengths.push_back({bytes, 0, ++disk_.delivery_clock_, disk_.next_record_});
    ++disk_.change_clock_;
  }
  disk_.trace(EventKind::resize, &state_, bytes, static_cast<std::uint64_t>(error), 0);
  disk_.boundary();
  return error;
}

int SimDisk::File::sync() noexcept {
  const HarnessScope scope;
  if (disk_.sealed_) return kCrashed;
  const FaultKind fault = disk_.roll({RequestKind::Op::sync}, state_);
  const std::uint64_t submitted_at = disk_.delivery_clock_;
  const std::uint64_t number = disk_.next_request_++;
  disk_.trace(EventKind::sync_begin, &state_, number, 0, 0);
  disk_.boundary();
  const Time until = disk_.setup_.scheduler->now() + disk_.latency(disk_.setup_.profile->sync_latency_ns);
  disk_.syncing_.push_back(disk_.setup_.scheduler->current());
  while (!disk_.sealed_ && disk_.setup_.scheduler->now() < until) disk_.setup_.scheduler->park(until);
  disk_.syncing_.erase(std::find(disk_.syncing_.begin(), disk_.syncing_.end(), disk_.setup_.scheduler->current()));
  if (disk_.sealed_) return kCrashed;
  const int error = disk_.perform_sync(state_, submitted_at, fault);
  disk_.trace(EventKind::sync_end, &state_, number, static_cast<std::uint64_t>(error), 0);
  disk_.boundary();
  return error;
}

void SimDisk::File::run(std::span<const IoRequest> requests, IoDone done) noexcept {
  const HarnessScope scope;
  Batch batch;
  batch.task = disk_.setup_.scheduler->current();
  batch.completions.reserve(std::min<std::size_t>(requests.size(), disk_.setup_.profile->queue_depth));
  std::vector<Batch::Completion> ready;
  ready.reserve(batch.completions.capacity());
  std::size_t next = 0, delivered = 0;
  const std::size_t depth = disk_.setup_.profile->queue_depth;
  while (delivered < requests.size()) {
    while (next < requests.size() && next - delivered < depth) {
      if (disk_.sealed_) {
        batch.completions.push_back({next, {kCrashed, 0}, nullptr});
      } else if (requests[next].op == IoOp::write && !writer_) {
        batch.completions.push_back({next, {EBADF, 0}, nullptr});
      } else {
        disk_.submit(state_, batch, requests[next], next);
      }
      ++next;
    }
    while (batch.completions.empty()) disk_.setup_.scheduler->park(kForever);
    ready.swap(batch.completions);
    for (const Batch::Completion& completion : ready) {
      if (completion.record != nullptr) state_.deliver(*completion.record, ++disk_.delivery_clock_);
      {
        const EngineScope engine;
        done(completion.index, completion.status);
      }
      ++delivered;
    }
    ready.clear();
  }
}

}  // namespace pagedb::sim
