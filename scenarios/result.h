// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What a run and a campaign give: counters, violations, hashes. Plain values; reports/ turns them into text, JSON and
// JUnit.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "faults/fault.h"

namespace pagedb::scenarios {

/// The promises that the oracle judges by. Each has a test that makes it fire.
enum class Invariant : std::uint8_t {
  integrity,      ///< no Ok read returns bytes that were never written to that page as a whole
  durability,     ///< what a successful sync covered survives, as far as the obligations promise
  lsn_monotonic,  ///< a recovered page's LSN is never below its durable one
  write_ahead,    ///< a page is written only once its LSN is durable in the log
  typed_errors,   ///< each fault surfaces as its own error
  allocator,      ///< no page both free and in use, none given to two, nothing that a sync covered lost or mixed
  liveness,       ///< after injection stops every call returns within stated virtual time and steps
  bounded,        ///< recovery's I/O and memory are bounded by the file
  no_abort,       ///< no abort, sanitizer report, runaway loop or memory
  count_,
};

/// Names as reports print them: "integrity", "typed-errors", "no-abort".
[[nodiscard]] std::string_view name(Invariant invariant) noexcept;

/// `word` as a shell takes it for one word, quoted only where it must be.
[[nodiscard]] std::string shell_quoted(std::string_view word);

/// One broken promise.
struct Violation {
  std::string scenario;
  std::uint64_t seed = 0;
  std::string profile;  ///< name, or path when it came from a file
  Invariant invariant{};
  std::uint64_t branch = 0;  ///< number of the crash branch in which it showed; 0: in the workload itself
  std::string message;       ///< one line for people
  std::string command;  ///< set by the campaign, which knows how the program was called; empty: `pagesim replay ...`
  /// The command that shows it again, ready to paste.
  [[nodiscard]] std::string replay_command() const;
};

/// What is counted in a run, and added up over a campaign.
struct Counters {
  std::uint64_t seeds = 0;
  std::uint64_t crashes = 0;  ///< crash states made
  std::uint64_t recoveries_verified =
      0;  ///< of these, distinct in their run (image and obligations) and verified after a recovery
  std::uint64_t recoveries_repeated =
      0;                      ///< crash states equal to one already verified in the same run; not recovered again
  std::uint64_t sim_ios = 0;  ///< simulated transfers completed
  faults::FaultCounts faults{};
  faults::FateCounts fates{};
  Counters& operator+=(const Counters& other) noexcept;
};

/// One seed's result.
struct RunResult {
  Counters counters;
  std::uint64_t trace_hash = 0;
  std::vector<Violation> violations;  ///< the first few; a broken engine breaks many times
};

}  // namespace pagedb::scenarios
