// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Reading device profiles: strict, one line an error.
//
// One table row a key: what it is called, where its value goes. A key without a row is an error, so a misspelt key
// never means "the default".
#include "faults/profile.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <variant>

#include "faults/builtin_profiles.h"

// toml++ 3.3 takes some of what malformed text does for impossible (a key that begins with "$"): it asserts so, or
// under NDEBUG lets the compiler assume so, and would report the error properly right after. The text is hostile, so
// neither.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace pagedb::faults {
namespace {

using P = DeviceProfile;
using Field = std::variant<std::uint32_t P::*, std::uint64_t P::*, bool P::*, std::string P::*, FailedFlush P::*>;

struct Key {
  std::string_view name;
  Field field;
};

const Key kKeys[] = {
    {"summary", &P::summary},
    {"logical_sector_bytes", &P::logical_sector_bytes},
    {"physical_sector_bytes", &P::physical_sector_bytes},
    {"partition_offset_bytes", &P::partition_offset_bytes},
    {"atomic_write_bytes", &P::atomic_write_bytes},
    {"memory_align_bytes", &P::memory_align_bytes},
    {"volatile_cache", &P::volatile_cache},
    {"power_loss_protection", &P::power_loss_protection},
    {"queue_depth", &P::queue_depth},
    {"read_latency_ns", &P::read_latency_ns},
    {"write_latency_ns", &P::write_latency_ns},
    {"sync_latency_ns", &P::sync_latency_ns},
    {"failed_flush", &P::failed_flush},
    {"crash_tears", &P::crash_tears},
    {"crash_garbles", &P::crash_garbles},
    {"crash_unreadable", &P::crash_unreadable},
};

constexpr std::uint32_t kSectorBytesMax = 65536;
constexpr std::uint32_t kAtomicBytesMax = 1024 * 1024;  // the largest page
constexpr std::uint32_t kQueueDepthMax = 4096;

// Sets one field from a TOML value; what the value should have been, or nothing when it fits.
struct Assign {
  P& profile;
  const toml::node& value;

  template <class Unsigned>
    requires(std::is_same_v<Unsigned, std::uint32_t> || std::is_same_v<Unsigned, std::uint64_t>)
  std::string operator()(Unsigned P::* member) const {
    const auto* integer = value.as_integer();
    if (integer == nullptr) return "an integer";
    const std::int64_t number = integer->get();
    if (number < 0) return "an integer that is not negative";
    if (static_cast<std::uint64_t>(number) > std::numeric_limits<Unsigned>::max()) return "an integer below 2^32";
    profile.*member = static_cast<Unsigned>(number);
    return {};
  }
  std::string operator()(bool P::* member) const {
    const auto* boolean = value.as_boolean();
    if (boolean == nullptr) return "true or false";
    profile.*member = boolean->get();
    return {};
  }
  std::string operator()(std::string P::* member) const {
    const auto* text = value.as_string();
    if (text == nullptr) return "a string";
    profile.*member = text->get();
    return {};
  }
  std::string operator()(FailedFlush P::* member) const {
    const auto* text = value.as_string();
    if (text == nullptr || (text->get() != "drop" && text->get() != "keep")) return "\"drop\" or \"keep\"";
    profile.*member = text->get() == "keep" ? FailedFlush::keep : FailedFlush::drop;
    return {};
  }
};

bool is_power_of_two_in(std::uint64_t value, std::uint64_t min, std::uint64_t max) {
  return std::has_single_bit(value) && value >= min && value <= max;
}

// What makes the combination impossible, or nothing.
std::string impossible(const P& p) {
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  if (!is_power_of_two_in(p.logical_sector_bytes, 512, kSectorBytesMax))
    return "logical_sector_bytes = " + number(p.logical_sector_bytes) + " is not a power of two from 512 to 65536";
  if (!is_power_of_two_in(p.physical_sector_bytes, 512, kSectorBytesMax))
    return "physical_sector_bytes = " + number(p.physical_sector_bytes) + " is not a power of two from 512 to 65536";
  if (p.physical_sector_bytes < p.logical_sector_bytes)
    return "physical_sector_bytes = " + number(p.physical_sector_bytes) +
           " is smaller than logical_sector_bytes = " + number(p.logical_sector_bytes);
  if (p.partition_offset_bytes % p.logical_sector_bytes != 0)
    return "partition_offset_bytes = " + number(p.partition_offset_bytes) + " is not a multiple of the logical sector";
  if (p.atomic_write_bytes != 0 && !is_power_of_two_in(p.atomic_write_bytes, p.logical_sector_bytes, kAtomicBytesMax))
    return "atomic_write_bytes = " + number(p.atomic_write_bytes) +
           " is neither 0 nor a power of two from the logical sector to 1048576";
  if (!is_power_of_two_in(p.memory_align_bytes, 1, 4096))
    return "memory_align_bytes = " + number(p.memory_align_bytes) + " is not a power of two from 1 to 4096";
  if (p.queue_depth == 0 || p.queue_depth > kQueueDepthMax)
    return "queue_depth = " + number(p.queue_depth) + " is not between 1 and 4096";
  if (p.power_loss_protection && p.volatile_cache)
    return "power_loss_protection makes acknowledged writes durable, so volatile_cache must be false";
  return {};
}

// Keeps an error on one line, whatever the parser put into it.
std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line;
}

}  // namespace

