// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/choices_file.h"

#include <fmt/format.h>

#include <charconv>

namespace pagedb::pagesim {
namespace {

constexpr std::string_view kFirstLine = "pagedb-choices 1";

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

bool parse(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string to_text(const ChoicesFile& file) {
  return fmt::format("{}\nscenario {}\nseed {}\nprofile {}\nbranch {}\nchoices\n{}", kFirstLine, file.scenario,
                     file.seed, file.profile, file.branch ? std::to_string(*file.branch) : "all",
                     sim::to_text(file.log));
}

std::optional<ChoicesFile> parse_choices_file(std::string_view text, std::string& error) {
  ChoicesFile file;
  int number = 1;
  const auto fail = [&](std::string_view wanted) {
    error = fmt::format("line {}: expected {}", number, wanted);
    return std::nullopt;
  };
  const auto field = [&](std::string_view key) -> std::optional<std::string_view> {
    ++number;
    const std::string_view line = take_line(text);
    if (!line.starts_with(key) || line.size() < key.size() + 2 || line[key.size()] != ' ') return std::nullopt;
    return line.substr(key.size() + 1);
  };
  if (take_line(text) != kFirstLine) return fail(fmt::format("'{}'", kFirstLine));
  const auto scenario = field("scenario");
  if (!scenario) return fail("'scenario NAME'");
  file.scenario = *scenario;
  const auto seed = field("seed");
  if (!seed || !parse(*seed, file.seed)) return fail("'seed NUMBER'");
  const auto profile = field("profile");
  if (!profile) return fail("'profile NAME'");
  file.profile = *profile;
  const auto branch = field("branch");
  std::uint64_t branch_number = 0;
  if (!branch || (*branch != "all" && !parse(*branch, branch_number))) return fail("'branch NUMBER' or 'branch all'");
  if (*branch != "all") file.branch = branch_number;
  ++number;
  if (take_line(text) != "choices") return fail("'choices'");
  std::string why;
  if (!sim::from_text(text, file.log, why)) {
    error = "after the 'choices' line: " + why;
    return std::nullopt;
  }
  return file;
}

}  // namespace pagedb::pagesim
