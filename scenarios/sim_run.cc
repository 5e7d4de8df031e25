// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/sim_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"
#include "scenarios/memory_meter.h"
#include "scenarios/reference_page.h"
#include "scenarios/sim_world.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {

using faults::Fate;
using faults::FaultKind;
using faults::InjectedFault;
using sim::EventKind;

namespace {

enum SpanKind : std::uint32_t { kBranch = 103, kWorkload = 105 };  // sim_world.h has 101, 102 and 104

constexpr std::size_t kViolationsMax = 8;  // a broken engine breaks on every page; the first few tell
std::string_view text(sim::Stall stall) {
  return stall == sim::Stall::deadlock ? "nothing can wake it" : "too many steps or too much time";
}

constexpr std::uint64_t kCreateBytes = 2u << 20;  // what a page file holds besides pages, rounded up

}  // namespace

SimRun::SimRun(const RunRequest& request, std::string_view scenario, SimPlan plan)
    : request_(request),
      scenario_(scenario),
      plan_(std::move(plan)),
      span_(sim::Span(), kWorkload, 0),
      stacks_(512 * 1024),
      worlds_{std::make_unique<World>(*this, 0), std::make_unique<World>(*this, 1), std::make_unique<World>(*this, 2)},
      oracle_(plan_.page_size, plan_.pages, request.seed, worlds_[0]->arena),
      allocation_{AllocationOracle(plan_.page_size.bytes()), AllocationOracle(plan_.page_size.bytes()),
                  AllocationOracle(plan_.page_size.bytes())},
      page_(plan_.page_size.bytes()) {
  damaging_ = (plan_.crash_damage | plan_.forge) != 0 ||
              (plan_.faults.misdirected_write | plan_.faults.dropped_write) != 0 || plan_.faults.bit_rot != 0 ||
              plan_.faults.latent_sector_error != 0;
  worlds_[0]->start(sim::Span(), &plan_.faults, 1);
  result_.counters.seeds = 1;
}

SimRun::~SimRun() = default;

IoBackend& SimRun::backend() { return worlds_[0]->disk; }
sim::SimScheduler& SimRun::scheduler() { return *worlds_[0]->scheduler; }

void SimRun::stop_faults() { plan_.faults = {}; }

bool SimRun::over() { return worlds_[0]->stall != sim::Stall::none || result_.violations.size() >= kViolationsMax; }

void SimRun::violation(Invariant invariant, const std::string& message) {
  request_.trace->add({.kind = EventKind::verdict, .a = static_cast<std::uint64_t>(invariant) + 1, .b = branch_});
  if (result_.violations.size() >= kViolationsMax) return;
  Violation& broken = result_.violations.emplace_back();
  broken.scenario = scenario_;
  broken.seed = request_.seed;
  broken.profile = request_.profile->name;
  broken.invariant = invariant;
  broken.branch = branch_;
  broken.message = branch_ == 0 ? message : fmt::format("crash {}: {}", branch_, message);
}

void SimRun::report(const Verdict& verdict) {
  if (verdict.kind == Verdict::Kind::broken) violation(verdict.invariant, verdict.message);
}

void SimRun::write_submitted(sim::WriteRecord& record) {
  if (worlds_[0]->disk.files()[record.file - 1]->path != path_) return;
  report(oracle_.submitted(record, false));
  note_commit(0, record, worlds_[0]->disk);
}

void SimRun::write_memory_changed(const sim::WriteRecord& record) {
  violation(Invariant::integrity,
            fmt::format("memory of the write at byte {} changed while it was in flight", record.intended));
}

