// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/reference_page.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace pagedb::scenarios {
namespace {

template <class T>
T load(std::span<const std::byte> bytes, std::size_t at) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t crc_by_bits(std::uint32_t state, std::span<const std::byte> bytes) noexcept {
  // Four bits at a time: 16 table entries, made from the reflected polynomial 0x82F63B78.
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 16> table{};
    for (std::uint32_t i = 0; i < 16; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 4; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78u : 0);
      table[i] = value;
    }
    return table;
  }();
  for (const std::byte byte : bytes) {
    state ^= static_cast<std::uint32_t>(byte);
    state = (state >> 4) ^ kTable[state & 15];
    state = (state >> 4) ^ kTable[state & 15];
  }
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc_by_instruction(std::uint32_t state,
                                                                   std::span<const std::byte> bytes) noexcept {
  std::uint64_t wide = state;
  while (bytes.size() >= 8) {
    wide = _mm_crc32_u64(wide, load<std::uint64_t>(bytes, 0));
    bytes = bytes.subspan(8);
  }
  state = static_cast<std::uint32_t>(wide);
  for (const std::byte byte : bytes) state = _mm_crc32_u8(state, static_cast<unsigned char>(byte));
  return state;
}
#endif

}  // namespace

std::uint32_t reference_crc32c(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~crc_by_instruction(~crc, bytes);
#endif
  return ~crc_by_bits(~crc, bytes);
}

bool all_zero(std::span<const std::byte> bytes) noexcept {
  return bytes.front() == std::byte{} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::optional<ReferencePage> decode_page(std::span<const std::byte> page) noexcept {
  if (page.size() < 4096) return std::nullopt;
  if (load<std::uint32_t>(page, 0) != 0x42444750u) return std::nullopt;  // "PGDB"
  if (load<std::uint16_t>(page, 4) != 1) return std::nullopt;
  const std::uint32_t crc = reference_crc32c(reference_crc32c(0, page.first(24)), page.subspan(28));
  if (crc != load<std::uint32_t>(page, 24)) return std::nullopt;
  return ReferencePage{.page_id = load<std::uint64_t>(page, 8),
                       .lsn = load<std::uint64_t>(page, 16),
                       .flags = load<std::uint16_t>(page, 6),
                       .reserved = load<std::uint32_t>(page, 28)};
}

std::optional<ReferenceSuperblock> decode_superblock_page(std::span<const std::byte> page,
                                                          std::uint64_t offset) noexcept {
  const auto sound = decode_page(page);
  if (!sound || (sound->flags & 3) != 3) return std::nullopt;  // metadata, file tag
  const auto body = page.subspan(32);
  if (std::memcmp(body.data(), "SUPERBLK", 8) != 0 || load<std::uint32_t>(body, 8) != 1) return std::nullopt;
  const auto page_size = load<std::uint32_t>(body, 12);
  if (page_size != page.size() || sound->page_id != offset / page_size) return std::nullopt;
  if (load<std::uint32_t>(body, 16) != sound->reserved)
    return std::nullopt;  // low half of the identity's first eight bytes
  return ReferenceSuperblock{.page_size = page_size,
                             .file_tag = sound->reserved,
                             .generation = load<std::uint64_t>(body, 32),
                             .redo_from = load<std::uint64_t>(body, 64),
                             .root_page = load<std::uint64_t>(body, 72),
                             .root_generation = load<std::uint64_t>(body, 80),
                             .root_crc32c = load<std::uint32_t>(body, 88)};
}

}  // namespace pagedb::scenarios
