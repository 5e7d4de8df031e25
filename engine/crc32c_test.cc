// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// CRC32C against the published check value, against the definition bit by bit, and each path against the other.
#include "engine/crc32c.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>
#include <vector>

#include "engine/internal/crc32c_paths.h"

namespace pagedb {
namespace {

constexpr std::size_t kLongest = 4200;
constexpr std::size_t kAlignments = 64;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

// The definition: polynomial division, one bit at a time. CRCs of all prefixes of `bytes`.
std::vector<std::uint32_t> crcs_of_prefixes(std::span<const std::byte> bytes) {
  std::vector<std::uint32_t> crcs{0};
  std::uint32_t remainder = 0xFFFFFFFF;
  for (const std::byte byte : bytes) {
    remainder ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) * 0x82F63B78);
    crcs.push_back(remainder ^ 0xFFFFFFFF);
  }
  return crcs;
}

struct Path {
  const char* name;
  detail::Crc32cPath crc32c;
};

class Crc32cPathTest : public testing::TestWithParam<Path> {};
INSTANTIATE_TEST_SUITE_P(Both, Crc32cPathTest,
                         testing::Values(Path{"portable", detail::crc32c_portable}, Path{"isal", detail::crc32c_isal},
                                         Path{"chosen", crc32c_extend}),
                         [](const auto& path) { return path.param.name; });

TEST_P(Crc32cPathTest, check_value) { EXPECT_EQ(GetParam().crc32c(0, bytes_of("123456789")), 0xE3069283u); }

// RFC 3720, appendix B.4.
TEST_P(Crc32cPathTest, published_vectors) {
  std::array<std::byte, 32> data{};
  EXPECT_EQ(GetParam().crc32c(0, data), 0x8A9136AAu);
  data.fill(std::byte{0xFF});
  EXPECT_EQ(GetParam().crc32c(0, data), 0x62A8AB43u);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i);
  EXPECT_EQ(GetParam().crc32c(0, data), 0x46DD794Eu);
}

TEST_P(Crc32cPathTest, nothing_changes_nothing) {
  EXPECT_EQ(GetParam().crc32c(0, {}), 0u);
  EXPECT_EQ(GetParam().crc32c(0x12345678, {}), 0x12345678u);
}

TEST_P(Crc32cPathTest, every_length_at_every_alignment) {
  const std::vector<std::byte> data = pattern(kLongest);
  const std::vector<std::uint32_t> expected = crcs_of_prefixes(data);
  std::vector<std::byte> memory(kLongest + 2 * kAlignments);
  const std::size_t to_aligned =
      (kAlignments - reinterpret_cast<std::uintptr_t>(memory.data()) % kAlignments) % kAlignments;
  for (std::size_t alignment = 0; alignment < kAlignments; ++alignment) {
    const std::span<std::byte> place = std::span(memory).subspan(to_aligned + alignment, kLongest);
    std::copy(data.begin(), data.end(), place.begin());
    for (std::size_t length = 0; length <= kLongest; ++length) {
      ASSERT_EQ(GetParam().crc32c(0, place.first(length)), expected[length])
          << "length " << length << " at " << alignment;
    }
  }
}

TEST_P(Crc32cPathTest, pieces_give_the_same_as_the_whole) {
  const std::vector<std::byte> data = pattern(kLongest);
  const std::uint32_t whole = GetParam().crc32c(0, data);
  for (std::size_t split = 0; split <= kLongest; ++split) {
    const std::uint32_t front = GetParam().crc32c(0, std::span(data).first(split));
    ASSERT_EQ(GetParam().crc32c(front, std::span(data).subspan(split)), whole) << "split at " << split;
  }
}

TEST(Crc32cTest, one_shot_is_the_stream_from_zero) { EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u); }

}  // namespace
}  // namespace pagedb
