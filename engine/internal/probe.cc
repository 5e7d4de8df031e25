// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Guessing page sizes by which checksums hold.
#include "engine/internal/probe.h"

#include <algorithm>

#include "engine/aligned_buffer.h"
#include "engine/internal/all_zero.h"
#include "engine/internal/superblock_io.h"
#include "engine/page.h"

namespace pagedb {
namespace {

// A sound page among these says what the file is, so that one rotten page 0 does not hide it.
constexpr std::uint64_t kPagesToTry = 4;

bool looks_like_first_page(std::span<const std::byte> front) noexcept {
  if (front.size() < kPageHeaderBytes) return false;
  const PageHeader header = read_header(front);
  return header.magic == kPageMagic && header.version == kPageVersion && header.page_id == 0 &&
         (header.flags & page_flags::kFileTag) == 0;
}

}  // namespace

Evidence look_at(std::span<const std::byte> front, std::uint64_t file_bytes) noexcept {
  Evidence evidence;
  evidence.blank = file_bytes <= kBlankBytesMax && detail::all_zero(front);
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes && !evidence.headerless; bytes *= 2) {
    const PageSize size = *PageSize::of(bytes);
    for (std::uint64_t id = 0; id < kPagesToTry && (id + 1) * bytes <= front.size(); ++id) {
      const auto page = front.subspan(id * bytes, bytes);
      const PageHeader header = read_header(page);
      const bool tagged = (header.flags & page_flags::kFileTag) != 0;
      if (header.magic != kPageMagic) continue;
      if (!verify(page, size, {.id = PageId{id}, .file_tag = header.reserved, .has_file_tag = tagged})) continue;
      if (!tagged) evidence.headerless = size;
      evidence.tagged = evidence.tagged || tagged;
    }
  }
  evidence.headerless_head = looks_like_first_page(front);
  return evidence;
}

namespace {

/// Reads the first bytes of a file that cannot be read as a whole; gives the first error. What cannot be read is
/// neither blank nor a sound page: it must not hide what the rest of the file shows.
Result<std::optional<PageError>> read_around(IoFile& file, Scheduler& scheduler, std::size_t bytes,
                                             std::span<std::byte> front) noexcept {
  std::optional<PageError> unreadable;
  const std::size_t step = std::max<std::size_t>(PageSize::kMinBytes, file.limits().offset_align);
  for (std::size_t at = 0; at < bytes; at += step) {
    const auto piece = front.subspan(at, std::min(step, front.size() - at));
    const auto read = read_bytes(file, scheduler, at, std::min(step, bytes - at), piece);
    if (read) continue;
    if (read.error().code != ErrorCode::io_error) return failure(read.error());
    if (!unreadable) unreadable = read.error();
    std::fill(piece.begin(), piece.end(), std::byte{0xff});
  }
  return unreadable;
}

}  // namespace

Result<Evidence> probe(IoFile& file, Scheduler& scheduler, std::uint64_t file_bytes) noexcept {
  if (file_bytes == 0) return look_at({}, 0);
  const auto bytes = static_cast<std::size_t>(std::min(file_bytes, kBlankBytesMax));
  auto front = AlignedBuffer::allocate(round_up(file, bytes),
                                       std::max<std::size_t>(AlignedBuffer::kAlignment, file.limits().memory_align));
  if (!front) return failure(front.error());
  std::optional<PageError> unreadable;
  if (const auto whole = read_bytes(file, scheduler, 0, bytes, front->span()); !whole) {
    if (whole.error().code != ErrorCode::io_error) return failure(whole.error());
    const auto pieces = read_around(file, scheduler, bytes, front->span());
    if (!pieces) return failure(pieces.error());
    unreadable = *pieces;
  }
  Evidence evidence = look_at(front->span().first(bytes), file_bytes);
  evidence.unreadable = unreadable;
  return evidence;
}

}  // namespace pagedb
