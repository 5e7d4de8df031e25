// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The page format: facts written by another implementation, byte for byte, and each check of `verify`.
#include "engine/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "engine/aligned_buffer.h"

namespace pagedb {
namespace {

std::vector<std::byte> from_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(digit(text[i]) * 16 + digit(text[i + 1])));
  return bytes;
}

// Byte i of page p's payload in the golden files.
void fill_payload(std::span<std::byte> page, std::uint64_t id) {
  std::uint64_t next = 31 * id;
  for (std::byte& byte : payload(page)) byte = static_cast<std::byte>(next++);
}

struct GoldenPage {
  std::uint64_t id;
  std::uint64_t lsn;
  std::uint32_t crc;
  std::string_view header;
};

// Written by the Rust crate page-db 1.0. Data pages whose payload follows the rule above.
constexpr std::array kPages4k{
    GoldenPage{0, 1000, 0xcc352423, "50474442010000000000000000000000e803000000000000232435cc00000000"},
    GoldenPage{1, 1001, 0xac80e701, "50474442010000000100000000000000e90300000000000001e780ac00000000"},
    GoldenPage{2, 1002, 0x735b99e9, "50474442010000000200000000000000ea03000000000000e9995b7300000000"},
    GoldenPage{3, 1003, 0x970ddb6e, "50474442010000000300000000000000eb030000000000006edb0d9700000000"},
    GoldenPage{4, 1004, 0xaa4ed8c2, "50474442010000000400000000000000ec03000000000000c2d84eaa00000000"},
    GoldenPage{5, 1005, 0xb95769b8, "50474442010000000500000000000000ed03000000000000b86957b900000000"},
    GoldenPage{6, 1006, 0x9db9eb85, "50474442010000000600000000000000ee0300000000000085ebb99d00000000"},
    GoldenPage{7, 1007, 0x5a8c818e, "50474442010000000700000000000000ef030000000000008e818c5a00000000"},
    // From the file that its allocator wrote.
    GoldenPage{8, 1008, 0x416b63b9, "50474442010000000800000000000000f003000000000000b9636b4100000000"},
    GoldenPage{9, 1009, 0x9dfcbb09, "50474442010000000900000000000000f10300000000000009bbfc9d00000000"},
    GoldenPage{10, 1010, 0xf138041f, "50474442010000000a00000000000000f2030000000000001f0438f100000000"},
};
constexpr std::array kPages16k{
    GoldenPage{0, 1000, 0x4dbe5a57, "50474442010000000000000000000000e803000000000000575abe4d00000000"},
    GoldenPage{1, 1001, 0xc913f7b8, "50474442010000000100000000000000e903000000000000b8f713c900000000"},
    GoldenPage{2, 1002, 0xdda21739, "50474442010000000200000000000000ea030000000000003917a2dd00000000"},
};

struct GoldenAllocatorPage {
  std::uint64_t id;
  std::uint32_t crc;
  std::string_view header;
  std::string_view payload_front;  // zeros follow
};

// Its allocator's own pages: the head, and three free pages, each naming the next.
constexpr std::array kAllocatorPages{
    GoldenAllocatorPage{0, 0xac1b0a9e, "5047444201000000000000000000000000000000000000009e0a1bac00000000",
                        "504753420100000003000000000000000b000000000000000300000000000000"},
    GoldenAllocatorPage{3, 0x66b4c4f1, "504744420100000003000000000000000000000000000000f1c4b46600000000",
                        "0700000000000000"},
    GoldenAllocatorPage{5, 0x826b3ba8, "504744420100000005000000000000000000000000000000a83b6b8200000000",
                        "ffffffffffffffff"},
    GoldenAllocatorPage{7, 0x966f4795, "50474442010000000700000000000000000000000000000095476f9600000000",
                        "0500000000000000"},
};

void expect_golden(std::span<std::byte> page, std::uint64_t id, std::uint64_t lsn, std::uint32_t crc,
                   std::string_view header_hex) {
  const PageSize size = *PageSize::of(page.size());
  set_page_lsn(page, Lsn{lsn});
  seal(page, {.id = PageId{id}});
  const std::vector<std::byte> expected = from_hex(header_hex);
  ASSERT_EQ(expected.size(), kPageHeaderBytes);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), page.begin())) << "header of page " << id;
  const auto header = verify(page, size, {.id = PageId{id}});
  ASSERT_TRUE(header) << header.error().message();
  EXPECT_EQ(header->crc32c, crc);
  EXPECT_EQ(page_crc(page), crc);
  EXPECT_EQ(page_lsn(page), Lsn{lsn});
}

