// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/alloc_client.h"

#include <fmt/format.h>

#include "scenarios/pool_client.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kClient = 601, kOperation };

constexpr std::uint32_t kKinds = 64;
constexpr std::uint64_t kRun = 10;           // longest of the short runs
constexpr std::uint64_t kLargeRun = 16'300;  // nearly a region of pages of 4 KiB

const PageError* error_of(const Result<void>& result) { return result ? nullptr : &result.error(); }

}  // namespace

AllocClient::AllocClient(AllocShared& shared, std::uint32_t number, std::uint32_t round)
    : shared_(shared), span_(shared.host.span(), kClient, std::uint64_t{round} << 32 | number) {}

void AllocClient::run() {
  for (std::uint64_t number = 0; shared_.operations_left != 0 && !shared_.host.over(); ++number) {
    sim::Span own(span_, kOperation, number);
    const std::uint32_t kind = shared_.host.choices().draw(own, sim::Site::op_kind, kKinds);  // 0: stop
    if (kind == 0 || shared_.file.poisoned()) return;
    --shared_.operations_left;
    operation(kind, own);
  }
}

void AllocClient::operation(std::uint32_t kind, sim::Span& span) {
  if (kind < shared_.shape.shrink_in_64) return shrink();
  if (kind < 18) return allocate(span, 1, false, 0);
  if (kind < 21) return allocate(span, 1, true, 0);
  if (kind < 24) {
    const bool large = shared_.limits.large && shared_.host.choices().chance(span, sim::Site::op_size, 1, 3);
    const std::uint64_t pages = 2 + shared_.host.choices().draw(span, sim::Site::op_size, kRun - 1);
    return allocate(span, large ? kLargeRun : pages, false, 0);
  }
  if (kind < 36) return free(span, 0);
  if (kind < 38) return free_wrongly(span);
  if (kind < 40) return ask(span);
  if (kind < 44) return change(span);
  if (kind < 50) return sync();
  if (kind < 60 && shared_.pool != nullptr) {
    if (kind < 57) return write(span, shared_.host.choices().chance(span, sim::Site::op_value, 1, 4));
    return read(span);
  }
  pause(span);
}

void AllocClient::pause(sim::Span& span) {
  const std::uint32_t pause_us = shared_.host.choices().draw(span, sim::Site::think_time, 200);
  shared_.host.scheduler().park(shared_.host.scheduler().now() + std::chrono::microseconds(pause_us + 1));
}

// ---- judging

bool AllocClient::explained(const PageError& error, std::string_view what, Owes owes, Time since) {
  if (shared_.host.judge_call(&error, what, owes, since)) return true;
  shared_.host.violation(Invariant::typed_errors,
                         fmt::format("{} failed, and no injected fault explains it: {}", what, error.message()));
  return false;
}

std::uint64_t AllocClient::certainly_free() const {
  if (!shared_.limits.end) return 0;
  std::uint64_t count = 0;
  for (std::uint64_t page = 0; page < shared_.limits.end->value; ++page)
    count += shared_.host.allocation().certainly_free(page);
  return count;
}

std::size_t AllocClient::page_index(std::uint64_t page) const {
  return *shared_.host.oracle().index_at(page * shared_.host.oracle().page_size().bytes());
}

// ---- allocating

void AllocClient::allocate(sim::Span& span, std::uint64_t count, bool near, std::size_t change) {
  Host& host = shared_.host;
  AllocationOracle& oracle = host.allocation();
  std::uint64_t hint = 0;
  if (near) hint = host.choices().draw(span, sim::Site::op_page, 400);
  const std::uint64_t free_before = certainly_free(), others_before = shared_.in_flight;
  const bool tail_held = shared_.shrinking != 0 || shared_.tail_held;
  shared_.in_flight += count;
  host.operation_begins();
  const Time since = host.scheduler().now();
  const std::size_t operation = oracle.allocate_begins(count, change);
  Result<PageId> first = PageId{};
  if (count > 1) {
    first = shared_.allocator.allocate_run(count);
  } else if (near) {
    first = shared_.allocator.allocate_near(PageId{hint});
  } else {
    first = shared_.allocator.allocate();
  }
  shared_.in_flight -= count;
  if (host.over()) return;
  if (!first) {
    oracle.not_allocated(operation);
    if (first.error().code != ErrorCode::no_free_page) {
      static_cast<void>(explained(first.error(), "an allocation", Owes::nothing, since));
      return;
    }
    // Right if nothing was certainly free all the time; others may just have taken what was, and a shrink holds on to
    // the tail while it runs.
    const std::uint64_t left = std::min(free_before, certainly_free());
    const bool quiet = !tail_held && shared_.shrinking == 0 && !shared_.tail_held;
    if (!shared_.limits.end || (count == 1 && quiet && left > others_before + shared_.in_flight)) {
      host.violation(Invariant::allocator, fmt::format("no_free_page, but {} pages are free", left));
    }
    return;
  }
  static_cast<void>(host.judge_call(nullptr, "an allocation", Owes::nothing, since));
  const Verdict verdict = oracle.allocated(operation, first->value, host.durable_commit());
  if (verdict.kind == Verdict::Kind::broken) return host.violation(verdict.invariant, verdict.message);
  if (shared_.limits.end && first->value + count > shared_.limits.end->value) {
    return host.violation(Invariant::allocator,
                          fmt::format("page {} was given out, past the end", first->value + count - 1));
  }
  const std::uint64_t owner = ++shared_.owners;
  owned_.push_back({{first->value, first->value + count}, owner});
  if (shared_.pool == nullptr) return;
  for (std::uint64_t page = first->value; page < first->value + count; ++page) {
    host.oracle().given_up(page_index(page));
    shared_.versions[page] = {.owner = owner};
  }
  if (change == 0 && host.choices().chance(span, sim::Site::op_value, 3, 4)) write_page(first->value, true);
}

