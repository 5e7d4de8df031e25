// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/redo_log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "engine/check.h"
#include "scenarios/reference_page.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kMagic = 0x474f4c4f44455221u;
constexpr std::size_t kTransferBytes = 256 * 1024;
constexpr std::size_t kLsnAt = 16;  // in a page's header

/// The head of a record as it stands in its first block. A delta's bytes follow it; the rest of the block is zero.
struct Head {
  std::uint64_t magic;
  std::uint64_t position;
  std::uint64_t page;
  std::uint64_t lsn;
  std::uint64_t previous;
  std::uint64_t redo_from;
  std::uint32_t offset;
  std::uint32_t size;  // of the bytes of an image or delta
  std::uint32_t kind;
  std::uint32_t crc;
};
static_assert(sizeof(Head) == 64 && sizeof(Head) + RedoLog::kDeltaBytesMax <= kBlock);

std::uint32_t crc_of(Head head, std::span<const std::byte> bytes) {
  head.crc = 0;
  return reference_crc32c(reference_crc32c(0, std::as_bytes(std::span(&head, 1))), bytes);
}

/// Where in a record its bytes stand.
std::size_t bytes_at(std::uint32_t kind) {
  return kind == static_cast<std::uint32_t>(LogKind::delta) ? sizeof(Head) : kBlock;
}
/// What of a record has to be sound.
std::size_t sound_bytes(std::uint32_t kind) {
  return kind == static_cast<std::uint32_t>(LogKind::image) ? 2 * kBlock : kBlock;
}
/// And its gap: see the head of redo_log.h.
std::size_t record_bytes(std::uint32_t kind) { return sound_bytes(kind) + kBlock; }

/// Moves all of `memory` to or from `offset`; false at the first thing that is not as it should be.
bool transfer(IoFile& file, IoOp op, std::uint64_t offset, std::span<std::byte> memory) {
  std::vector<IoRequest> requests;
  for (std::size_t at = 0; at < memory.size(); at += kTransferBytes) {
    requests.push_back({op, offset + at, memory.data() + at, std::min(kTransferBytes, memory.size() - at)});
  }
  bool all = true;
  file.run(requests, [&](std::size_t index, IoStatus status) {
    all &= status.error == 0 && status.bytes == requests[index].size;
  });
  return all;
}

/// The record that stands at `at` of `log`, if a sound one does; `size` gets its length.
std::optional<LogRecord> decode(std::span<const std::byte> log, std::size_t at, std::size_t& size) {
  if (log.size() - at < 2 * kBlock) return std::nullopt;
  Head head;
  std::memcpy(&head, log.data() + at, sizeof head);
  if (head.magic != kMagic || head.position != at) return std::nullopt;
  size = record_bytes(head.kind);
  const std::size_t bytes_max =
      head.kind == static_cast<std::uint32_t>(LogKind::image) ? RedoLog::kImageBytes : RedoLog::kDeltaBytesMax;
  if (log.size() - at < size || head.size > bytes_max || head.offset > RedoLog::kImageBytes - head.size)
    return std::nullopt;
  const std::span<const std::byte> bytes = log.subspan(at + bytes_at(head.kind), head.size);
  if (head.crc != crc_of(head, bytes)) return std::nullopt;
  return LogRecord{.kind = static_cast<LogKind>(head.kind),
                   .page = PageId{head.page},
                   .lsn = head.lsn,
                   .previous = head.previous,
                   .redo_from = head.redo_from,
                   .offset = head.offset,
                   .bytes = bytes};
}

}  // namespace

std::unique_ptr<RedoLog> RedoLog::create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                         OnDurable on_durable) {
  auto file = backend.create(path);
  if (!file || (*file)->sync() != 0 || backend.sync_directory(path) != 0) return nullptr;
  return std::unique_ptr<RedoLog>(new RedoLog(scheduler, std::move(*file), std::move(on_durable)));
}

std::uint64_t RedoLog::append(const LogRecord& record) {
  const auto kind = static_cast<std::uint32_t>(record.kind);
  Head head{.magic = kMagic,
            .position = appended_,
            .page = record.page.value,
            .lsn = record.lsn,
            .previous = record.previous,
            .redo_from = record.redo_from,
            .offset = static_cast<std::uint32_t>(record.offset),
            .size = static_cast<std::uint32_t>(record.bytes.size()),
            .kind = kind,
            .crc = 0};
  const std::size_t at = staged_.size();
  staged_.resize(at + record_bytes(kind));
  const std::span<std::byte> bytes = std::span(staged_).subspan(at + bytes_at(kind), record.bytes.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), record.bytes.data(), bytes.size());
  if (record.kind == LogKind::image) std::memcpy(bytes.data() + kLsnAt, &record.lsn, sizeof record.lsn);
  head.crc = crc_of(head, bytes);
  std::memcpy(staged_.data() + at, &head, sizeof head);
  const std::uint64_t begin = appended_;
  appended_ += record_bytes(kind);
  if (record.lsn != 0) places_.push_back({record.lsn, begin, appended_});
  return appended_;
}

