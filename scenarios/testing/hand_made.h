// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Pages and superblocks made by hand from engine/FORMAT.md, with a checksum computed bit by bit: tests judge the
// oracle's reader by them without trusting it. Tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace pagedb::scenarios {

inline constexpr std::uint64_t kTwinOffset = std::uint64_t{1} << 20;
inline constexpr std::uint32_t kHandTag = 0x0D0C0B0A;

/// CRC32C as RFC 3720 defines it, one bit after another.
inline std::uint32_t crc32c_by_bits(std::uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
  }
  return ~crc;
}

template <class T>
void put(std::span<std::byte> bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

/// Sets the checksum of a page to what its bytes give.
inline void seal_by_hand(std::span<std::byte> page) {
  put(page, 24, crc32c_by_bits(crc32c_by_bits(0, page.first(24)), page.subspan(28)));
}

/// Writes a page's header and seals it; the payload stays.
inline void head_by_hand(std::span<std::byte> page, std::uint64_t id, std::uint64_t lsn, std::uint16_t flags,
                         std::uint32_t reserved) {
  put(page, 0, std::uint32_t{0x42444750});  // "PGDB"
  put(page, 4, std::uint16_t{1});
  put(page, 6, flags);
  put(page, 8, id);
  put(page, 16, lsn);
  put(page, 28, reserved);
  seal_by_hand(page);
}

/// The superblock of a file of pages of `page_size` bytes that stands at byte `offset`.
inline std::vector<std::byte> superblock_by_hand(std::uint64_t offset, std::uint64_t generation,
                                                 std::uint32_t page_size = 4096) {
  std::vector<std::byte> page(page_size);
  std::memcpy(page.data() + 32, "SUPERBLK", 8);
  put(page, 40, std::uint32_t{1});
  put(page, 44, page_size);
  put(page, 48, kHandTag);
  put(page, 52, std::uint32_t{0x11100F0E});
  put(page, 56, std::uint64_t{0x1918171615141312});
  put(page, 64, generation);
  head_by_hand(page, offset / page_size, 0, 3, kHandTag);
  return page;
}

}  // namespace pagedb::scenarios
