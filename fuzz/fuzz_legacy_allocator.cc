// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Hostile bytes as a 1.x file: reading its allocation agrees with a second reading that shares only `verify` with it,
// within a bound of I/O, and changes nothing.
//
// Input: a control byte (bit 0: pages of 8 KiB; bit 1: the file is the rest of the input; bit 2: each link is one byte,
// 255 for none), a byte for the pages of the file, one for the page that rots, if there is such a page, then 32 bytes
// of page 0's payload, and the link of each page from 1 on.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "engine/legacy_allocator.h"
#include "engine/page.h"
#include "engine/thread_scheduler.h"
#include "fuzz/check.h"
#include "fuzz/memory_backend.h"

namespace {

constexpr std::uint64_t kNone = ~std::uint64_t{0};

template <class T>
T take(std::span<const std::uint8_t>& input) {
  T value{};
  const std::size_t bytes = std::min(input.size(), sizeof value);
  if (bytes > 0) std::memcpy(&value, input.data(), bytes);
  input = input.subspan(bytes);
  return value;
}

std::vector<std::byte> make_file(std::uint8_t control, std::span<const std::uint8_t> input, std::size_t page_bytes) {
  std::vector<std::byte> file;
  if ((control & 2) != 0) {
    file.resize(input.size());
    if (!input.empty()) std::memcpy(file.data(), input.data(), input.size());
    return file;
  }
  const std::size_t pages = pagedb::fuzz::take_byte(input) % 64;
  const std::size_t rotten = pagedb::fuzz::take_byte(input);
  file.resize(pages * page_bytes);
  for (std::size_t id = 0; id < pages; ++id) {
    const auto page = std::span(file).subspan(id * page_bytes, page_bytes);
    if (id == 0) {
      const auto state = take<std::array<std::byte, 32>>(input);
      std::memcpy(pagedb::payload(page).data(), state.data(), state.size());
    } else {
      std::uint64_t next = kNone;
      if ((control & 4) == 0) {
        next = take<std::uint64_t>(input);
      } else if (const auto link = pagedb::fuzz::take_byte(input); link != 255) {
        next = link;
      }
      std::memcpy(pagedb::payload(page).data(), &next, sizeof next);
    }
    pagedb::seal(page, {.id = pagedb::PageId{id}});
    if (id == rotten) page.back() ^= std::byte{1};
  }
  return file;
}

/// The free pages, by a second reading; nothing when the file has no sound allocation.
std::optional<std::set<std::uint64_t>> read_again(const std::vector<std::byte>& file, pagedb::PageSize size) {
  const auto word = [&](std::uint64_t page, std::size_t at) {
    std::uint64_t value = 0;
    std::memcpy(&value, file.data() + page * size.bytes() + at, sizeof value);
    return value;
  };
  const auto sound = [&](std::uint64_t page) {
    return page < file.size() / size.bytes() &&
           pagedb::verify(std::span(file).subspan(page * size.bytes(), size.bytes()), size,
                          {.id = pagedb::PageId{page}})
               .has_value();
  };
  constexpr std::string_view kMagicAndVersion{"PGSB\1\0", 6};
  if (!sound(0) || std::memcmp(file.data() + 32, kMagicAndVersion.data(), kMagicAndVersion.size()) != 0)
    return std::nullopt;
  const std::uint64_t high_water = word(0, 48);
  if (high_water == 0 || high_water > (std::uint64_t{1} << 63) / size.bytes() - 1) return std::nullopt;
  std::set<std::uint64_t> free;
  std::uint64_t at = word(0, 40);
  for (; at != kNone; at = word(at, 32)) {
    if (at == 0 || at >= high_water || !sound(at) || !free.insert(at).second) return std::nullopt;
  }
  if (free.size() != word(0, 56)) return std::nullopt;
  return free;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pagedb::fuzz::require;
  std::span input(data, size);
  const std::uint8_t control = pagedb::fuzz::take_byte(input);
  const pagedb::PageSize page_size = *pagedb::PageSize::of((control & 1) != 0 ? 8192 : 4096);
  pagedb::fuzz::Memory memory{.bytes = make_file(control, input, page_size.bytes())};
  const std::vector<std::byte> before = memory.bytes;

  pagedb::ThreadScheduler scheduler;
  pagedb::fuzz::MemoryBackend backend(memory);
  const auto opened = pagedb::PageFile::open(
      scheduler, backend, "file", {.access = pagedb::Access::read_only, .page_size = page_size, .legacy = true});
  if (!opened) return 0;
  pagedb::PageFile& file = **opened;
  memory.transfers = 0;
  const auto allocation = pagedb::read_legacy_allocation(file);
  require(memory.transfers <= file.page_count(), "more reads than the file has pages");
  require(memory.bytes == before, "reading changed the file");

  const auto expected = read_again(memory.bytes, page_size);
  require(allocation.has_value() == expected.has_value(), "two readings differ in whether the allocation is sound");
  if (!allocation) {
    require(!allocation.error().message().empty(), "an error without a message");
    require(allocation.error().has_page || allocation.error().code == pagedb::ErrorCode::no_allocation,
            "an error that blames no page");
    return 0;
  }
  require(allocation->free_count() == expected->size(), "two readings count free pages differently");
  std::set<std::uint64_t> listed;
  for (auto id = allocation->next_free(pagedb::PageId{0}); id;
       id = allocation->next_free(pagedb::PageId{id->value + 1}))
    listed.insert(id->value);
  require(listed == *expected, "two readings differ in the free pages");
  return 0;
}
