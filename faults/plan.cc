// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "faults/plan.h"

namespace pagedb::faults {

FaultKind decide(const FaultPlan& plan, const RequestKind& request, std::uint32_t roll) noexcept {
  using Op = RequestKind::Op;
  const bool read = request.op == Op::read, write = request.op == Op::write, sync = request.op == Op::sync;
  const struct {
    FaultKind kind;
    bool applies;
    std::uint32_t chance;
  } table[] = {
      {FaultKind::read_error, read, plan.read_error},
      {FaultKind::write_error, write, plan.write_error},
      {FaultKind::no_space, request.op == Op::resize || (write && request.extends), plan.no_space},
      {FaultKind::flush_failure, sync, plan.flush_failure},
      {FaultKind::short_transfer, (read || write) && request.divisible, plan.short_transfer},
      {FaultKind::transient_error, read || write || sync, plan.transient_error},
      {FaultKind::misdirected_write, write, plan.misdirected_write},
      {FaultKind::dropped_write, write, plan.dropped_write},
      {FaultKind::bit_rot, true, plan.bit_rot},
      {FaultKind::latent_sector_error, true, plan.latent_sector_error},
  };
  // Counted down from the top of the dice, so that 0 stays "no fault".
  std::uint32_t top = FaultPlan::kDice;
  for (const auto& row : table) {
    if (!row.applies || row.chance == 0) continue;
    if (row.chance >= top) return roll != 0 ? row.kind : FaultKind::count_;
    if (roll >= top - row.chance) return row.kind;
    top -= row.chance;
  }
  return FaultKind::count_;
}

}  // namespace pagedb::faults
