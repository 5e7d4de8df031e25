// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Ledger: every injected fault, and what became of it.
//
// A fault is opened by whoever injects it and closed by whoever can tell its fate (the oracle). Several judgements may
// be made of one fault (it may touch several pages); the gravest one stands. A ledger whose faults are not all closed
// at the end of a run is a defect of the harness.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "faults/fault.h"

namespace pagedb::faults {

/// One injected fault: what, where, and its fate once known.
struct InjectedFault {
  FaultKind kind{};
  std::uint32_t file = 0;      ///< number of the file; 0: none
  std::uint64_t offset = 0;    ///< first byte that it touches
  std::uint64_t size = 0;      ///< bytes that it touches; 0: none in particular
  std::uint64_t intended = 0;  ///< misdirected_write: where the write was sent
  std::uint64_t record = 0;    ///< id of the write concerned; 0: none
  int sys_errno = 0;           ///< what the caller was told, if anything
  std::uint16_t fiber = 0;     ///< which fiber's request it hit
  bool closed = false;
  Fate fate{};
};

/// All faults of one run, or of one crash branch.
class Ledger {
 public:
  /// Opens a fault; returns its index.
  std::uint32_t open(const InjectedFault& fault);
  /// Judges a fault. The gravest judgement stands: silent > detected > excused > repaired > masked > void.
  void judge(std::uint32_t index, Fate fate);
  /// All faults, in order of injection.
  [[nodiscard]] std::span<const InjectedFault> faults() const noexcept { return faults_; }
  [[nodiscard]] bool empty() const noexcept { return faults_.empty(); }
  /// Faults that nobody has judged.
  [[nodiscard]] std::uint64_t unjudged() const noexcept;
  /// Adds its faults to counts by kind and by fate.
  void add_to(FaultCounts& kinds, FateCounts& fates) const noexcept;
  void clear() noexcept { faults_.clear(); }

 private:
  std::vector<InjectedFault> faults_;
};

}  // namespace pagedb::faults
