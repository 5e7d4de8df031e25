// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/branch.h"

#include <algorithm>
#include <cstring>

#include "scenarios/sim_run.h"

namespace pagedb::scenarios {
namespace {

Outcome outcome_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::legal:
      return Outcome::legal;
    case Verdict::Kind::repaired:
      return Outcome::repaired;
    case Verdict::Kind::excused:
      return Outcome::excused;
    case Verdict::Kind::detected:
      return Outcome::detected;
    case Verdict::Kind::broken:
      break;
  }
  return Outcome::silent;
}

}  // namespace

Oracle& Branch::oracle() noexcept { return run_.oracle(); }

void Branch::report(Invariant invariant, const std::string& message) { run_.violation(invariant, message); }

void Branch::note(std::size_t page, const Verdict& verdict) {
  outcomes_[page] = outcome_of(verdict.kind);
  worst_ = std::max(worst_, outcomes_[page]);
  run_.report(verdict);
}

void Branch::note_metadata(const Verdict& verdict) {
  superblock_ = std::max(superblock_, outcome_of(verdict.kind));
  worst_ = std::max(worst_, superblock_);
  run_.report(verdict);
}

std::unique_ptr<Subject> Branch::open() {
  const bool recovered = disk_.setup().depth != 0;
  auto opened = run_.engine().open(scheduler_, disk_, run_.path(), {.page_size = oracle().page_size()});
  const Verdict verdict =
      oracle().judge_open(opened ? nullptr : &opened.error(), opened && (*opened)->open_report().interrupted_create,
                          media_, length_, false, run_.may_lose_both_slots());
  run_.report(verdict);
  superblock_ = outcome_of(verdict.kind);
  if (opened && recovered && (*opened)->open_report().superblock_healed) superblock_ = Outcome::repaired;
  worst_ = std::max(worst_, superblock_);
  if (opened) return std::move(*opened);
  std::fill(outcomes_.begin(), outcomes_.end(), superblock_);
  return nullptr;
}

std::uint64_t Branch::redo_from() {
  std::uint64_t found = 0;
  if (media_ != nullptr) run_.report(oracle().judge_redo_from(*media_, length_, found));
  redo_from_ = found;
  return found;
}

void Branch::verify(Subject& file) {
  const std::uint8_t depth = disk_.setup().depth;
  (void)file.read_batch(batch_);
  if (disk_.sealed()) return;
  const auto now_ns = static_cast<std::uint64_t>(scheduler_.now().count());
  for (std::size_t page = 0; page < batch_.size(); ++page) {
    const PageIo& io = batch_[page];
    const PageError* error = io.result ? nullptr : &io.result.error();
    if (error == nullptr) {
      std::uint64_t lsn;
      std::memcpy(&lsn, io.page.data() + 16, sizeof lsn);
      run_.trace().add(
          {.kind = sim::EventKind::page_ok, .depth = depth, .time_ns = now_ns, .a = io.id.value, .b = lsn});
    } else if (error->code != ErrorCode::never_written && error->code != ErrorCode::beyond_end) {
      run_.trace().add({.kind = sim::EventKind::page_error,
                        .depth = depth,
                        .a = io.id.value,
                        .b = static_cast<std::uint64_t>(error->code)});
    }
    const bool promised = !map_ || map_->is_allocated(io.id.value);
    note(page, depth == 0 ? oracle().judge_live(page, error, io.page, *media_, length_, promised)
                          : oracle().judge_recovered(page, error, io.page, *media_, length_, redo_from_, promised,
                                                     std::ranges::find(lost_, page) != lost_.end()));
  }
}

}  // namespace pagedb::scenarios
