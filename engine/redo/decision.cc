// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The decision table.
#include "engine/redo/decision.h"

#include <array>
#include <cstddef>

namespace pagedb::detail {
namespace {

/// One row a case: what an image does, and what a change does.
struct Row {
  Standing standing;
  Decision image;
  Decision change;
};
constexpr std::array<Row, 5> kDecisions = {{
    {Standing::reached, Decision::skip, Decision::skip},
    {Standing::at_previous, Decision::install, Decision::apply},
    {Standing::below_previous, Decision::install, Decision::lost_write},
    {Standing::between, Decision::install, Decision::broken_chain},
    {Standing::invalid, Decision::install, Decision::wait},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kDecisions.size(); ++i) {
    if (static_cast<std::size_t>(kDecisions[i].standing) != i) return false;
  }
  return true;
}
static_assert(in_order(), "a row is found by its Standing");

}  // namespace

Standing standing_of(std::optional<Lsn> page, Lsn previous, Lsn lsn) noexcept {
  if (!page) return Standing::invalid;
  if (*page >= lsn) return Standing::reached;
  if (*page == previous) return Standing::at_previous;
  return *page < previous ? Standing::below_previous : Standing::between;
}

Decision decide(RedoKind kind, Standing standing) noexcept {
  const Row& row = kDecisions[static_cast<std::size_t>(standing)];
  return kind == RedoKind::image ? row.image : row.change;
}

}  // namespace pagedb::detail
