// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The text form of a recorded log: to_text and from_text of choices.h. The text may come from anybody, so every field
// is checked.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

#include "sim/choices.h"

namespace pagedb::sim {

namespace {

/// Cuts and cleans text that stands in a message.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 40;
  std::string out = "'";
  for (const char c : text.substr(0, kShown)) out += c >= ' ' && c <= '~' ? c : '?';
  out += text.size() > kShown ? "...'" : "'";
  return out;
}

/// Takes the text up to the next blank off the line.
std::string_view next_field(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return field;
}

template <typename Number>
std::optional<Number> parse(std::string_view field, int base) {
  Number value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, base);
  if (error != std::errc{} || end != field.data() + field.size()) return std::nullopt;
  return value;
}

std::optional<Site> parse_site(std::string_view field) {
  for (std::size_t i = 0; i < kSiteCount; ++i) {
    if (name(static_cast<Site>(i)) == field) return static_cast<Site>(i);
  }
  return std::nullopt;
}

/// Reads one line; what is wrong with it, or nothing.
std::string parse_line(std::string_view line, RecordedChoice& choice) {
  if (std::count(line.begin(), line.end(), ' ') != 4) {
    return quoted(line) + " is not 'span site occurrence n value', five fields with one blank between them";
  }
  std::string_view field = next_field(line);
  const auto span = parse<std::uint64_t>(field, 16);
  if (!span) return "span " + quoted(field) + " is not a hexadecimal number of 64 bits";
  field = next_field(line);
  const auto site = parse_site(field);
  if (!site) return "there is no site " + quoted(field);
  field = next_field(line);
  const auto occurrence = parse<std::uint32_t>(field, 10);
  if (!occurrence) return "occurrence " + quoted(field) + " is not a number of 32 bits";
  field = next_field(line);
  const auto n = parse<std::uint32_t>(field, 10);
  if (!n || *n < 2) return "n " + quoted(field) + " is not a number of 32 bits from 2 up";
  field = next_field(line);
  const auto value = parse<std::uint32_t>(field, 10);
  if (!value || *value >= *n) return "value " + quoted(field) + " is not a number below n, " + std::to_string(*n);
  choice = {{*span, *occurrence, *site}, *n, *value};
  return {};
}

}  // namespace

std::string to_text(std::span<const RecordedChoice> log) {
  std::string text;
  text.reserve(log.size() * 40);
  for (const RecordedChoice& choice : log) {
    std::array<char, 17> span{};
    std::snprintf(span.data(), span.size(), "%016llx", static_cast<unsigned long long>(choice.key.span));
    text.append(span.data()).append(" ").append(name(choice.key.site));
    for (const std::uint32_t number : {choice.key.occurrence, choice.n, choice.value}) {
      text.append(" ").append(std::to_string(number));
    }
    text += '\n';
  }
  return text;
}

bool from_text(std::string_view text, std::vector<RecordedChoice>& log, std::string& error) {
  log.clear();
  error.clear();
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    RecordedChoice choice;
    if (std::string wrong = parse_line(text.substr(0, end), choice); !wrong.empty()) {
      log.clear();
      error = "line " + std::to_string(number) + ": " + wrong;
      return false;
    }
    log.push_back(choice);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

}  // namespace pagedb::sim
