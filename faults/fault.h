// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The taxonomy: what can go wrong with a disk, and what may become of each fault.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pagedb::faults {

/// What went wrong. Append only: reports and logs carry the names.
enum class FaultKind : std::uint8_t {
  torn_write,           ///< a crash kept some sectors of a write and lost others
  lost_write,           ///< a crash lost an acknowledged write that no sync had covered
  reordered_write,      ///< a crash kept a later write and lost an earlier one
  neighbour_damage,     ///< a cut read-modify-write of a physical sector damaged bytes that nobody was writing
  misdirected_write,    ///< a write landed at another address
  dropped_write,        ///< a write was acknowledged and never happened
  bit_rot,              ///< bits of a durable sector flipped
  latent_sector_error,  ///< a sector cannot be read any more (persistent EIO, until rewritten)
  read_error,           ///< one read failed, the next may not
  write_error,          ///< a write failed; what the medium holds is either
  no_space,             ///< a write or resize found the device full
  flush_failure,        ///< a sync failed; the data was dropped and counts as clean
  short_transfer,       ///< a request moved fewer bytes than asked
  transient_error,      ///< EINTR or EAGAIN
  stale_length,         ///< a crash kept an older file length
  missing_entry,        ///< a crash lost the directory entry of a created file
  crash,                ///< the power went
  recovery_crash,       ///< the power went during a recovery
  forged,               ///< a hostile hand changed metadata and made its checksums right
  count_,
};
inline constexpr std::size_t kFaultKindCount = static_cast<std::size_t>(FaultKind::count_);

/// What became of a fault.
enum class Fate : std::uint8_t {
  void_,     ///< the bytes equal a legal honest outcome
  masked,    ///< overwritten, never read, or every read stayed legal
  repaired,  ///< the engine rewrote legal bytes
  detected,  ///< a typed error named it
  excused,   ///< no surviving evidence could have told anybody
  silent,    ///< an Ok read returned illegal bytes: the run fails
  count_,
};
inline constexpr std::size_t kFateCount = static_cast<std::size_t>(Fate::count_);

/// Names as reports print them, for example "torn_write" and "void".
[[nodiscard]] std::string_view name(FaultKind kind) noexcept;
[[nodiscard]] std::string_view name(Fate fate) noexcept;

using FaultCounts = std::array<std::uint64_t, kFaultKindCount>;
using FateCounts = std::array<std::uint64_t, kFateCount>;

}  // namespace pagedb::faults
