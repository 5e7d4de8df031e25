// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Hostile bytes into `verify`, judged by a second reading of the format (engine/FORMAT.md) that shares no code with the
// engine.
//
// Input: a control byte (bits 0-1: page size 4 KiB << n; bit 2: a file tag is expected; bit 3: complete the checksum,
// so that the checks behind it are reached; bit 4: hand over only the bytes there are), the expected page id (one
// byte), then the page's bytes, zeros after them.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/page.h"
#include "fuzz/check.h"

namespace {

using pagedb::ErrorCode;
using pagedb::fuzz::require;

constexpr std::uint32_t kTag = 0x04030201;

std::uint64_t field(std::span<const std::byte> page, std::size_t offset, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = (value << 8) | std::to_integer<std::uint64_t>(page[offset + i]);
  return value;
}

std::uint32_t checksum(std::span<const std::byte> page) {
  std::uint32_t crc = 0xffffffffu;
  for (std::size_t i = 0; i < page.size(); ++i) {
    if (i >= 24 && i < 28) continue;
    crc ^= std::to_integer<std::uint32_t>(page[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

struct Expected {
  bool ok = false;
  ErrorCode code{};
};

Expected judge(std::span<const std::byte> page, std::size_t size, std::uint64_t id, bool tag) {
  if (page.size() != size) return {.code = ErrorCode::bad_length};
  if (field(page, 0, 4) != 0x42444750) {
    const bool zero = std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
    return {.code = zero ? ErrorCode::never_written : ErrorCode::bad_magic};
  }
  if (field(page, 4, 2) != 1) return {.code = ErrorCode::bad_version};
  if (field(page, 24, 4) != checksum(page)) return {.code = ErrorCode::bad_checksum};
  if (field(page, 8, 8) != id) return {.code = ErrorCode::wrong_page_id};
  const bool tagged = (field(page, 6, 2) & 2) != 0;
  if (tagged != tag || (tag && field(page, 28, 4) != kTag)) return {.code = ErrorCode::wrong_file};
  return {.ok = true};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span input(data, size);
  const std::uint8_t control = pagedb::fuzz::take_byte(input);
  const std::uint64_t id = pagedb::fuzz::take_byte(input);
  const std::size_t page_bytes = std::size_t{4096} << (control & 3);
  const bool tag = (control & 4) != 0;
  const pagedb::PageIdentity identity{.id = pagedb::PageId{id}, .file_tag = tag ? kTag : 0, .has_file_tag = tag};

  std::vector<std::byte> page(page_bytes);
  const std::size_t given = std::min(input.size(), page_bytes);
  if (given > 0) std::memcpy(page.data(), input.data(), given);
  if ((control & 8) != 0) {
    const std::uint32_t crc = checksum(page);
    std::memcpy(page.data() + 24, &crc, sizeof crc);
  }
  const auto bytes = std::span<const std::byte>(page).first((control & 16) != 0 ? given : page_bytes);

  const auto verified = pagedb::verify(bytes, *pagedb::PageSize::of(page_bytes), identity);
  const Expected expected = judge(bytes, page_bytes, id, tag);
  require(verified.has_value() == expected.ok, "verify and the format disagree on whether the page is sound");
  if (!verified) {
    require(verified.error().code == expected.code, "verify gives another error than the first check that fails");
    require(!verified.error().message().empty(), "an error without a message");
    return 0;
  }
  require(pagedb::page_crc(bytes) == verified->crc32c, "a sound page's checksum differs from its header's");
  if (tag || verified->reserved == 0) {
    std::vector<std::byte> again = page;
    pagedb::seal(again, identity, static_cast<std::uint16_t>(verified->flags & ~pagedb::page_flags::kFileTag));
    require(again == page, "sealing a sound page changed it");
  }
  return 0;
}