void SimRun::fault_injected(std::uint32_t index, const InjectedFault& fault) {
  switch (fault.kind) {
    case FaultKind::flush_failure:
      flush_failed_ = true;
      oracle_.flush_failed();
      [[fallthrough]];
    case FaultKind::read_error:
    case FaultKind::write_error:
    case FaultKind::no_space:
    case FaultKind::short_transfer:
    case FaultKind::transient_error:
      break;
    default: {  // hits the medium, not a caller
      const auto in_slot = [&](std::uint64_t offset) {
        return std::ranges::any_of(kSuperblockOffsets, [&](std::uint64_t slot) {
          return offset < slot + page_.size() && slot < offset + fault.size;
        });
      };
      slots_hit_ |= in_slot(fault.offset) || (fault.kind == FaultKind::misdirected_write && in_slot(fault.intended));
      return;
    }
  }
  if (operation_faults_.size() <= fault.fiber) operation_faults_.resize(fault.fiber + 1u);
  operation_faults_[fault.fiber].push_back(index);
  told_.emplace_back(index, scheduler().now());
}

void SimRun::operation_begins() {
  const std::uint16_t fiber = scheduler().fiber_number();
  if (operation_faults_.size() <= fiber) operation_faults_.resize(fiber + 1u);
  operation_faults_[fiber].clear();
}

namespace {

bool is_harmless(FaultKind kind) { return kind == FaultKind::short_transfer || kind == FaultKind::transient_error; }

/// Whether an error is what a caller is told of a fault.
bool names(const PageError& error, const InjectedFault& fault) {
  if (fault.kind == FaultKind::no_space) return error.code == ErrorCode::no_space;
  if (fault.kind == FaultKind::short_transfer) return error.code == ErrorCode::short_transfer;
  return error.code == ErrorCode::io_error && error.sys_errno == fault.sys_errno;
}

}  // namespace

bool SimRun::explain(const PageError* error, const std::function<bool(const InjectedFault&)>& touches) {
  const std::uint16_t fiber = scheduler().fiber_number();
  if (operation_faults_.size() <= fiber) return false;
  faults::Ledger& ledger = worlds_[0]->ledger;
  bool explained = false;
  for (const std::uint32_t index : operation_faults_[fiber]) {
    const InjectedFault fault = ledger.faults()[index];
    if (!touches(fault)) continue;
    const bool harmless = is_harmless(fault.kind);
    if (error == nullptr) {
      ledger.judge(index, harmless || fault.kind == FaultKind::read_error ? Fate::masked : Fate::silent);
      if (!harmless && fault.kind != FaultKind::read_error) {
        violation(Invariant::typed_errors, fmt::format("{} at byte {} was injected, and the call returned Ok",
                                                       faults::name(fault.kind), fault.offset));
      }
      continue;
    }
    const bool named = names(*error, fault);
    explained |= named;
    ledger.judge(index, named ? Fate::detected : Fate::masked);
  }
  return explained;
}

void SimRun::judge_error(const PageError& error, std::string_view what, bool explained) {
  if (explained || (error.code == ErrorCode::poisoned && flush_failed_)) return;
  violation(Invariant::typed_errors,
            fmt::format("{} failed, and no injected fault explains it: {}", what, error.message()));
}

void SimRun::judge_read(std::size_t page, const PageError* error, std::span<const std::byte> bytes) {
  if (over()) return;
  const sim::FileState* file = page_file(worlds_[0]->disk);
  const std::uint64_t begin = oracle_.pages()[page].value << oracle_.page_size().shift(),
                      end = begin + oracle_.page_size().bytes();
  const bool explained = explain(error, [&](const InjectedFault& fault) {
    return fault.kind != FaultKind::flush_failure && fault.offset < end && begin < fault.offset + fault.size;
  });
  if (error != nullptr && (explained || (error->code == ErrorCode::poisoned && flush_failed_))) return;
  report(oracle_.judge_live(page, error, bytes, file->current, file->length));
}

void SimRun::judge_write(std::size_t page, const PageError* error) {
  if (over()) return;
  const std::uint64_t begin = oracle_.pages()[page].value << oracle_.page_size().shift(),
                      end = begin + oracle_.page_size().bytes();
  const bool explained = explain(error, [&](const InjectedFault& fault) {
    return fault.kind != FaultKind::flush_failure && fault.offset < end && begin < fault.offset + fault.size;
  });
  if (error != nullptr) judge_error(*error, fmt::format("writing page {}", oracle_.pages()[page].value), explained);
}

