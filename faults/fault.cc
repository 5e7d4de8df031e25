// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Names of fault kinds and fates, as reports and logs carry them.
#include "faults/fault.h"

namespace pagedb::faults {
namespace {

constexpr std::array<std::string_view, kFaultKindCount> kFaultKindNames = {
    "torn_write",    "lost_write",    "reordered_write",     "neighbour_damage", "misdirected_write",
    "dropped_write", "bit_rot",       "latent_sector_error", "read_error",       "write_error",
    "no_space",      "flush_failure", "short_transfer",      "transient_error",  "stale_length",
    "missing_entry", "crash",         "recovery_crash",      "forged",
};
static_assert(!kFaultKindNames.back().empty(), "a fault kind has no name");

constexpr std::array<std::string_view, kFateCount> kFateNames = {
    "void", "masked", "repaired", "detected", "excused", "silent",
};
static_assert(!kFateNames.back().empty(), "a fate has no name");

}  // namespace

std::string_view name(FaultKind kind) noexcept {
  const auto index = static_cast<std::size_t>(kind);
  return index < kFaultKindCount ? kFaultKindNames[index] : "unknown";
}

std::string_view name(Fate fate) noexcept {
  const auto index = static_cast<std::size_t>(fate);
  return index < kFateCount ? kFateNames[index] : "unknown";
}

}  // namespace pagedb::faults
