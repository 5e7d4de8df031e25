// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/allocation_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "scenarios/sim_run.h"

namespace pagedb::scenarios {
namespace {

constexpr std::uint64_t kLookAtAll = 128;  // below this high water every page is asked for
constexpr std::uint32_t kDraws = 6;
constexpr unsigned kAttempts = 16;  // while faults get in the way

/// Calls `ask` for the pages that tell most: all of a small map, else both ends of each range.
template <class Ask>
void for_telling_pages(const std::vector<PageRange>& allocated, std::uint64_t high_water, Ask&& ask) {
  if (high_water < kLookAtAll) {
    for (std::uint64_t page = 0; page < high_water + 2; ++page) ask(page);
    return;
  }
  for (const PageRange& range : allocated) {
    for (const std::uint64_t page : {range.begin - 1, range.begin, range.end - 1, range.end}) ask(page);
  }
}

/// What `map` says against what `allocator` says.
std::string compare(AllocatorSubject& allocator, const ReferenceAllocation& map, const ReferenceGeometry& geometry,
                    sim::Choices& choices, sim::Span& span) {
  std::string wrong;
  const auto ask = [&](std::uint64_t page) {
    if (!wrong.empty()) return;
    const Result<bool> said = allocator.is_allocated(PageId{page});
    if (!map.is_known(page) && !geometry.reserved(page)) {
      const auto hides = [page](const ReferenceAllocation::Damage& damage) {
        return damage.pages.begin <= page && page < damage.pages.end;
      };
      const auto damage = std::find_if(map.damaged.begin(), map.damaged.end(), hides);
      const ErrorCode expected = damage->unreadable ? ErrorCode::io_error : ErrorCode::allocation_damaged;
      if (said)
        wrong = fmt::format("page {}: is_allocated says {}, but damage hides that", page, *said);
      else if (said.error().code != expected || said.error().page.value != damage->page)
        wrong = fmt::format("page {}: is_allocated says {}, but page {} is damaged", page, said.error().message(),
                            damage->page);
      return;
    }
    // A page past high water is free, but whoever asks a node below the root first may answer with that one's damage.
    const auto names = [&](const ReferenceAllocation::Damage& damage) {
      return damage.page == said.error().page.value && damage.pages.end == map.high_water;
    };
    if (!said && page >= map.high_water && std::any_of(map.damaged.begin(), map.damaged.end(), names)) return;
    if (!said)
      wrong = fmt::format("page {}: is_allocated says {}", page, said.error().message());
    else if (*said != map.is_allocated(page))
      wrong = fmt::format("page {} is {}, says the medium, and the allocator says the opposite", page,
                          *said ? "free" : "in use");
  };
  for_telling_pages(map.allocated, map.high_water, ask);
  for (const ReferenceAllocation::Damage& damage : map.damaged) {
    ask(damage.pages.begin + geometry.region_pages() / 2);
  }
  for (std::uint32_t i = 0; i < kDraws && map.high_water >= kLookAtAll; ++i)
    ask(choices.draw(span, sim::Site::op_page, static_cast<std::uint32_t>(map.high_water)));
  if (!wrong.empty()) return wrong;
  if (const std::uint64_t said = allocator.high_water().value; said != map.high_water)
    return fmt::format("high water is {}, says the medium, and the allocator says {}", map.high_water, said);
  const std::uint64_t free = geometry.usable({0, map.high_water}) - map.used;
  if (const std::uint64_t said = allocator.free_count(); said != free)
    return fmt::format("{} pages are free, says the medium, and the allocator says {}", free, said);
  return {};
}

}  // namespace

std::unique_ptr<AllocatorSubject> verify_allocation(Branch& branch, Subject& file,
                                                    const PageAllocatorOptions& options) {
  SimRun& run = branch.run();
  const std::size_t depth = branch.depth();
  const SimRun::FoundMap found = run.find_map(*branch.media(), branch.length());
  if (found.map == nullptr) return nullptr;  // an interrupted create
  const ReferenceAllocation map = *found.map;
  if (depth != 0) {
    run.allocation(depth).opened();
    std::size_t level = depth - 1;
    Verdict verdict = run.allocation(level).judge_found(found.superblock, map, run.damaging());
    while (verdict.kind == Verdict::Kind::broken && !run.allocation(level).is_open())
      verdict = run.allocation(--level).judge_found(found.superblock, map, run.damaging());
    // Damage to the newer slot of what an earlier crash left can bring back a commit from before that crash.
    if (depth > 1 && run.damaging() && run.allocation(depth - 2).commit_of(found.superblock))
      verdict = {Verdict::Kind::excused, {}, {}};
    branch.note_metadata(verdict);
  } else if (!map.sound() && !run.damaging()) {
    branch.report(Invariant::allocator, "the allocation map of the running file does not verify");
  }
  branch.promised_by(map);

  auto allocator = file.allocator(options);
  const bool root_damaged = !map.sound() && map.nodes.empty();
  if (!allocator) {
    const PageError& error = allocator.error();
    const ErrorCode expected =
        root_damaged && map.damaged.front().unreadable ? ErrorCode::io_error : ErrorCode::allocation_damaged;
    if (!root_damaged || error.code != expected)
      branch.report(Invariant::typed_errors, "the allocator does not open: " + error.message());
    return nullptr;
  }
  if (root_damaged) {
    branch.report(Invariant::allocator, "the allocator opens although its root does not verify");
    return nullptr;
  }
  const std::string wrong = compare(**allocator, map, run.allocation(0).geometry(), run.choices(), branch.span());
  if (!wrong.empty()) branch.report(Invariant::allocator, wrong);
  return std::move(*allocator);
}

void use_recovered(Branch& branch, AllocatorSubject& allocator, const PageAllocatorOptions& options) {
  SimRun& run = branch.run();
  AllocationOracle& oracle = run.allocation(branch.depth());
  sim::Choices& choices = run.choices();
  const auto alive = [&] { return !branch.disk().sealed() && !run.over(); };
  const std::uint32_t rounds = 1 + choices.draw(branch.span(), sim::Site::op_size, 2);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const std::uint32_t allocations = 1 + choices.draw(branch.span(), sim::Site::op_size, 3);
    for (std::uint32_t i = 0; i < allocations && alive(); ++i) {
      const std::size_t operation = oracle.allocate_begins(1);
      const Result<PageId> page = allocator.allocate();
      if (!alive()) return;
      if (page) {
        run.report(oracle.allocated(operation, page->value, oracle.acknowledged()));
        continue;
      }
      oracle.not_allocated(operation);
      const ErrorCode code = page.error().code;
      const bool full = code == ErrorCode::no_free_page && options.end;
      if (!full && !(run.damaging() && (code == ErrorCode::allocation_damaged || code == ErrorCode::io_error)))
        branch.report(Invariant::typed_errors, "allocate after a recovery: " + page.error().message());
    }
    if (!oracle.owned().ranges().empty() && choices.draw(branch.span(), sim::Site::op_kind, 2) != 0 && alive()) {
      const std::uint64_t page = oracle.owned().ranges().front().begin;
      const std::size_t operation = oracle.free_begins({page, page + 1});
      const Result<void> freed = allocator.free(PageId{page});
      if (!alive()) return;
      oracle.freed(operation, freed.has_value());
      if (!freed) branch.report(Invariant::typed_errors, "free after a recovery: " + freed.error().message());
    }
    if (!alive()) return;
    const std::size_t sync = oracle.sync_begins();
    const Result<void> synced = allocator.sync();
    if (!alive()) return;
    run.report(oracle.sync_ended(sync, synced.has_value()));
    if (!synced) branch.report(Invariant::typed_errors, "sync after a recovery: " + synced.error().message());
  }
}

