// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Whether bytes are all zero, at the speed of memcmp: never-written pages are common, and are looked at whole.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace pagedb::detail {

/// True when every byte is zero; of nothing, too.
[[nodiscard]] inline bool all_zero(std::span<const std::byte> bytes) noexcept {
  // Zero at first and each byte equal to its neighbour.
  return bytes.empty() ||
         (bytes.front() == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace pagedb::detail
