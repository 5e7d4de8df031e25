// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Hostile bytes as a whole file: opening it is Ok or a typed error, within a bound of I/O, and a refused file is
// unchanged.
//
// Input: a control byte (bit 0: read_write; bit 1: legacy; bits 2-3: expected page size none, 4, 8 or 16 KiB; bits 4
// and 5: seal the first slot, the twin; bit 6: the twin is a copy of the first; bit 7: the file ends with the input), a
// byte for the length (pages of 4 KiB after the twin's first sector), then the bytes of the first slot, at most 4096,
// and those of the twin.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/page_file.h"
#include "engine/superblock.h"
#include "engine/thread_scheduler.h"
#include "fuzz/check.h"
#include "fuzz/memory_backend.h"

namespace {

constexpr std::size_t kSlotBytes = 4096;

// Completes the page that stands in `slot` so that it verifies, at the page size that it names.
void seal_slot(std::vector<std::byte>& file, pagedb::SuperblockSlot slot) {
  const std::span<std::byte> rest = std::span(file).subspan(pagedb::slot_offset(slot));
  std::uint32_t page_bytes = 0;
  pagedb::FileId id{};
  std::memcpy(&page_bytes, rest.data() + pagedb::kPageHeaderBytes + offsetof(pagedb::SuperblockPayload, page_size),
              sizeof page_bytes);
  std::memcpy(id.data(), rest.data() + pagedb::kPageHeaderBytes + offsetof(pagedb::SuperblockPayload, file_id),
              sizeof id);
  const auto size = pagedb::PageSize::of(page_bytes);
  if (!size || size->bytes() > rest.size()) return;
  pagedb::seal(rest.first(size->bytes()),
               {.id = pagedb::slot_page(slot, *size), .file_tag = pagedb::file_tag(id), .has_file_tag = true},
               pagedb::page_flags::kMetadata);
}

std::vector<std::byte> make_file(std::uint8_t control, std::span<const std::uint8_t> input) {
  const std::size_t pages = pagedb::fuzz::take_byte(input) % 64;
  std::vector<std::byte> file;
  const auto place = [&](std::size_t at, std::span<const std::uint8_t> bytes) {
    if (!bytes.empty()) std::memcpy(file.data() + at, bytes.data(), bytes.size());
  };
  if ((control & 128) != 0) {
    file.resize(input.size());
    place(0, input);
    return file;
  }
  file.resize(pagedb::kTwinOffset + 512 + pages * 4096);
  const auto first = input.first(std::min(input.size(), kSlotBytes));
  const auto rest = (control & 64) != 0 ? first : input.subspan(first.size());
  place(0, first);
  place(pagedb::kTwinOffset, rest.first(std::min(rest.size(), file.size() - pagedb::kTwinOffset)));
  if ((control & 16) != 0) seal_slot(file, pagedb::SuperblockSlot::first);
  if ((control & 32) != 0) seal_slot(file, pagedb::SuperblockSlot::twin);
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pagedb::fuzz::require;
  std::span input(data, size);
  const std::uint8_t control = pagedb::fuzz::take_byte(input);
  pagedb::fuzz::Memory memory{.bytes = make_file(control, input)};
  const std::vector<std::byte> before = memory.bytes;

  pagedb::ThreadScheduler scheduler;
  pagedb::fuzz::MemoryBackend backend(memory);
  pagedb::OpenOptions options;
  options.access = (control & 1) != 0 ? pagedb::Access::read_write : pagedb::Access::read_only;
  options.legacy = (control & 2) != 0;
  if ((control & 12) != 0) options.page_size = pagedb::PageSize::of(std::uint64_t{2048} << ((control >> 2) & 3));
  if (options.legacy && !options.page_size) options.page_size = pagedb::PageSize{};

  const auto opened = pagedb::PageFile::open(scheduler, backend, "file", options);
  require(memory.transfers <= 64, "opening a file takes more I/O than its metadata accounts for");
  if (!opened || options.access == pagedb::Access::read_only)
    require(memory.bytes == before, "a file that was refused, or opened to read, changed");
  if (!opened) {
    require(!opened.error().message().empty(), "an error without a message");
    return 0;
  }
  pagedb::PageFile& file = **opened;
  require(!options.page_size || file.page_size() == *options.page_size, "a file of another page size was accepted");
  require(file.page_count() <= memory.bytes.size() / file.page_size().bytes(), "more pages than the file has");
  auto page = pagedb::AlignedBuffer::allocate(file.page_size().bytes());
  require(page.has_value(), "no memory for a page");
  for (std::uint64_t id = 0; id < std::min<std::uint64_t>(file.page_count() + 1, 4); ++id) {
    const auto read = file.read(pagedb::PageId{id}, page->span());
    if (!read) require(!read.error().message().empty(), "an error without a message");
  }
  return 0;
}
