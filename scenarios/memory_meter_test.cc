// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/memory_meter.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "engine/aligned_buffer.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kBig = std::size_t{1} << 20;
constexpr std::size_t kNoise = 64 * 1024;  // what a sanitizer or a thread may want for itself

/// Bytes that `action` asks for.
std::uint64_t asked_by(const std::function<void()>& action) {
  const std::uint64_t before = allocated_bytes();
  action();
  return allocated_bytes() - before;
}

/// Keeps the compiler from leaving out an allocation.
void touch(void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

void expect_about(std::uint64_t bytes, std::uint64_t expected) {
  EXPECT_GE(bytes, expected);
  EXPECT_LT(bytes, expected + kNoise);
}

TEST(MemoryMeter, CountsEveryFormOfNew) {
  expect_about(asked_by([] { touch(std::make_unique<std::byte[]>(kBig).get()); }), kBig);
  expect_about(asked_by([] { touch(std::vector<std::uint64_t>(kBig / 8).data()); }), kBig);
  expect_about(asked_by([] {
                 void* memory = ::operator new(kBig, std::nothrow);
                 touch(memory);
                 ::operator delete(memory);
               }),
               kBig);
}

TEST(MemoryMeter, CountsTheEnginesAlignedMemory) {
  expect_about(asked_by([] {
                 auto memory = AlignedBuffer::allocate(kBig);
                 ASSERT_TRUE(memory);
                 touch(memory->data());
               }),
               kBig);
}

TEST(MemoryMeter, AddsUpRequestsAndForgetsNoneThatWasFreed) {
  expect_about(asked_by([] {
                 for (int i = 0; i < 10; ++i) touch(std::make_unique<std::byte[]>(kBig).get());
               }),
               10 * kBig);
  expect_about(asked_by([] {}), 0);
  auto held = std::make_unique<std::byte[]>(kBig);
  touch(held.get());
  expect_about(asked_by([&] { held.reset(); }), 0);
}

TEST(MemoryMeter, CountsThisThreadOnly) {
  std::uint64_t there = 0;
  const std::uint64_t here = asked_by(
      [&] { std::thread([&] { there = asked_by([] { touch(std::make_unique<std::byte[]>(kBig).get()); }); }).join(); });
  expect_about(there, kBig);
  expect_about(here, 0);
}

}  // namespace
}  // namespace pagedb::scenarios