void SimRun::judge_sync(const PageError* error, bool poisoned) {
  if (over()) return;
  const bool explained = explain(error, [](const InjectedFault&) { return true; });
  if (error == nullptr) return;
  // Callers that waited for another one's sync share its failure.
  const bool shared = error->code == ErrorCode::io_error && flush_failed_ && poisoned;
  judge_error(*error, "sync", explained || shared);
  if (!poisoned) violation(Invariant::typed_errors, "sync failed, and the file does not say that it is poisoned");
}

bool SimRun::judge_call(const PageError* error, std::string_view what, Owes owes, Time since) {
  if (over()) return true;
  faults::Ledger& ledger = worlds_[0]->ledger;
  if (error == nullptr) {
    const std::uint16_t fiber = scheduler().fiber_number();
    if (operation_faults_.size() <= fiber) return true;
    for (const std::uint32_t index : operation_faults_[fiber]) {
      const InjectedFault fault = ledger.faults()[index];
      const bool owed =
          (owes != Owes::nothing && (fault.kind == FaultKind::write_error || fault.kind == FaultKind::no_space)) ||
          (owes == Owes::syncs && fault.kind == FaultKind::flush_failure);
      ledger.judge(index, owed ? Fate::silent : Fate::masked);
      if (owed)
        violation(Invariant::typed_errors, fmt::format("{} at byte {} was injected, and {} returned Ok",
                                                       faults::name(fault.kind), fault.offset, what));
    }
    return true;
  }
  if (error->code == ErrorCode::poisoned) return flush_failed_;
  // Whoever waits for another one's request shares its failure, also if that came just before.
  constexpr Time kJustBefore = std::chrono::milliseconds(1);
  const std::uint64_t begin = error->page.value << oracle_.page_size().shift(),
                      end = begin + oracle_.page_size().bytes();
  bool explained = false;
  for (std::size_t i = told_.size(); i-- > 0 && told_[i].second + kJustBefore >= since;) {
    const InjectedFault fault = ledger.faults()[told_[i].first];
    const bool elsewhere =
        error->has_page && fault.size != 0 && (fault.offset >= end || begin >= fault.offset + fault.size);
    if (elsewhere || !names(*error, fault)) continue;
    ledger.judge(told_[i].first, Fate::detected);
    explained = true;
  }
  return explained;
}

void SimRun::judge_flushed(std::size_t page, std::uint64_t lsn) {
  if (over()) return;
  const sim::FileState* file = page_file(worlds_[0]->disk);
  report(oracle_.judge_flushed(page, lsn, file->current, file->length));
}

bool SimRun::judge_open(const PageError* error, bool creating, bool interrupted_create) {
  if (over()) return false;
  const bool explained = explain(error, [](const InjectedFault&) { return true; });
  if (error != nullptr && explained) return true;
  if (error == nullptr) flush_failed_ = false;
  if (creating) {
    if (error != nullptr) judge_error(*error, "create", false);
    return false;
  }
  const sim::FileState* file = page_file(worlds_[0]->disk);
  report(oracle_.judge_open(error, interrupted_create, file != nullptr ? &file->current : nullptr,
                            file != nullptr ? file->length : 0, true));
  return false;
}

void SimRun::boundary() {
  if (over()) return;
  ++branches_;
  if (request_.only_branch && *request_.only_branch != branches_) return;
  branch_ = branches_;
  sim::Span span(sim::Span(), kBranch, branches_);
  recover(*worlds_[1], worlds_[0]->disk, span);
  branch_ = 0;
}

