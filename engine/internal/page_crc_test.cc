// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Both ways to a page's checksum, against the table run over the page with the four bytes cut out.
#include "engine/internal/page_crc.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/internal/crc32c_paths.h"
#include "engine/page.h"

namespace pagedb::detail {
namespace {

std::vector<std::byte> page_from(std::uint32_t seed, std::uint64_t bytes) {
  std::vector<std::byte> page(bytes);
  for (std::byte& byte : page) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<std::byte>(seed >> 24);
  }
  return page;
}

std::uint32_t reference(std::vector<std::byte> page) {
  page.erase(page.begin() + 24, page.begin() + 28);
  return crc32c_portable(0, page);
}

TEST(PageCrcTest, both_ways_agree_with_the_table_at_every_page_size) {
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes; bytes *= 2) {
    for (std::uint32_t seed = 0; seed < 5; ++seed) {
      const auto page = page_from(seed, bytes);
      const std::uint32_t expected = reference(page);
      EXPECT_EQ(page_crc_in_pieces(page), expected) << bytes;
      EXPECT_EQ(page_crc(page), expected) << bytes;
      if (page_crc_has_one_pass()) {
        EXPECT_EQ(page_crc_in_one_pass(page), expected) << bytes;
      }
    }
  }
}

TEST(PageCrcTest, the_four_bytes_do_not_count) {
  auto page = page_from(7, 4096);
  const std::uint32_t expected = page_crc(page);
  for (std::size_t at = 24; at < 28; ++at) {
    for (int value = 0; value < 256; ++value) {
      page[at] = static_cast<std::byte>(value);
      ASSERT_EQ(page_crc(page), expected);
    }
  }
}

TEST(PageCrcTest, lengths_that_no_page_has) {
  for (const std::size_t bytes : {32u, 33u, 512u, 4095u, 5000u}) {
    const auto page = page_from(3, bytes);
    EXPECT_EQ(page_crc(page), reference(page)) << bytes;
  }
}

}  // namespace
}  // namespace pagedb::detail