void AllocClient::free(sim::Span& span, std::size_t change) {
  if (owned_.empty()) return;
  Host& host = shared_.host;
  const std::size_t which = host.choices().draw(span, sim::Site::op_page, static_cast<std::uint32_t>(owned_.size()));
  const Owned given = owned_[which];
  owned_.erase(owned_.begin() + static_cast<std::ptrdiff_t>(which));
  if (shared_.pool != nullptr) {
    for (std::uint64_t page = given.pages.begin; page < given.pages.end; ++page) {
      in_engine([&] { shared_.pool->drop(PageId{page}); });
      shared_.versions.erase(page);
    }
  }
  host.operation_begins();
  const Time since = host.scheduler().now();
  const std::size_t operation = host.allocation().free_begins(given.pages, change);
  Result<void> result;
  std::uint64_t done = 0;
  for (std::uint64_t page = given.pages.begin; page < given.pages.end && result; ++page, ++done)
    result = shared_.allocator.free(PageId{page});
  if (host.over()) return;
  if (!result && done > 1) {
    // A part of it is free now. No more is said of it: that takes a poisoned file.
    static_cast<void>(explained(result.error(), "a free", Owes::nothing, since));
    return host.allocation().freed(operation, true);
  }
  host.allocation().freed(operation, result.has_value());
  if (result) {
    static_cast<void>(host.judge_call(nullptr, "a free", Owes::nothing, since));
  } else if (explained(result.error(), "a free", Owes::nothing, since)) {
    owned_.push_back(given);
  }
}

void AllocClient::free_wrongly(sim::Span& span) {
  Host& host = shared_.host;
  const AllocationOracle& oracle = host.allocation();
  const std::uint64_t page = host.choices().draw(span, sim::Site::op_page, 1200);
  // Somebody else may be allocating it.
  if (oracle.owned().contains(page) || shared_.in_flight != 0) return;
  const std::uint64_t owners = shared_.owners;
  host.operation_begins();
  const Time since = host.scheduler().now();
  const Result<void> result = shared_.allocator.free(PageId{page});
  if (host.over() || owners != shared_.owners || shared_.in_flight != 0) return;
  if (result) return host.violation(Invariant::allocator, fmt::format("page {} was freed, and nobody had it", page));
  const ErrorCode expected = oracle.geometry().reserved(page) ? ErrorCode::reserved_page : ErrorCode::not_allocated;
  if (result.error().code != expected) static_cast<void>(explained(result.error(), "a free", Owes::nothing, since));
}

void AllocClient::ask(sim::Span& span) {
  Host& host = shared_.host;
  const AllocationOracle& oracle = host.allocation();
  std::uint64_t page = host.choices().draw(span, sim::Site::op_page, 1200);
  if (!owned_.empty() && host.choices().draw(span, sim::Site::op_size, 2) != 0) page = owned_.front().pages.begin;
  const bool before = oracle.owned().contains(page);
  const std::uint64_t owners = shared_.owners;
  host.operation_begins();
  const Time since = host.scheduler().now();
  const Result<bool> said = shared_.allocator.is_allocated(PageId{page});
  if (host.over()) return;
  if (!said) {
    static_cast<void>(explained(said.error(), "is_allocated", Owes::nothing, since));
    return;
  }
  static_cast<void>(host.judge_call(nullptr, "is_allocated", Owes::nothing, since));
  if (owners != shared_.owners || shared_.in_flight != 0 || oracle.owned().contains(page) != before) return;
  if (*said != before && !oracle.being_freed(page))
    host.violation(Invariant::allocator, fmt::format("page {}: is_allocated says {}", page, *said));
}

void AllocClient::change(sim::Span& span) {
  Host& host = shared_.host;
  auto open = shared_.allocator.change();
  const std::size_t change = host.allocation().change_begins();
  const std::uint32_t operations = 2 + host.choices().draw(span, sim::Site::op_size, 3);
  for (std::uint32_t i = 0; i < operations && !host.over() && !shared_.file.poisoned(); ++i) {
    if (host.choices().draw(span, sim::Site::op_kind, 3) < 2) {
      allocate(span, 1, false, change);
    } else {
      free(span, change);
    }
    if (host.choices().chance(span, sim::Site::op_value, 1, 4)) pause(span);
  }
  // Over only once it is closed: a snapshot may be taken in between, and it has all of it.
  host.allocation().change_ends(change);
  open.reset();
}