void SimRun::while_off(World& world) {
  sim::Choices& choices = *request_.choices;
  for (const auto& file : world.disk.files()) {
    if (file->path != path_) continue;
    if (choices.chance(world.span(), sim::Site::media_fault, plan_.crash_damage, 256)) {
      const std::uint32_t kind = choices.draw(world.span(), sim::Site::media_fault, 2);
      world.disk.damage_something(world.span(), *file, kind == 0 ? FaultKind::bit_rot : FaultKind::latent_sector_error);
    }
    if (choices.chance(world.span(), sim::Site::media_fault, plan_.forge, 256)) forge_map(world, *file);
  }
}

void SimRun::recover(World& world, const sim::SimDisk& origin, sim::Span& span) {
  // A branch runs on whichever task met the boundary, in memory that all branches share. It is one task by itself: its
  // engine calls leave this scope standing, so that ThreadSanitizer does not hold one branch against another.
  const sim::HarnessScope scope;
  sim::Trace& trace = *request_.trace;
  Counters& counters = result_.counters;
  world.start(span, nullptr, origin.next_record());
  crash_.take(origin, world.disk, world.span());
  ++counters.crashes;
  while_off(world);
  sim::StateHash state = world.disk.durable_hash();
  state ^= oracle_.obligations();
  for (std::size_t level = world.depth(); plan_.allocator && level-- > 0;) {
    state ^= allocation_[level].obligations(level);
    if (allocation_[level].is_open()) break;  // what it found counts, and nothing from before
  }
  trace.add({.kind = EventKind::crash, .depth = world.depth(), .a = branch_, .b = state.low});
  if (!seen_.insert(state)) {
    ++counters.recoveries_repeated;
    return;
  }
  world.ledger.open({.kind = world.depth() == 1 ? FaultKind::crash : FaultKind::recovery_crash});

  // Freeze what the crash left: the recovery writes on a layer of its own.
  world.make_batch(oracle_);
  world.outcomes.assign(oracle_.pages().size(), Outcome::legal);
  Branch branch(*this, *world.scheduler, world.disk, world.batch, world.outcomes, world.span());
  std::uint64_t bytes_held = 0;
  for (const auto& file : world.disk.files()) {
    if (file->missing) continue;
    bytes_held += file->length;
    if (file->path != path_) continue;
    std::swap(world.image, file->durable);
    file->durable.reset(&world.image);
    file->current.reset(&file->durable);
    branch.found(world.image, file->length);
  }

  if (plan_.allocator) {
    const FoundMap found = branch.media() != nullptr ? find_map(*branch.media(), branch.length()) : FoundMap{};
    allocation_[world.depth()].restart(found.superblock, found.map != nullptr ? *found.map : ReferenceAllocation{});
  }

  const std::size_t violations = result_.violations.size();
  const std::uint64_t allocated = allocated_bytes();
  trace.add({.kind = EventKind::recover_begin, .depth = world.depth(), .a = world.depth()});
  plan_.recover(branch);
  trace.add(
      {.kind = EventKind::recover_end, .depth = world.depth(), .a = world.disk.ios(), .b = world.disk.io_bytes()});
  const std::uint64_t bytes_max = 4 * (bytes_held + kCreateBytes);
  const std::uint64_t asked = allocated_bytes() - allocated;
  if (world.stall != sim::Stall::none) {
    violation(Invariant::liveness, fmt::format("recovery is stuck ({})", text(world.stall)));
  } else if (world.disk.io_bytes() > bytes_max) {
    violation(Invariant::bounded,
              fmt::format("recovery moved {} bytes; {} is the bound for this file", world.disk.io_bytes(), bytes_max));
  } else if (asked > bytes_max) {
    violation(Invariant::bounded,
              fmt::format("recovery asked for {} bytes of memory; {} is the bound for this file", asked, bytes_max));
  }
  if (result_.violations.size() != violations) branch.condemn();
  close_faults(world.ledger, branch, true);
  world.ledger.add_to(counters.faults, counters.fates);
  PAGEDB_CHECK(world.ledger.unjudged() == 0, "every fault of a branch has a fate");
  ++counters.recoveries_verified;
  counters.sim_ios += world.disk.ios();
}

