// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace pagedb::sim::model {

/// 1234567 as "1,234,567".
[[nodiscard]] inline std::string with_commas(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t i = text.size(); i > 3;) text.insert(i -= 3, 1, ',');
  return text;
}

}  // namespace pagedb::sim::model
