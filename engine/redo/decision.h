// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The decision table of redo: what a record does to the page that recovery finds. Installed nowhere; recovery.h is the
// manual.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/log.h"
#include "engine/types.h"

namespace pagedb::detail {

/// How a page stands to a record of its. Read from its LSN; a page that was never written has LSN 0.
enum class Standing : std::uint8_t {
  reached,         ///< at the record's LSN or above
  at_previous,     ///< where the record found it
  below_previous,  ///< below: a write between the two was acknowledged and is not there
  between,         ///< above the previous LSN and below the record's: not the page that was changed
  invalid,         ///< it does not verify, or cannot be read
};

/// What is done about it.
enum class Decision : std::uint8_t {
  skip,          ///< the page has it
  apply,         ///< the change is made
  install,       ///< the image takes the page's place
  lost_write,    ///< the page stays; a later image heals it, or else it is reported
  broken_chain,  ///< the same, with the log to blame
  wait,          ///< the page stays invalid; a later image heals it, or else it is reported
};

inline constexpr std::size_t kStandings = 5;

/// One row a case: of an image, and of a change.
struct DecisionRow {
  Standing standing;
  Decision image;
  Decision change;
};
inline constexpr std::array<DecisionRow, kStandings> kDecisions = {{
    {Standing::reached, Decision::skip, Decision::skip},
    {Standing::at_previous, Decision::install, Decision::apply},
    {Standing::below_previous, Decision::install, Decision::lost_write},
    {Standing::between, Decision::install, Decision::broken_chain},
    {Standing::invalid, Decision::install, Decision::wait},
}};

/// How a page of LSN `page` (none: invalid) stands to `record`.
[[nodiscard]] constexpr Standing standing_of(std::optional<Lsn> page, Lsn previous, Lsn lsn) noexcept {
  if (!page) return Standing::invalid;
  if (*page >= lsn) return Standing::reached;
  if (*page == previous) return Standing::at_previous;
  return *page < previous ? Standing::below_previous : Standing::between;
}

/// The table's answer for a record of `kind`, which is image or change.
[[nodiscard]] constexpr Decision decide(RedoKind kind, Standing standing) noexcept {
  const DecisionRow& row = kDecisions[static_cast<std::size_t>(standing)];
  return kind == RedoKind::image ? row.image : row.change;
}

}  // namespace pagedb::detail
