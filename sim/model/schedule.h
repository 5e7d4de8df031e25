// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Schedule: which task made each step of an execution, as text to paste: "0x40.1x7.2x12.1x3" is task 0 for 40 steps,
// then task 1 for 7, and so on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pagedb::sim::model {

using Schedule = std::vector<std::uint8_t>;

[[nodiscard]] std::string text_of(const Schedule& schedule);
/// Nothing when `text` is no schedule.
[[nodiscard]] std::optional<Schedule> schedule_of(std::string_view text);

}  // namespace pagedb::sim::model
