// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <numeric>

namespace pagedb::pagesim {
namespace {

constexpr unsigned kJobsMax = 1024;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// User text in a message: cut, and on one line.
std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 80)) out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  return out + (text.size() > 80 ? "...'" : "'");
}

// Insertions, deletions and replacements that turn one word into the other (Wagner and Fischer's table, one row at a
// time).
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::vector<std::string_view> scenario_names() {
  std::vector<std::string_view> names;
  for (const scenarios::Scenario* scenario : scenarios::all_scenarios()) names.push_back(scenario->name());
  return names;
}

// Variables of one launcher that number its processes.
struct Launcher {
  const char* index;
  const char* count;
  const char* first;  // of the indexes, or null: they start at 0
  const char* step;   // between indexes, or null: 1
};
constexpr Launcher kLaunchers[] = {
    {"GTEST_SHARD_INDEX", "GTEST_TOTAL_SHARDS", nullptr, nullptr},
    {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"},
    {"JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", nullptr, nullptr},
};

std::uint64_t variable(const Environment& environment, const char* name, std::uint64_t otherwise) {
  const std::optional<std::string> text = name == nullptr ? std::nullopt : environment(name);
  return text ? parse_number(name, *text) : otherwise;
}

Shard shard_of_launcher(const Launcher& launcher, const Environment& environment) {
  const std::uint64_t index = variable(environment, launcher.index, 0);
  if (!environment(launcher.count)) {
    throw UsageError{
        fmt::format("{} is set, but {} is not, so the number of shards is unknown", launcher.index, launcher.count),
        fmt::format("set {}, or give --shard-index and --shard-count", launcher.count)};
  }
  const std::uint64_t first = variable(environment, launcher.first, 0);
  const std::uint64_t step = std::max<std::uint64_t>(1, variable(environment, launcher.step, 1));
  if (index < first) {
    throw UsageError{fmt::format("{} = {} is below {} = {}", launcher.index, index, launcher.first, first),
                     "correct the variables, or give --shard-index and --shard-count"};
  }
  return {(index - first) / step, variable(environment, launcher.count, 1)};
}

}  // namespace

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::uint64_t parse_number(std::string_view what, std::string_view text) {
  if (const auto value = number(text)) return *value;
  throw UsageError{fmt::format("{}: {} is not a number", what, shown(text)),
                   "give a decimal number from 0 to 18446744073709551615"};
}

SeedRange parse_seeds(std::string_view text) {
  static constexpr const char* kToDo =
      "give --seeds A..B with A below B, for example --seeds 0..1000 for the seeds 0 up to 999";
  const std::size_t dots = text.find("..");
  const auto first = number(text.substr(0, dots));
  const auto end = dots == std::string_view::npos ? std::nullopt : number(text.substr(dots + 2));
  if (!first || !end) throw UsageError{fmt::format("--seeds: {} is not a range of seeds", shown(text)), kToDo};
  if (*first >= *end) throw UsageError{fmt::format("--seeds: the range {} holds no seed", shown(text)), kToDo};
  return {*first, *end};
}

std::chrono::milliseconds parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t ms;
  };
  static constexpr Unit kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  constexpr std::uint64_t kMsMax = std::uint64_t{366} * 24 * 3'600'000;
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto value = number(text.substr(0, digits));
  const auto unit = std::ranges::find(kUnits, text.substr(digits), &Unit::name);
  if (!value || *value == 0 || unit == std::end(kUnits) || *value > kMsMax / unit->ms)
    throw UsageError{fmt::format("--for: {} is not a duration", shown(text)),
                     "give for example --for 60s, --for 10m or --for 8h (a year at most)"};
  return std::chrono::milliseconds(static_cast<std::int64_t>(*value * unit->ms));
}

unsigned parse_jobs(std::string_view text) {
  const auto value = number(text);
  if (!value || *value == 0 || *value > kJobsMax)
    throw UsageError{fmt::format("--jobs: {} is not a number of processes", shown(text)),
                     fmt::format("give a number from 1 to {}, or leave --jobs out for every core", kJobsMax)};
  return static_cast<unsigned>(*value);
}

Shard parse_shard(const std::string& index, const std::string& count, const Environment& environment) {
  Shard shard;
  if (index.empty() || count.empty()) {
    for (const Launcher& launcher : kLaunchers) {
      if (!environment(launcher.index)) continue;
      // A count given by flag makes the launcher's unnecessary.
      shard =
          count.empty() ? shard_of_launcher(launcher, environment) : Shard{variable(environment, launcher.index, 0), 1};
      break;
    }
  }
  if (!index.empty()) shard.index = parse_number("--shard-index", index);
  if (!count.empty()) shard.count = parse_number("--shard-count", count);
  if (shard.index >= shard.count) {
    throw UsageError{fmt::format("shard {} of {} does not exist", shard.index, shard.count),
                     "give --shard-index from 0 up to --shard-count less one"};
  }
  return shard;
}

std::vector<const scenarios::Scenario*> parse_scenarios(std::string_view text) {
  if (text != "all") return {&parse_scenario(text)};
  const auto all = scenarios::all_scenarios();
  return {all.begin(), all.end()};
}

const scenarios::Scenario& parse_scenario(std::string_view text) {
  const scenarios::Scenario* scenario = scenarios::find_scenario(text);
  if (scenario == nullptr)
    throw UsageError{fmt::format("there is no scenario {}", shown(text)), suggestion(text, scenario_names())};
  return *scenario;
}

faults::DeviceProfile parse_profile_argument(const std::string& text) {
  std::string error;
  std::optional<faults::DeviceProfile> profile = faults::load_profile(text, error);
  if (!profile)
    throw UsageError{"--profile: " + error,
                     "give a file or a built-in profile; " + suggestion(text, faults::profile_names())};
  return *profile;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> names) {
  std::string out;
  const auto nearest = std::ranges::min_element(names, {}, [&](std::string_view name) { return distance(word, name); });
  if (nearest != names.end() && distance(word, *nearest) <= std::max<std::size_t>(2, nearest->size() / 3))
    out = fmt::format("did you mean {}? ", *nearest);
  return out + fmt::format("there are: {}", fmt::join(names, ", "));
}

}  // namespace pagedb::pagesim
