// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Philox 4x32-10: a counter-based pseudo-random function, 128 bits of counter and 64 bits of key to 128 random bits.
//
// It has no state, so the value at one counter does not depend on how many values were drawn before it: that is what
// lets a decision be keyed by what it is about. Written from the description in Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3" (SC'11); philox_test.cc checks it against the published known answers.
// Not for secrets.
#pragma once

#include <array>
#include <cstdint>

namespace pagedb::sim {

/// The block of Philox 4x32-10 at `counter` under `key`.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                                   std::array<std::uint32_t, 2> key) noexcept {
  auto [x0, x1, x2, x3] = counter;
  auto [k0, k1] = key;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t left = std::uint64_t{0xd2511f53} * x0;
    const std::uint64_t right = std::uint64_t{0xcd9e8d57} * x2;
    x0 = static_cast<std::uint32_t>(right >> 32) ^ x1 ^ k0;
    x1 = static_cast<std::uint32_t>(right);
    x2 = static_cast<std::uint32_t>(left >> 32) ^ x3 ^ k1;
    x3 = static_cast<std::uint32_t>(left);
    k0 += 0x9e3779b9;  // Weyl sequences: the golden ratio and sqrt(3) - 1
    k1 += 0xbb67ae85;
  }
  return {x0, x1, x2, x3};
}

}  // namespace pagedb::sim
