// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the fuzz targets share: how they complain, and how they take small numbers off their input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

namespace pagedb::fuzz {

/// A finding: says what is wrong and aborts, which is what fuzzers look for.
[[noreturn]] inline void found(std::string_view what) {
  std::fprintf(stderr, "FOUND: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

/// Aborts with `rule` unless it holds.
inline void require(bool holds, std::string_view rule) {
  if (!holds) found(rule);
}

/// Takes the next byte off `input`; 0 when there is none.
inline std::uint8_t take_byte(std::span<const std::uint8_t>& input) {
  if (input.empty()) return 0;
  const std::uint8_t byte = input.front();
  input = input.subspan(1);
  return byte;
}

}  // namespace pagedb::fuzz
