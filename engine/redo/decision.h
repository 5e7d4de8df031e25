// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The decision table of redo: what a record does to the page that recovery finds. recovery.h is the manual.
#pragma once

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

/// How a page of LSN `page` (none: invalid) stands to a record of LSN `lsn`.
[[nodiscard]] Standing standing_of(std::optional<Lsn> page, Lsn previous, Lsn lsn) noexcept;

/// The table's answer for a record of `kind`, which is image or change.
[[nodiscard]] Decision decide(RedoKind kind, Standing standing) noexcept;

}  // namespace pagedb::detail