void SimRun::close_faults(faults::Ledger& ledger, const Branch& branch, bool crashed) {
  const auto fate_of = [](Outcome outcome, Fate when_legal) {
    switch (outcome) {
      case Outcome::legal:
        return when_legal;
      case Outcome::repaired:
        return Fate::repaired;
      case Outcome::detected:
        return Fate::detected;
      case Outcome::excused:
        return Fate::excused;
      case Outcome::silent:
        break;
    }
    return Fate::silent;
  };
  const unsigned shift = oracle_.page_size().shift();
  for (std::uint32_t index = 0; index < ledger.faults().size(); ++index) {
    const InjectedFault fault = ledger.faults()[index];
    if (fault.closed) continue;
    bool about_pages = false, persistent = false;
    switch (fault.kind) {
      case FaultKind::torn_write:
      case FaultKind::lost_write:
      case FaultKind::reordered_write:
        about_pages = true;
        break;
      case FaultKind::neighbour_damage:
      case FaultKind::misdirected_write:
      case FaultKind::dropped_write:
      case FaultKind::bit_rot:
      case FaultKind::latent_sector_error:
      case FaultKind::forged:
        about_pages = persistent = true;
        break;
      default:
        break;
    }
    const Fate when_legal = persistent || !crashed ? Fate::masked : Fate::void_;
    const bool in_pages = fault.file != 0 && branch.disk().files()[fault.file - 1]->path == path_;
    if (!about_pages || !in_pages) {
      // Of the whole run, or of a file that the oracle does not look into: the worst that came of anything stands for
      // it.
      ledger.judge(index, fault.kind == FaultKind::crash || fault.kind == FaultKind::recovery_crash
                              ? fate_of(branch.worst(), Fate::masked)
                          : branch.worst() == Outcome::silent ? Fate::silent
                                                              : when_legal);
      continue;
    }
    const auto judge_at = [&](std::uint64_t offset) {
      if (const auto page = oracle_.index_at(offset))
        return ledger.judge(index, fate_of(branch.page(*page), when_legal));
      ledger.judge(index, fate_of(branch.superblock(), when_legal));
    };
    for (std::uint64_t page = fault.offset >> shift;
         page <= (fault.offset + std::max<std::uint64_t>(fault.size, 1) - 1) >> shift; ++page) {
      judge_at(page << shift);
    }
    if (fault.kind == FaultKind::misdirected_write) judge_at(fault.intended);
  }
}

void SimRun::final_sweep() {
  World& trunk = *worlds_[0];
  trunk.make_batch(oracle_);
  trunk.outcomes.assign(oracle_.pages().size(), Outcome::legal);
  Branch sweep(*this, *trunk.scheduler, trunk.disk, trunk.batch, trunk.outcomes, trunk.span());
  const std::size_t violations = result_.violations.size();
  if (const sim::FileState* file = page_file(trunk.disk)) {
    sweep.found(file->current, file->length);
    if (const auto opened = sweep.open()) {
      if (plan_.sweep) plan_.sweep(sweep, *opened);
      sweep.verify(*opened);
    }
  }
  if (result_.violations.size() != violations) sweep.condemn();
  close_faults(trunk.ledger, sweep, false);
}

RunResult SimRun::finish() {
  World& trunk = *worlds_[0];
  stop_faults();
  if (!over()) final_sweep();
  if (trunk.stall != sim::Stall::none) {
    violation(Invariant::liveness, fmt::format("the workload is stuck ({})", text(trunk.stall)));
  }
  trunk.ledger.add_to(result_.counters.faults, result_.counters.fates);
  PAGEDB_CHECK(!result_.violations.empty() || trunk.ledger.unjudged() == 0, "every fault of a clean run has a fate");
  result_.counters.sim_ios += trunk.disk.ios();
  result_.trace_hash = request_.trace->hash();
  return std::move(result_);
}

}  // namespace pagedb::scenarios
