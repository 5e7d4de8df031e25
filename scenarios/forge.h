// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Forge: a hostile hand edits one node of an allocation map, and makes every checksum right again.
//
// Rot and misdirection are told by checksum and generation, whatever else a reader checks. Only a node that verifies
// and whose contents contradict each other shows whether anybody looks at them. Each edit breaks a rule of
// engine/FORMAT.md (Allocation map, Reading), so that a forged map is never a sound one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "scenarios/reference_allocation.h"
#include "sim/choices.h"

namespace pagedb::scenarios {

/// What to write over a file's pages.
struct Forgery {
  struct Page {
    std::uint64_t id = 0;
    std::vector<std::byte> bytes;
  };
  /// A number that was changed, checksums apart.
  struct Field {
    std::uint64_t offset = 0;  ///< in the file
    std::uint64_t value = 0;   ///< what stands there now: 8 bytes, or for a bit the byte in which it is set
  };
  std::vector<Page> pages;    ///< the edited node, those above it up to the root, the superblocks that name the root
  std::vector<Field> fields;  ///< in the order in which they were changed
};

/// An edit of `map`, a sound one, to which `superblock` refers. Nothing where the map has no nodes, or a
/// superblock does not verify: when a torn write makes such a one whole again, it would contradict the other one.
/// Decisions come from `span`.
[[nodiscard]] std::optional<Forgery> forge(const ReferenceSuperblock& superblock, const ReferenceAllocation& map,
                                           const ReadPage& read_page, sim::Choices& choices, sim::Span& span);

}  // namespace pagedb::scenarios
