// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Schedules as text.
#include "sim/model/schedule.h"

#include <charconv>

#include "sim/model/operation.h"

namespace pagedb::sim::model {

std::string text_of(const Schedule& schedule) {
  std::string text;
  for (std::size_t i = 0; i < schedule.size();) {
    std::size_t end = i;
    while (end < schedule.size() && schedule[end] == schedule[i]) ++end;
    if (!text.empty()) text += '.';
    text += std::to_string(schedule[i]) + 'x' + std::to_string(end - i);
    i = end;
  }
  return text;
}

std::optional<Schedule> schedule_of(std::string_view text) {
  constexpr unsigned kStepsMax = 10'000'000;
  Schedule schedule;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    unsigned task = 0;
    unsigned steps = 0;
    const auto read_task = std::from_chars(at, end, task);
    if (read_task.ec != std::errc() || task >= kTasksMax || read_task.ptr == end || *read_task.ptr != 'x') return {};
    const auto read_steps = std::from_chars(read_task.ptr + 1, end, steps);
    if (read_steps.ec != std::errc() || steps == 0 || steps > kStepsMax - schedule.size()) return {};
    schedule.insert(schedule.end(), steps, static_cast<std::uint8_t>(task));
    at = read_steps.ptr;
    if (at == end) break;
    if (*at++ != '.' || at == end) return {};
  }
  return schedule;
}

}  // namespace pagedb::sim::model
