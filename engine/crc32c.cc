// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// CRC32C: the ISA-L path, the table path, and the choice between them.
#include "engine/crc32c.h"

#include <isa-l/crc.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <array>

#include "engine/internal/crc32c_paths.h"

namespace pagedb {
namespace {

// One byte at a time. Quicker tables (slicing by 8 or 16) need 8 to 16 KiB of the first-level cache, which belong to
// the database; and every CPU that a database runs on today takes the other path. What counts here is that this one is
// short enough to be seen to be right.
constexpr std::array<std::uint32_t, 256> kTable = [] {
  constexpr std::uint32_t kReflectedPolynomial = 0x82F63B78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? kReflectedPolynomial : 0);
    table[byte] = remainder;
  }
  return table;
}();

// ISA-L 2.30 returns from its AVX-512 code with the upper halves of the vector registers dirty. Every SSE instruction
// that follows then waits for them, which costs a caller more than the checksum did.
#if defined(__x86_64__)
[[gnu::target("avx")]] void clean_upper_halves() noexcept { __builtin_ia32_vzeroupper(); }
#endif

}  // namespace

namespace detail {

std::uint32_t crc32c_portable(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  std::uint32_t remainder = ~crc;
  for (const std::byte byte : bytes) {
    remainder = kTable[(remainder ^ static_cast<std::uint32_t>(byte)) & 0xff] ^ (remainder >> 8);
  }
  return ~remainder;
}

std::uint32_t crc32c_isal(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // ISA-L takes the length as an int
  std::uint32_t remainder = ~crc;
  do {
    const auto part = bytes.first(std::min(bytes.size(), kMost));
    // ISA-L declares its input without const but only reads it.
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(part.data()));
    remainder = crc32_iscsi(data, static_cast<int>(part.size()), remainder);
    bytes = bytes.subspan(part.size());
  } while (!bytes.empty());
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx")) clean_upper_halves();
#endif
  return ~remainder;
}

bool crc32c_has_instructions() noexcept {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#else
  return false;
#endif
}

}  // namespace detail

std::uint32_t crc32c_extend(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  static const detail::Crc32cPath path =
      detail::crc32c_has_instructions() ? detail::crc32c_isal : detail::crc32c_portable;
  return path(crc, bytes);
}

}  // namespace pagedb