TEST(PageGolden, data_pages_of_4k) {
  for (const GoldenPage& golden : kPages4k) {
    std::vector<std::byte> page(4096);
    fill_payload(page, golden.id);
    expect_golden(page, golden.id, golden.lsn, golden.crc, golden.header);
  }
}

TEST(PageGolden, data_pages_of_16k) {
  for (const GoldenPage& golden : kPages16k) {
    std::vector<std::byte> page(16384);
    fill_payload(page, golden.id);
    expect_golden(page, golden.id, golden.lsn, golden.crc, golden.header);
  }
}

TEST(PageGolden, allocator_pages_of_4k) {
  for (const GoldenAllocatorPage& golden : kAllocatorPages) {
    std::vector<std::byte> page(4096);
    const std::vector<std::byte> front = from_hex(golden.payload_front);
    std::copy(front.begin(), front.end(), page.begin() + kPageHeaderBytes);
    expect_golden(page, golden.id, 0, golden.crc, golden.header);
  }
}

class PageTest : public testing::Test {
 protected:
  PageTest() {
    fill_payload(page_, 5);
    set_page_lsn(page_, Lsn{77});
    seal(page_, kTagged);
  }

  void expect_error(ErrorCode code, const PageIdentity& identity = kTagged) {
    const auto verified = verify(page_, PageSize(), identity);
    ASSERT_FALSE(verified);
    EXPECT_EQ(name(verified.error().code), name(code));
    EXPECT_TRUE(verified.error().has_page);
    EXPECT_EQ(verified.error().page, identity.id);
  }

  // Changes one header field and makes the checksum hold again.
  template <class Change>
  void forge(Change change) {
    PageHeader header = read_header(page_);
    change(header);
    std::memcpy(page_.data(), &header, sizeof header);
    header.crc32c = page_crc(page_);
    std::memcpy(page_.data(), &header, sizeof header);
  }

  static constexpr PageIdentity kTagged{.id = PageId{5}, .file_tag = 0xABCD1234, .has_file_tag = true};
  static constexpr PageIdentity kUntagged{.id = PageId{5}};
  std::vector<std::byte> page_ = std::vector<std::byte>(4096);
};

TEST_F(PageTest, sealed_page_verifies) {
  const auto header = verify(page_, PageSize(), kTagged);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->magic, kPageMagic);
  EXPECT_EQ(header->version, kPageVersion);
  EXPECT_EQ(header->flags, page_flags::kFileTag);
  EXPECT_EQ(header->page_id, 5u);
  EXPECT_EQ(header->lsn, 77u);
  EXPECT_EQ(header->reserved, 0xABCD1234u);
}

TEST_F(PageTest, seal_keeps_lsn_and_payload_and_replaces_flags) {
  const std::vector<std::byte> before = page_;
  seal(page_, kUntagged, page_flags::kMetadata);
  EXPECT_TRUE(std::equal(before.begin() + kPageHeaderBytes, before.end(), page_.begin() + kPageHeaderBytes));
  const auto header = verify(page_, PageSize(), kUntagged);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->lsn, 77u);
  EXPECT_EQ(header->flags, page_flags::kMetadata);
  EXPECT_EQ(header->reserved, 0u);
}

TEST_F(PageTest, sealing_twice_gives_the_same_bytes) {
  const std::vector<std::byte> before = page_;
  seal(page_, kTagged);
  EXPECT_EQ(page_, before);
}

TEST_F(PageTest, bad_length) {
  for (const std::size_t length : {0u, 1u, 31u, 32u, 4095u}) {
    const auto verified = verify(std::span(page_).first(length), PageSize(), kTagged);
    ASSERT_FALSE(verified);
    EXPECT_EQ(verified.error().code, ErrorCode::bad_length);
    EXPECT_EQ(verified.error().actual, length);
    EXPECT_EQ(verified.error().expected, 4096u);
  }
  EXPECT_EQ(verify(page_, *PageSize::of(8192), kTagged).error().code, ErrorCode::bad_length);
}

TEST_F(PageTest, never_written) {
  std::fill(page_.begin(), page_.end(), std::byte{0});
  expect_error(ErrorCode::never_written);
}

TEST_F(PageTest, zero_but_for_one_byte_is_not_never_written) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{31}, page_.size() - 1}) {
    std::fill(page_.begin(), page_.end(), std::byte{0});
    page_[at] = std::byte{1};
    expect_error(ErrorCode::bad_magic);
  }
}

