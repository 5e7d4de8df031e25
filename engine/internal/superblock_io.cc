// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Superblock slots to and from a file.
#include "engine/internal/superblock_io.h"

#include <algorithm>

#include "engine/check.h"
#include "engine/internal/all_zero.h"
#include "engine/io/transfer.h"

namespace pagedb {
namespace {

using Kind = SlotContent::Kind;

Kind kind_of_bytes(std::span<const std::byte> bytes) noexcept {
  if (detail::all_zero(bytes)) return Kind::nothing;
  return claims_superblock(bytes) ? Kind::damaged : Kind::foreign;
}

Result<AlignedBuffer> allocate_for(const IoFile& file, std::size_t bytes) noexcept {
  return AlignedBuffer::allocate(round_up(file, bytes),
                                 std::max<std::size_t>(AlignedBuffer::kAlignment, file.limits().memory_align));
}

}  // namespace

std::size_t round_up(const IoFile& file, std::size_t bytes) noexcept {
  const std::size_t align = file.limits().offset_align;
  return (bytes + align - 1) & ~(align - 1);
}

Result<void> read_bytes(IoFile& file, Scheduler& scheduler, std::uint64_t offset, std::size_t bytes,
                        std::span<std::byte> into) noexcept {
  const IoRequest request{.op = IoOp::read, .offset = offset, .data = into.data(), .size = round_up(file, bytes)};
  PAGEDB_CHECK(request.size <= into.size(), "room for the whole transfer");
  return transfer(file, scheduler, request, bytes);
}

Result<SlotContent> read_slot(IoFile& file, Scheduler& scheduler, std::uint64_t file_bytes,
                              SuperblockSlot slot) noexcept {
  const std::uint64_t offset = slot_offset(slot);
  if (file_bytes <= offset) return SlotContent{};
  const std::uint64_t available = file_bytes - offset;

  // The page size is not known yet. The first 4 KiB name it, and then the rest is read.
  auto front = allocate_for(file, PageSize::kMinBytes);
  if (!front) return failure(front.error());
  const std::size_t front_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(available, PageSize::kMinBytes));
  if (const auto read = read_bytes(file, scheduler, offset, front_bytes, front->span()); !read)
    return failure(read.error());
  const auto bytes = front->span().first(PageSize::kMinBytes);
  const std::optional<PageSize> size = superblock_page_size(bytes);
  if (!size || available < size->bytes()) return SlotContent{.kind = kind_of_bytes(bytes)};

  auto page = allocate_for(file, size->bytes());
  if (!page) return failure(page.error());
  if (const auto read = read_bytes(file, scheduler, offset, size->bytes(), page->span()); !read)
    return failure(read.error());
  const auto superblock = decode_superblock(page->span().first(size->bytes()), slot);
  if (superblock) return SlotContent{.kind = Kind::sound, .superblock = *superblock};
  if (superblock.error().code != ErrorCode::unknown_format) return SlotContent{.kind = Kind::damaged};
  return SlotContent{.kind = Kind::unknown, .format_version = superblock.error().actual};
}

Result<SlotWriter> SlotWriter::make(IoFile& file, Scheduler& scheduler, PageSize size) noexcept {
  auto page = allocate_for(file, size.bytes());
  if (!page) return failure(page.error());
  return SlotWriter(file, scheduler, std::move(*page));
}

Result<void> SlotWriter::write(const Superblock& superblock, SuperblockSlot slot, Barrier barrier) noexcept {
  const std::size_t bytes = superblock.page_size.bytes();
  encode_superblock(superblock, slot, page_.span().first(bytes));
  const IoRequest request{.op = IoOp::write, .offset = slot_offset(slot), .data = page_.data(), .size = bytes};
  if (const auto moved = transfer(*file_, *scheduler_, request); !moved)
    return failure(moved.error().about(slot_page(slot, superblock.page_size)));
  return barrier();
}

Result<void> SlotWriter::commit(const Superblock& superblock, SuperblockSlot& start, Barrier barrier) noexcept {
  const SuperblockSlot order[] = {start, other(start)};
  if (const auto durable = barrier(); !durable) return durable;
  for (const SuperblockSlot slot : order) {
    start = slot;
    if (const auto written = write(superblock, slot, barrier); !written) return written;
  }
  return {};
}

}  // namespace pagedb
