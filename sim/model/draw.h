// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// draw: decisions of the random policies, keyed by what they are about (sim/philox.h), so that one more of them does
// not shift the others.
#pragma once

#include <cstdint>

#include "sim/philox.h"

namespace pagedb::sim::model {

/// A number below `bound` for decision `number` of `kind` in execution `run`.
[[nodiscard]] inline std::uint64_t draw(std::uint64_t seed, std::uint64_t run, std::uint32_t kind, std::uint32_t number,
                                        std::uint64_t bound) noexcept {
  const auto block =
      philox4x32_10({number, kind, static_cast<std::uint32_t>(run), static_cast<std::uint32_t>(run >> 32)},
                    {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  const std::uint64_t word = (std::uint64_t{block[1]} << 32) | block[0];
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(word) * bound) >> 64);
}

/// The `n`-th task of a set, from 0.
[[nodiscard]] constexpr unsigned nth_of(std::uint32_t set, std::uint64_t n) noexcept {
  for (; n > 0; --n) set &= set - 1;
  return static_cast<unsigned>(__builtin_ctz(set));
}

}  // namespace pagedb::sim::model