TEST_F(PageTest, bad_magic) {
  page_[0] ^= std::byte{1};
  expect_error(ErrorCode::bad_magic);
}

TEST_F(PageTest, bad_version) {
  forge([](PageHeader& header) { header.version = 2; });
  expect_error(ErrorCode::bad_version);
  EXPECT_EQ(verify(page_, PageSize(), kTagged).error().actual, 2u);
}

TEST_F(PageTest, every_flipped_bit_is_found) {
  for (std::size_t bit = 0; bit < page_.size() * 8; ++bit) {
    page_[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    ASSERT_FALSE(verify(page_, PageSize(), kTagged)) << "bit " << bit;
    page_[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
  EXPECT_TRUE(verify(page_, PageSize(), kTagged));
}

TEST_F(PageTest, bad_checksum_tells_both) {
  const std::uint32_t stored = read_header(page_).crc32c;
  page_.back() ^= std::byte{0x80};
  expect_error(ErrorCode::bad_checksum);
  const PageError error = verify(page_, PageSize(), kTagged).error();
  EXPECT_EQ(error.stored_crc, stored);
  EXPECT_EQ(error.computed_crc, page_crc(page_));
  EXPECT_NE(error.stored_crc, error.computed_crc);
}

TEST_F(PageTest, wrong_page_id) {
  PageIdentity elsewhere = kTagged;
  elsewhere.id = PageId{6};
  expect_error(ErrorCode::wrong_page_id, elsewhere);
  EXPECT_EQ(verify(page_, PageSize(), elsewhere).error().actual, 5u);
}

TEST_F(PageTest, wrong_file) {
  PageIdentity other = kTagged;
  other.file_tag ^= 1;
  expect_error(ErrorCode::wrong_file, other);
  EXPECT_EQ(verify(page_, PageSize(), other).error().actual, 0xABCD1234u);
}

TEST_F(PageTest, tagged_page_is_foreign_to_a_headerless_file) { expect_error(ErrorCode::wrong_file, kUntagged); }

TEST_F(PageTest, untagged_page_is_foreign_to_a_file_with_identity) {
  seal(page_, kUntagged);
  expect_error(ErrorCode::wrong_file, kTagged);
}

TEST_F(PageTest, unknown_flags_are_ignored) {
  forge([](PageHeader& header) { header.flags |= 0xFFF0; });
  EXPECT_TRUE(verify(page_, PageSize(), kTagged));
}

// Each page fails every check from one on; the first of them must be the error.
TEST_F(PageTest, checks_run_in_the_documented_order) {
  PageIdentity stranger{.id = PageId{6}, .file_tag = 1, .has_file_tag = true};
  expect_error(ErrorCode::wrong_page_id, stranger);
  page_.back() ^= std::byte{1};
  expect_error(ErrorCode::bad_checksum, stranger);
  page_[4] ^= std::byte{0xFF};
  expect_error(ErrorCode::bad_version, stranger);
  page_[0] ^= std::byte{0xFF};
  expect_error(ErrorCode::bad_magic, stranger);
  EXPECT_EQ(verify(std::span(page_).first(100), PageSize(), stranger).error().code, ErrorCode::bad_length);
}

TEST_F(PageTest, every_page_size_seals_and_verifies) {
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes; bytes *= 2) {
    auto page = AlignedBuffer::allocate(bytes);
    ASSERT_TRUE(page);
    seal(page->span(), kTagged);
    EXPECT_TRUE(verify(page->span(), *PageSize::of(bytes), kTagged)) << bytes;
  }
}

TEST(PageDeathTest, programmer_errors_abort) {
  std::vector<std::byte> odd(5000);
  EXPECT_DEATH(seal(odd, {}), "valid page size");
  EXPECT_DEATH(static_cast<void>(read_header(std::span(odd).first(31))), "at least a header");
}

TEST(PageSizeTest, only_powers_of_two_from_4k_to_1m) {
  int valid = 0;
  for (std::uint64_t bytes = 0; bytes <= 4 * PageSize::kMaxBytes; bytes += 512) {
    if (PageSize::of(bytes)) ++valid;
  }
  EXPECT_EQ(valid, 9);
  EXPECT_FALSE(PageSize::of(2048));
  EXPECT_FALSE(PageSize::of(4097));
  EXPECT_FALSE(PageSize::of(std::uint64_t{1} << 32));
  EXPECT_EQ(PageSize::of(1u << 20)->shift(), 20u);
}

}  // namespace
}  // namespace pagedb
