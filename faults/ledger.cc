// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "faults/ledger.h"

#include <algorithm>

namespace pagedb::faults {
namespace {

// Two different judgements of one fault are rare: a misdirected write hits two pages, a torn physical sector up to two.
int gravity(Fate fate) noexcept {
  switch (fate) {
    case Fate::void_:
      return 0;
    case Fate::masked:
      return 1;
    case Fate::repaired:
      return 2;
    case Fate::excused:
      return 3;
    case Fate::detected:
      return 4;
    case Fate::silent:
      return 5;
    case Fate::count_:
      break;
  }
  return 5;
}

}  // namespace

std::uint32_t Ledger::open(const InjectedFault& fault) {
  faults_.push_back(fault);
  return static_cast<std::uint32_t>(faults_.size() - 1);
}

void Ledger::judge(std::uint32_t index, Fate fate) {
  InjectedFault& fault = faults_[index];
  if (!fault.closed || gravity(fate) > gravity(fault.fate)) fault.fate = fate;
  fault.closed = true;
}

std::uint64_t Ledger::unjudged() const noexcept {
  return static_cast<std::uint64_t>(
      std::count_if(faults_.begin(), faults_.end(), [](const auto& f) { return !f.closed; }));
}

void Ledger::add_to(FaultCounts& kinds, FateCounts& fates) const noexcept {
  for (const InjectedFault& fault : faults_) {
    ++kinds[static_cast<std::size_t>(fault.kind)];
    if (fault.closed) ++fates[static_cast<std::size_t>(fault.fate)];
  }
}

}  // namespace pagedb::faults
