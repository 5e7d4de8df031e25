// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/redo_log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"
#include "scenarios/reference_page.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kSoundBytes = 2 * kBlock;   // head and image
constexpr std::size_t kRecordBytes = 3 * kBlock;  // and a gap: see the head of redo_log.h
constexpr std::uint64_t kMagic = 0x474f4c4f44455221u;
constexpr std::size_t kTransferBytes = 256 * 1024;

/// The head of a record as it stands in its first block; the rest of that block is zero.
struct Head {
  std::uint64_t magic;
  std::uint64_t position;
  std::uint64_t page;
  std::uint64_t lsn;
  std::uint64_t redo_from;
  std::uint32_t kind;
  std::uint32_t crc;
};
static_assert(sizeof(Head) == 48);

std::uint32_t crc_of(Head head, std::span<const std::byte> image) {
  head.crc = 0;
  return reference_crc32c(reference_crc32c(0, std::as_bytes(std::span(&head, 1))), image);
}

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

}  // namespace

std::unique_ptr<RedoLog> RedoLog::create(Scheduler& scheduler, IoBackend& backend, const std::string& path) {
  auto file = backend.create(path);
  if (!file || (*file)->sync() != 0 || backend.sync_directory(path) != 0) return nullptr;
  return std::unique_ptr<RedoLog>(new RedoLog(scheduler, std::move(*file)));
}

std::uint64_t RedoLog::append(RedoKind kind, PageId page, std::uint64_t lsn, std::uint64_t redo_from,
                              std::span<const std::byte> image) {
  Head head{.magic = kMagic,
            .position = appended_,
            .page = page.value,
            .lsn = lsn,
            .redo_from = redo_from,
            .kind = static_cast<std::uint32_t>(kind),
            .crc = 0};
  const std::size_t at = staged_.size();
  staged_.resize(at + kRecordBytes);
  if (!image.empty()) std::memcpy(staged_.data() + at + kBlock, image.data(), kImageBytes);
  head.crc = crc_of(head, std::span<const std::byte>(staged_).subspan(at + kBlock, kImageBytes));
  std::memcpy(staged_.data() + at, &head, sizeof head);
  appended_ += kRecordBytes;
  return appended_;
}

std::uint64_t RedoLog::append_image(PageId page, std::uint64_t lsn, std::span<const std::byte> image) {
  PAGEDB_CHECK(image.size() == kImageBytes, "the reference log knows pages of 4 KiB");
  return append(RedoKind::image, page, lsn, 0, image);
}

std::uint64_t RedoLog::append_checkpoint(std::uint64_t redo_from) {
  return append(RedoKind::checkpoint, {}, 0, redo_from, {});
}

bool RedoLog::write_out() {
  const std::uint64_t end = appended_, begin = end - staged_.size();
  auto memory = AlignedBuffer::allocate(staged_.size());
  PAGEDB_CHECK(memory.has_value(), "the harness needs memory for the log");
  std::memcpy(memory->data(), staged_.data(), staged_.size());
  staged_.clear();
  if (!transfer(*file_, IoOp::write, begin, memory->span()) || file_->sync() != 0) return false;
  durable_ = end;
  return true;
}

bool RedoLog::ensure_durable(std::uint64_t position) {
  while (durable_ < position && !failed_) {
    if (committing_) {
      waiting_.push_back(scheduler_.current());
      scheduler_.park(kForever);
      continue;
    }
    committing_ = true;
    failed_ = !write_out();
    committing_ = false;
    std::vector<TaskId> woken;
    woken.swap(waiting_);
    for (const TaskId task : woken) scheduler_.unpark(task);
  }
  return !failed_;
}

bool RedoReader::read(IoBackend& backend, const std::string& path) {
  records_.clear();
  auto file = backend.open(path, Access::read_only);
  if (!file) return file.error() == ENOENT;
  const auto length = (*file)->size();
  if (!length) return false;
  const std::size_t bytes = static_cast<std::size_t>(*length / kRecordBytes * kRecordBytes);
  if (bytes == 0) return true;
  auto memory = AlignedBuffer::allocate(bytes);
  PAGEDB_CHECK(memory.has_value(), "the harness needs memory for the log");
  memory_ = std::move(*memory);
  std::size_t end = bytes;
  if (!transfer(**file, IoOp::read, 0, memory_.span())) {
    // Sectors that were being written when the power went may be unreadable: a torn tail as well.
    for (end = 0; end < bytes; end += kRecordBytes) {
      if (!transfer(**file, IoOp::read, end, memory_.span().subspan(end, kSoundBytes))) break;
    }
  }
  for (std::size_t at = 0; at < end; at += kRecordBytes) {
    Head head;
    std::memcpy(&head, memory_.data() + at, sizeof head);
    const std::span<const std::byte> image =
        std::span<const std::byte>(memory_.span()).subspan(at + kBlock, RedoLog::kImageBytes);
    if (head.magic != kMagic || head.position != at || head.crc != crc_of(head, image)) break;
    records_.push_back({static_cast<RedoKind>(head.kind), PageId{head.page}, head.lsn, head.redo_from, image});
  }
  return true;
}

}  // namespace pagedb::scenarios
