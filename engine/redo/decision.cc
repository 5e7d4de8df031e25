// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The decision table.
#include "engine/redo/decision.h"

#include <array>
#include <cstddef>

namespace pagedb::detail {
namespace {

constexpr std::array<DecisionRow, 5> kDecisions = {{
    {Standing::reached, Decision::skip, Decision::skip},
    {Standing::at_previous, Decision::install, Decision::apply},
    {Standing::below_previous, Decision::install, Decision::lost_write},
    {Standing::between, Decision::install, Decision::broken_chain},
    {Standing::invalid, Decision::install, Decision::wait},
}};

}  // namespace

std::span<const DecisionRow> decisions() noexcept { return kDecisions; }

Standing standing_of(std::optional<Lsn> page, Lsn previous, Lsn lsn) noexcept {
  if (!page) return Standing::invalid;
  if (*page >= lsn) return Standing::reached;
  if (*page == previous) return Standing::at_previous;
  return *page < previous ? Standing::below_previous : Standing::between;
}

Decision decide(RedoKind kind, Standing standing) noexcept {
  const DecisionRow& row = kDecisions[static_cast<std::size_t>(standing)];
  return kind == RedoKind::image ? row.image : row.change;
}

}  // namespace pagedb::detail
