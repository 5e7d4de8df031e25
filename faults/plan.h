// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// FaultPlan: how often which fault hits a request. Data and one pure function; the dice are thrown by whoever injects.
#pragma once

#include <cstdint>

#include "engine/io/backend.h"
#include "faults/fault.h"

namespace pagedb::faults {

/// Chances in 65,536, per request of the kind that the fault can hit. All zero: an honest device.
struct FaultPlan {
  std::uint32_t read_error = 0;
  std::uint32_t write_error = 0;
  std::uint32_t no_space = 0;             ///< writes that extend the file, and resizes
  std::uint32_t flush_failure = 0;        ///< syncs
  std::uint32_t short_transfer = 0;       ///< reads and writes of more than a sector
  std::uint32_t transient_error = 0;      ///< reads, writes, syncs
  std::uint32_t misdirected_write = 0;    ///< writes
  std::uint32_t dropped_write = 0;        ///< writes
  std::uint32_t bit_rot = 0;              ///< any request: some durable sector of the file rots
  std::uint32_t latent_sector_error = 0;  ///< any request: some durable sector of the file cannot be read any more

  static constexpr std::uint32_t kDice = 65'536;  ///< sides of the dice that `decide` wants

  [[nodiscard]] bool honest() const noexcept {
    return (read_error | write_error | no_space | flush_failure | short_transfer | transient_error | misdirected_write |
            dropped_write | bit_rot | latent_sector_error) == 0;
  }
  /// Whether any fault can hit requests of a kind; without one no dice need be thrown.
  [[nodiscard]] bool hits_reads() const noexcept {
    return (read_error | short_transfer | transient_error | bit_rot | latent_sector_error) != 0;
  }
};

/// What a request is, for the plan's purposes.
struct RequestKind {
  enum class Op : std::uint8_t { read, write, sync, resize } op = Op::read;
  bool extends = false;    ///< a write past the current end
  bool divisible = false;  ///< more than one sector
};

/// The fault that `roll` in [0, kDice) means for a request, or FaultKind::count_ for none. 0 always means none.
[[nodiscard]] FaultKind decide(const FaultPlan& plan, const RequestKind& request, std::uint32_t roll) noexcept;

}  // namespace pagedb::faults
