// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "engine/aligned_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace pagedb {
namespace {

TEST(AlignedBufferTest, is_aligned_and_zero) {
  for (const std::size_t alignment : {8u, 512u, 4096u, 65536u}) {
    for (const std::size_t bytes : {1u, 4096u, 5000u, 1u << 20}) {
      auto buffer = AlignedBuffer::allocate(bytes, alignment);
      ASSERT_TRUE(buffer);
      EXPECT_EQ(buffer->size(), bytes);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % alignment, 0u);
      EXPECT_TRUE(std::ranges::all_of(buffer->span(), [](std::byte byte) { return byte == std::byte{0}; }));
      std::ranges::fill(buffer->span(), std::byte{0xAA});
    }
  }
}

TEST(AlignedBufferTest, nothing) {
  const AlignedBuffer none;
  EXPECT_EQ(none.size(), 0u);
  EXPECT_EQ(none.data(), nullptr);
  auto allocated = AlignedBuffer::allocate(0);
  ASSERT_TRUE(allocated);
  EXPECT_TRUE(allocated->span().empty());
}

TEST(AlignedBufferTest, moves) {
  auto buffer = AlignedBuffer::allocate(4096);
  ASSERT_TRUE(buffer);
  std::byte* const data = buffer->data();
  AlignedBuffer moved = std::move(*buffer);
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(moved.size(), 4096u);
  EXPECT_EQ(buffer->size(), 0u);
  AlignedBuffer assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.data(), data);
  EXPECT_TRUE(moved.span().empty());
}

TEST(AlignedBufferTest, too_much_is_an_error) {
  for (const std::size_t bytes :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() - 4095}) {
    const auto buffer = AlignedBuffer::allocate(bytes);
    ASSERT_FALSE(buffer);
    EXPECT_EQ(buffer.error().code, ErrorCode::out_of_memory);
    EXPECT_EQ(buffer.error().expected, bytes);
  }
}

TEST(AlignedBufferDeathTest, alignment_is_a_power_of_two) {
  EXPECT_DEATH(static_cast<void>(AlignedBuffer::allocate(4096, 3)), "power of two");
}

}  // namespace
}  // namespace pagedb