void verify_quiet(Host& host, AllocatorSubject& allocator) {
  const AllocationOracle& oracle = host.allocation();
  const std::vector<PageRange>& owned = oracle.owned().ranges();
  const std::uint64_t high_water = allocator.high_water().value;
  host.operation_begins();
  const Time since = host.scheduler().now();
  const auto complain = [&](const std::string& what) { host.violation(Invariant::allocator, what); };
  for_telling_pages(owned, high_water, [&](std::uint64_t page) {
    Result<bool> said = allocator.is_allocated(PageId{page});
    for (unsigned attempt = 0;
         attempt < kAttempts && !said && host.judge_call(&said.error(), "is_allocated", Owes::nothing, since);
         ++attempt)
      said = allocator.is_allocated(PageId{page});
    if (!said || *said != oracle.owned().contains(page))
      complain(fmt::format("page {}: somebody has it: {}; is_allocated says {}", page, oracle.owned().contains(page),
                           said ? (*said ? "true" : "false") : said.error().message()));
  });
  if (!owned.empty() && owned.back().end > high_water)
    complain(fmt::format("page {} is in use, but high water is {}", owned.back().end - 1, high_water));
  const std::uint64_t free = oracle.geometry().usable({0, high_water}) - oracle.owned().size();
  if (const std::uint64_t said = allocator.free_count(); said != free)
    complain(fmt::format("{} pages are free, but free_count says {}", free, said));
}

}  // namespace pagedb::scenarios