std::optional<DeviceProfile> parse_profile(std::string_view toml, std::string& error) {
  // toml++ 3.3 goes wrong on some characters past ASCII (it sorts them by a table with gaps), and a profile needs none.
  const auto foreign = std::ranges::find_if(toml, [](char c) { return static_cast<unsigned char>(c) > 0x7f; });
  if (foreign != toml.end()) {
    error = "line " + std::to_string(1 + std::count(toml.begin(), foreign, '\n')) + ": a character that is not ASCII";
    return std::nullopt;
  }
  const toml::parse_result parsed = toml::parse(toml);
  if (!parsed) {
    error =
        "line " + std::to_string(parsed.error().source().begin.line) + ": " + one_line(parsed.error().description());
    return std::nullopt;
  }
  DeviceProfile profile;
  for (const auto& [key, value] : parsed.table()) {
    const auto known = std::ranges::find(kKeys, key.str(), &Key::name);
    if (known == std::end(kKeys)) {
      error = "line " + std::to_string(key.source().begin.line) + ": unknown key \"" + one_line(key.str()) + "\"";
      return std::nullopt;
    }
    const std::string wanted = std::visit(Assign{profile, value}, known->field);
    if (!wanted.empty()) {
      error = "line " + std::to_string(key.source().begin.line) + ": " + std::string(key.str()) + " must be " + wanted;
      return std::nullopt;
    }
  }
  if (std::string why = impossible(profile); !why.empty()) {
    error = std::move(why);
    return std::nullopt;
  }
  return profile;
}

std::vector<std::string_view> profile_names() {
  std::vector<std::string_view> names;
  for (const BuiltinProfile& profile : builtin_profiles()) names.push_back(profile.name);
  std::ranges::sort(names);
  return names;
}

std::optional<DeviceProfile> find_profile(std::string_view name) {
  const auto profiles = builtin_profiles();
  const auto builtin = std::ranges::find(profiles, name, &BuiltinProfile::name);
  if (builtin == profiles.end()) return std::nullopt;
  std::string error;
  std::optional<DeviceProfile> profile = parse_profile(builtin->toml, error);
  if (profile) profile->name = name;
  return profile;
}

std::optional<DeviceProfile> load_profile(const std::string& name_or_path, std::string& error) {
  if (std::optional<DeviceProfile> builtin = find_profile(name_or_path)) return builtin;
  std::error_code ignored;
  std::ifstream file(name_or_path, std::ios::binary);
  std::ostringstream text;
  if (file && !std::filesystem::is_directory(name_or_path, ignored)) text << file.rdbuf();
  if (text.view().empty()) {
    error = "\"" + one_line(name_or_path) + "\" is neither a built-in profile nor a file with a profile in it";
    return std::nullopt;
  }
  std::string why;
  std::optional<DeviceProfile> profile = parse_profile(text.view(), why);
  if (!profile) {
    error = one_line(name_or_path) + ": " + why;
    return std::nullopt;
  }
  profile->name = name_or_path;
  return profile;
}

}  // namespace pagedb::faults