// ---- making durable

void AllocClient::sync() {
  Host& host = shared_.host;
  host.operation_begins();
  const Time since = host.scheduler().now();
  const std::size_t sync = host.allocation().sync_begins();
  Result<void> result;
  if (shared_.pool == nullptr) {
    result = shared_.allocator.sync();
  } else {
    const auto covered = shared_.versions;
    const Lsn begin{host.oracle().next_lsn()};
    host.oracle().redo_from_asked(begin.value);
    Lsn counts;
    result = in_engine([&] { return shared_.pool->checkpoint(begin).map([&counts](Lsn from) { counts = from; }); });
    if (!host.over() && result) {
      host.oracle().redo_from_stored(counts.value);
      for (const auto& [page, version] : covered) {
        // Dropped meanwhile, or somebody else's by now: nothing is promised of it.
        const auto now = shared_.versions.find(page);
        if (version.lsn != 0 && now != shared_.versions.end() && now->second.owner == version.owner)
          host.oracle().checkpointed(version.lsn);
      }
    }
  }
  if (host.over()) return;
  const Verdict verdict = host.allocation().sync_ended(sync, result.has_value());
  if (verdict.kind == Verdict::Kind::broken) host.violation(verdict.invariant, verdict.message);
  if (result) shared_.tail_held = false;
  if (!result) {
    static_cast<void>(explained(result.error(), "a sync", Owes::syncs, since));
  } else {
    static_cast<void>(host.judge_call(error_of(result), "a sync", Owes::syncs, since));
  }
}

void AllocClient::shrink() {
  Host& host = shared_.host;
  host.operation_begins();
  const Time since = host.scheduler().now();
  const std::size_t sync = host.allocation().sync_begins();
  ++shared_.shrinking;
  const Result<void> result = shared_.allocator.shrink_to_fit();
  --shared_.shrinking;
  if (host.over()) return;
  // After an error the commit may have been made, and the cut not.
  shared_.tail_held |= !result;
  const Verdict verdict = host.allocation().sync_ended(sync, result.has_value());
  if (verdict.kind == Verdict::Kind::broken) host.violation(verdict.invariant, verdict.message);
  if (!result) {
    static_cast<void>(explained(result.error(), "a shrink", Owes::syncs, since));
  } else {
    static_cast<void>(host.judge_call(nullptr, "a shrink", Owes::syncs, since));
  }
}

// ---- pages

void AllocClient::write(sim::Span& span, bool fresh) {
  if (owned_.empty()) return allocate(span, 1, false, 0);
  const PageRange pages =
      owned_[shared_.host.choices().draw(span, sim::Site::op_page, static_cast<std::uint32_t>(owned_.size()))].pages;
  write_page(pages.begin, fresh || shared_.versions[pages.begin].lsn == 0);
}

void AllocClient::write_page(std::uint64_t page, bool fresh) {
  Host& host = shared_.host;
  Oracle& oracle = host.oracle();
  host.operation_begins();
  const Time since = host.scheduler().now();
  auto guard = in_engine(
      [&] { return fresh ? shared_.pool->new_page(PageId{page}) : shared_.pool->fetch_exclusive(PageId{page}); });
  if (host.over()) return;
  if (!guard) {
    static_cast<void>(explained(guard.error(), "a fetch", Owes::nothing, since));
    return;
  }
  const std::size_t index = page_index(page);
  if (!fresh && !oracle.is_version(index, shared_.versions[page].lsn, guard->page()))
    host.violation(Invariant::integrity, fmt::format("page {}: the pool shows something else than was written", page));
  const std::uint64_t lsn = oracle.intend(index);
  const std::span<std::byte> bytes = in_engine([&] { return guard->write(); });
  oracle.fill(lsn, bytes);
  in_engine([&] {
    guard->set_lsn(Lsn{lsn});
    guard->release();
  });
  shared_.versions[page].lsn = lsn;
}

void AllocClient::read(sim::Span& span) {
  if (owned_.empty()) return;
  const std::uint64_t page =
      owned_[shared_.host.choices().draw(span, sim::Site::op_page, static_cast<std::uint32_t>(owned_.size()))]
          .pages.begin;
  const std::uint64_t lsn = shared_.versions[page].lsn;
  if (lsn == 0) return;
  Host& host = shared_.host;
  host.operation_begins();
  const Time since = host.scheduler().now();
  auto guard = in_engine([&] { return shared_.pool->fetch(PageId{page}); });
  if (host.over()) return;
  if (!guard) {
    static_cast<void>(explained(guard.error(), "a fetch", Owes::nothing, since));
    return;
  }
  if (!host.oracle().is_version(page_index(page), lsn, guard->page()))
    host.violation(Invariant::integrity, fmt::format("page {}: the pool shows something else than was written", page));
  in_engine([&] { guard->release(); });
}

}  // namespace pagedb::scenarios
