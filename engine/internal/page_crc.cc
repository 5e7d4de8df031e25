// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Page checksums, in pieces and in one pass.
#include "engine/internal/page_crc.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <array>
#include <bit>
#include <cstring>

#include "engine/crc32c.h"
#include "engine/internal/crc32c_paths.h"
#include "engine/page.h"

namespace pagedb::detail {
namespace {

constexpr std::size_t kCrcOffset = offsetof(PageHeader, crc32c);
constexpr std::size_t kAfterCrc = kCrcOffset + sizeof(PageHeader::crc32c);
static_assert(kCrcOffset == 24, "the one pass takes the header as three words and a half before, and a half after");

}  // namespace

std::uint32_t page_crc_in_pieces(std::span<const std::byte> page) noexcept {
  return crc32c_extend(crc32c(page.first(kCrcOffset)), page.subspan(kAfterCrc));
}

#if defined(__x86_64__)
namespace {

// Polynomials over GF(2) modulo the CRC's, reflected: the top bit is the coefficient of x^0.
constexpr std::uint32_t times_x(std::uint32_t a) { return (a >> 1) ^ ((a & 1) != 0 ? 0x82F63B78 : 0); }

constexpr std::uint32_t times(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (; b != 0; b <<= 1, a = times_x(a)) {
    if ((b & 0x80000000) != 0) product ^= a;
  }
  return product;
}

constexpr std::uint32_t x_to_the(std::uint64_t power) {
  std::uint32_t result = 0x80000000;
  for (std::uint32_t square = 0x40000000; power != 0; power >>= 1, square = times(square, square)) {
    if ((power & 1) != 0) result = times(result, square);
  }
  return result;
}

// For each page size, x^(8 |B|), less 33: multiplying two reflected 32-bit words without carry and reducing the product
// with the CRC instruction multiplies by x^33.
constexpr auto kShifts = [] {
  constexpr int kSizes = std::countr_zero(PageSize::kMaxBytes) - std::countr_zero(PageSize::kMinBytes) + 1;
  std::array<std::uint32_t, kSizes> shifts{};
  std::uint64_t bytes = PageSize::kMinBytes;
  for (std::uint32_t& shift : shifts) {
    shift = x_to_the(8 * (bytes - kAfterCrc) - 33);
    bytes *= 2;
  }
  return shifts;
}();

}  // namespace

[[gnu::target("sse4.2,pclmul")]] std::uint32_t page_crc_in_one_pass(std::span<const std::byte> page) noexcept {
  std::array<std::uint64_t, 4> header;
  std::memcpy(header.data(), page.data(), sizeof header);
  std::uint64_t before = 0xFFFFFFFF;
  for (std::size_t i = 0; i < 3; ++i) before = _mm_crc32_u64(before, header[i]);
  const auto without = static_cast<std::uint32_t>(before);
  const std::uint32_t with = _mm_crc32_u32(without, static_cast<std::uint32_t>(header[3]));

  const std::uint32_t shift = kShifts[static_cast<std::size_t>(std::countr_zero(page.size() / PageSize::kMinBytes))];
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(without ^ with)),
                                               _mm_cvtsi32_si128(static_cast<int>(shift)), 0);
  const auto correction =
      static_cast<std::uint32_t>(_mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(product))));
  return crc32c_isal(0, page) ^ correction;
}

bool page_crc_has_one_pass() noexcept { return crc32c_has_instructions(); }
#else
std::uint32_t page_crc_in_one_pass(std::span<const std::byte> page) noexcept { return page_crc_in_pieces(page); }

bool page_crc_has_one_pass() noexcept { return false; }
#endif

}  // namespace pagedb::detail