std::uint64_t RedoLog::append_image(PageId page, std::uint64_t lsn, std::uint64_t previous,
                                    std::span<const std::byte> image) {
  PAGEDB_CHECK(image.size() == kImageBytes, "the reference log knows pages of 4 KiB");
  return append({.kind = LogKind::image, .page = page, .lsn = lsn, .previous = previous, .bytes = image});
}

std::uint64_t RedoLog::append_delta(PageId page, std::uint64_t lsn, std::uint64_t previous, std::size_t offset,
                                    std::span<const std::byte> bytes) {
  PAGEDB_CHECK(bytes.size() <= kDeltaBytesMax, "a delta fits into its head's block");
  return append(
      {.kind = LogKind::delta, .page = page, .lsn = lsn, .previous = previous, .offset = offset, .bytes = bytes});
}

std::uint64_t RedoLog::append_checkpoint(std::uint64_t redo_from) {
  return append({.kind = LogKind::checkpoint, .redo_from = redo_from});
}

bool RedoLog::write_out(std::uint64_t end) {
  const std::uint64_t begin = appended_ - staged_.size();
  const auto size = static_cast<std::size_t>(end - begin);
  auto memory = AlignedBuffer::allocate(size);
  PAGEDB_CHECK(memory.has_value(), "the harness needs memory for the log");
  std::memcpy(memory->data(), staged_.data(), size);
  staged_.erase(staged_.begin(), staged_.begin() + static_cast<std::ptrdiff_t>(size));
  if (!transfer(*file_, IoOp::write, begin, memory->span()) || file_->sync() != 0) return false;
  durable_ = end;
  for (const Place& place : places_) {
    if (place.end <= durable_) durable_lsn_ = std::max(durable_lsn_, place.lsn);
  }
  if (on_durable_) on_durable_(durable_lsn_);
  return true;
}

bool RedoLog::commit(std::uint64_t position, bool whole_group) {
  while (durable_ < position && !failed_) {
    if (committing_) {
      waiting_.push_back(scheduler_.current());
      scheduler_.park(kForever);
      continue;
    }
    committing_ = true;
    failed_ = !write_out(whole_group ? appended_ : position);
    committing_ = false;
    std::vector<TaskId> woken;
    woken.swap(waiting_);
    for (const TaskId task : woken) scheduler_.unpark(task);
  }
  return !failed_;
}

Result<void> RedoLog::ensure_durable(Lsn lsn) noexcept {
  const sim::HarnessScope scope;
  if (lsn.value <= durable_lsn_) return {};
  std::uint64_t position = appended_;
  for (auto place = places_.rbegin(); place != places_.rend() && place->lsn >= lsn.value; ++place)
    position = place->end;
  if (commit(position, false)) return {};
  return failure(PageError{.code = ErrorCode::io_error, .sys_errno = EIO});
}

bool RedoLog::cut(std::uint64_t lsn) {
  std::uint64_t end = cut_;
  while (!places_.empty() && places_.front().lsn < lsn && places_.front().end <= durable_) {
    end = places_.front().end;
    places_.pop_front();
  }
  if (end == cut_) return true;
  auto zeros = AlignedBuffer::allocate(static_cast<std::size_t>(end - cut_ - kBlock));
  PAGEDB_CHECK(zeros.has_value(), "the harness needs memory for the log");
  std::memset(zeros->data(), 0, zeros->span().size());
  const std::uint64_t begin = cut_;
  cut_ = end;
  return transfer(*file_, IoOp::write, begin, zeros->span());  // not the last gap: its neighbour is needed
}

bool RedoReader::read(IoBackend& backend, const std::string& path, std::uint64_t first) {
  records_.clear();
  auto file = backend.open(path, Access::read_only);
  if (!file) return file.error() == ENOENT;
  const auto length = (*file)->size();
  if (!length) return false;
  const std::size_t bytes = static_cast<std::size_t>(*length / kBlock * kBlock);
  if (bytes == 0) return true;
  auto memory = AlignedBuffer::allocate(bytes);
  PAGEDB_CHECK(memory.has_value(), "the harness needs memory for the log");
  memory_ = std::move(*memory);
  if (!transfer(**file, IoOp::read, 0, memory_.span())) {
    // Sectors that were being written when the power went may be unreadable: a torn record, or a cut one, as well.
    for (std::size_t at = 0; at < bytes; at += kBlock) {
      const std::span<std::byte> block = memory_.span().subspan(at, kBlock);
      if (!transfer(**file, IoOp::read, at, block)) std::memset(block.data(), 0, kBlock);
    }
  }
  std::size_t at = 0, size = 0;
  const std::span<const std::byte> log = memory_.span();
  if (first != 0) {
    for (; at < bytes; at += kBlock) {
      const auto record = decode(log, at, size);
      if (record && record->lsn == first) break;
    }
  }
  while (at < bytes) {
    const auto record = decode(log, at, size);
    if (!record) break;
    records_.push_back(*record);
    at += size;
  }
  return true;
}

}  // namespace pagedb::scenarios
