// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/pool_client.h"

#include <fmt/format.h>

#include <cstring>

#include "engine/check.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kClient = 501, kOperation, kBarrier };

constexpr std::size_t kHeader = 32;
constexpr std::uint32_t kKinds = 64;
constexpr int kRefused = 7777;                 // no errno of any system
constexpr std::uint32_t kLooksAtPoisoned = 6;  // operations of a fiber after the file was poisoned

const PageError* error_of(const Result<void>& result) { return result ? nullptr : &result.error(); }

template <class Guard>
Result<void> without_value(const Result<Guard>& result) {
  if (result) return {};
  return failure(result.error());
}

}  // namespace

FickleBarrier::FickleBarrier(Host& host, RedoLog& log) : host_(host), log_(log), span_(host.span(), kBarrier, 0) {}

Result<void> FickleBarrier::ensure_durable(Lsn lsn) noexcept {
  const sim::HarnessScope scope;
  if (host_.choices().chance(span_, sim::Site::io_fault, 1, 32))
    return failure(PageError{.code = ErrorCode::no_space, .sys_errno = kRefused});
  return log_.ensure_durable(lsn);
}

bool FickleBarrier::made(const PageError& error) noexcept {
  return error.code == ErrorCode::no_space && error.sys_errno == kRefused;
}

PoolClient::Call::Call(PoolShared& shared) : frame(shared.model), since(shared.host.scheduler().now()) {
  shared.host.operation_begins();
}

PoolClient::PoolClient(PoolShared& shared, std::uint32_t number, std::uint32_t round)
    : shared_(shared), span_(shared.host.span(), kClient, std::uint64_t{round} << 32 | number) {
  auto memory = AlignedBuffer::allocate(shared.host.oracle().page_size().bytes());
  PAGEDB_CHECK(memory.has_value(), "the harness needs memory for a page");
  copy_ = std::move(*memory);
}

void PoolClient::run() {
  std::uint32_t looks = 0;
  for (std::uint64_t number = 0; shared_.operations_left != 0 && !shared_.host.over(); ++number) {
    sim::Span own(span_, kOperation, number);
    const std::uint32_t kind = shared_.host.choices().draw(own, sim::Site::op_kind, kKinds);  // 0: stop
    if (kind == 0) return;
    --shared_.operations_left;
    if (!shared_.file.poisoned()) {
      operation(kind, own);
    } else {
      if (++looks > kLooksAtPoisoned) return;
      look_at_poisoned(own);
    }
  }
}

void PoolClient::operation(std::uint32_t kind, sim::Span& span) {
  if (kind < 16) return read_shared(span);
  if (kind < 19) return read_copy(span);
  if (kind < 21) return read_optimistic(span);
  if (kind < 36) return change(span, draw_page(span), false);
  if (kind < 40) return change(span, draw_page(span), true);
  if (kind < 44) return flush(span);
  if (kind < 46) return flush_all();
  if (kind < 49) {  // as whoever commits without a log does
    flush(span);
    return sync();
  }
  if (kind < 52) return shared_.log != nullptr ? flush_log() : sync();
  if (kind < 55) return checkpoint(span);
  if (kind < 58) return prefetch(span);
  // A dropped page's changes are gone, and no log says so: with a log, pages are freed by somebody else.
  if (kind < 60 && shared_.log == nullptr) return drop(span);
  pause(span);
}

std::size_t PoolClient::draw_page(sim::Span& span) {
  const auto pages = static_cast<std::uint32_t>(shared_.host.oracle().pages().size());
  // So that tasks meet: half of the traffic goes to an eighth of the pages, some of it to where somebody else just was.
  const std::uint32_t where = shared_.host.choices().draw(span, sim::Site::op_size, 6);
  if (where == 5) return shared_.last_page;
  shared_.last_page = shared_.host.choices().draw(span, sim::Site::op_page, where < 3 ? pages / 8 : pages);
  return shared_.last_page;
}

void PoolClient::pause(sim::Span& span) {
  const std::uint32_t pause_us = shared_.host.choices().draw(span, sim::Site::think_time, 200);
  shared_.host.scheduler().park(shared_.host.scheduler().now() + std::chrono::microseconds(pause_us + 1));
}

void PoolClient::maybe_pause(sim::Span& span) {
  if (shared_.host.choices().chance(span, sim::Site::op_value, 1, 6)) pause(span);
}

// ---- judging

void PoolClient::judge(const Result<void>& result, std::string_view what, Owes owes, Time since) {
  if (shared_.host.judge_call(error_of(result), what, owes, since) ||
      (shared_.log != nullptr && !result && FickleBarrier::made(result.error())))
    return;
  shared_.host.violation(Invariant::typed_errors, fmt::format("{} failed, and no injected fault explains it: {}", what,
                                                              result.error().message()));
}

void PoolClient::judge_bytes(std::size_t page, std::span<const std::byte> bytes, std::uint64_t before) {
  if (shared_.host.over()) return;
  const PoolModel::Page& now = shared_.model.page(page);
  std::uint64_t said;
  std::memcpy(&said, bytes.data() + 16, sizeof said);
  if (!now.known) {
    shared_.host.judge_read(page, nullptr, bytes);
    return shared_.model.found(page, said);
  }
  if (said >= before && said <= now.lsn && said != 0 && shared_.host.oracle().is_version(page, said, bytes)) return;
  shared_.host.violation(Invariant::integrity,
                         fmt::format("page {}: the pool shows something else (it says lsn {}) than the newest version, "
                                     "lsn {}",
                                     id(page).value, said, now.lsn));
}

bool PoolClient::judge_error(std::size_t page, const PageError& error, const PoolModel::Page& before,
                             const Call& call) {
  if (shared_.host.over()) return false;
  if (error.code == ErrorCode::pool_exhausted) {
    if (call.frame.most_others() < shared_.pool.frames()) {
      shared_.host.violation(Invariant::typed_errors,
                             fmt::format("pool_exhausted, but no more than {} of {} frames were held",
                                         call.frame.most_others(), shared_.pool.frames()));
    }
    return false;
  }
  if (shared_.log != nullptr && FickleBarrier::made(error)) return false;
  if (shared_.host.judge_call(&error, "a fetch", Owes::nothing, call.since)) return false;
  const bool unwritten = error.code == ErrorCode::never_written || error.code == ErrorCode::beyond_end;
  if (unwritten && before.known && before.lsn == 0) return true;
  if (!before.known) {
    // What the store holds explains it, or nothing does.
    shared_.host.judge_read(page, &error, {});
    return unwritten;
  }
  shared_.host.violation(Invariant::typed_errors, fmt::format("page {} has version {}, but a fetch says: {}",
                                                              id(page).value, before.lsn, error.message()));
  return false;
}

// ---- reading

void PoolClient::read_shared(sim::Span& span) {
  const std::size_t page = draw_page(span);
  if (shared_.model.page(page).being_dropped) return;
  const PoolModel::Use use(shared_.model, page);
  const PoolModel::Page before = shared_.model.page(page);
  const Call call(shared_);
  auto guard = in_engine([&] { return shared_.pool.fetch(id(page)); });
  if (!guard) {
    static_cast<void>(judge_error(page, guard.error(), before, call));
    return;
  }
  static_cast<void>(shared_.host.judge_call(nullptr, "a fetch", Owes::nothing, call.since));
  const auto look = [&] { judge_bytes(page, guard->page(), shared_.model.page(page).lsn); };
  look();
  if (!shared_.host.choices().chance(span, sim::Site::op_value, shared_.shape.hold_in_8, 8))
    return in_engine([&] { guard->release(); });

  // It stays as it is for as long as it is held, whatever else goes on; other pages are taken in ascending order.
  pause(span);
  look();
  const std::size_t pages = shared_.host.oracle().pages().size();
  const std::uint32_t then = shared_.host.choices().draw(span, sim::Site::op_kind, 4);
  if (then == 1 && page + 1 < pages) {
    const std::size_t other =
        page + 1 + shared_.host.choices().draw(span, sim::Site::op_page, static_cast<std::uint32_t>(pages - page - 1));
    if (!shared_.model.page(other).being_dropped) change(span, other, false);
  } else if (then == 2) {
    auto upgraded = in_engine([&] { return guard->try_upgrade(); });
    if (upgraded) {
      if (apply(span, page, false, upgraded)) {
        *guard = in_engine([&] { return upgraded.downgrade(); });
      } else {
        return in_engine([&] { upgraded.release(); });
      }
    }
  } else if (then == 3) {
    sync();
  }
  look();
  in_engine([&] { guard->release(); });
}

void PoolClient::read_copy(sim::Span& span) {
  const std::size_t page = draw_page(span);
  if (shared_.model.page(page).being_dropped) return;
  const PoolModel::Use use(shared_.model, page);
  const PoolModel::Page before = shared_.model.page(page);
  const Call call(shared_);
  const auto result = in_engine([&] { return shared_.pool.read(id(page), 0, copy_.span()); });
  if (!result) {
    static_cast<void>(judge_error(page, result.error(), before, call));
    return;
  }
  static_cast<void>(shared_.host.judge_call(nullptr, "a read", Owes::nothing, call.since));
  judge_bytes(page, copy_.span(), before.known ? before.lsn : 0);
}

void PoolClient::read_optimistic(sim::Span& span) {
  const std::size_t page = draw_page(span);
  if (shared_.model.page(page).being_dropped) return;
  const PoolModel::Use use(shared_.model, page);
  const PoolModel::Page before = shared_.model.page(page);
  const Call call(shared_);
  const auto guard = in_engine([&] { return shared_.pool.fetch_optimistic(id(page)); });
  if (!guard) {
    static_cast<void>(judge_error(page, guard.error(), before, call));
    return;
  }
  static_cast<void>(shared_.host.judge_call(nullptr, "a fetch", Owes::nothing, call.since));
  // It is as it was, or says that it is not.
  const PoolModel::Page then = shared_.model.page(page);
  pause(span);
  if (!in_engine([&] { return guard->copy(0, copy_.span()); })) return;
  if (!then.known) return judge_bytes(page, copy_.span(), 0);
  judge_bytes(page, copy_.span(), then.lsn);
  if (shared_.model.page(page).lsn != then.lsn && !shared_.host.over())
    shared_.host.violation(Invariant::integrity, "an optimistic read did not notice a change");
  maybe_pause(span);
  if (shared_.host.choices().draw(span, sim::Site::op_kind, 2) == 0) {
    auto shared = in_engine([&] { return guard->try_shared(); });
    if (shared) judge_bytes(page, shared.page(), shared_.model.page(page).lsn);
    return in_engine([&] { shared.release(); });
  }
  auto exclusive = in_engine([&] { return guard->try_exclusive(); });
  if (exclusive) static_cast<void>(apply(span, page, false, exclusive));
  in_engine([&] { exclusive.release(); });
}

// ---- changing

void PoolClient::change(sim::Span& span, std::size_t page, bool fresh) {
  if (shared_.model.page(page).being_dropped) return;
  const PoolModel::Use use(shared_.model, page);
  const PoolModel::Page before = shared_.model.page(page);
  const Call call(shared_);
  auto guard =
      in_engine([&] { return fresh ? shared_.pool.new_page(id(page)) : shared_.pool.fetch_exclusive(id(page)); });
  if (!guard && judge_error(page, guard.error(), before, call) && !fresh) {
    fresh = true;
    guard = in_engine([&] { return shared_.pool.new_page(id(page)); });
    if (!guard) static_cast<void>(judge_error(page, guard.error(), before, call));
  }
  if (!guard) return;
  static_cast<void>(shared_.host.judge_call(nullptr, "a fetch", Owes::nothing, call.since));
  if (!apply(span, page, fresh, *guard)) return in_engine([&] { guard->release(); });
  if (!shared_.host.choices().chance(span, sim::Site::op_value, 1, 8)) return in_engine([&] { guard->release(); });
  auto shared = in_engine([&] { return guard->downgrade(); });
  pause(span);
  judge_bytes(page, shared.page(), shared_.model.page(page).lsn);
  in_engine([&] { shared.release(); });
}

bool PoolClient::apply(sim::Span& span, std::size_t page, bool fresh, ExclusiveGuard& guard) {
  Oracle& oracle = shared_.host.oracle();
  sim::Choices& choices = shared_.host.choices();
  if (!fresh) {
    judge_bytes(page, guard.page(), shared_.model.page(page).lsn);
    maybe_pause(span);
  }
  const std::uint64_t previous = in_engine([&] { return guard.lsn(); }).value;
  if (!fresh && !oracle.is_version(page, previous, guard.page())) return false;  // and was reported

  const auto payload = static_cast<std::uint32_t>(oracle.page_size().bytes() - kHeader);
  std::size_t offset = 0, size = payload;
  if (!fresh) {
    size = 16 + 8 * std::size_t{choices.draw(span, sim::Site::op_size, RedoLog::kDeltaBytesMax / 8 - 1)};
    offset =
        8 * std::size_t{choices.draw(span, sim::Site::op_page, static_cast<std::uint32_t>((payload - size) / 8 + 1))};
  }
  bool image = fresh;
  if (shared_.log != nullptr) {
    const bool due = in_engine([&] { return guard.full_image_due(); });
    if (fresh && !due) shared_.host.violation(Invariant::integrity, "a new page says that no full image is due");
    image |= due;
    maybe_pause(span);
  }
  const std::uint64_t lsn = fresh ? oracle.intend(page) : oracle.intend_change(page, previous, offset, size);
  if (shared_.log != nullptr) log_change(page, lsn, previous, image, offset, size);
  maybe_pause(span);

  const auto from = oracle.contents(lsn).subspan(offset, size);
  const auto to = in_engine([&] { return guard.write(); }).subspan(kHeader + offset, size);
  const std::size_t half = size / 2;
  std::memcpy(to.data(), from.data(), half);
  maybe_pause(span);
  in_engine([&] { guard.set_lsn(Lsn{lsn}); });
  std::memcpy(to.data() + half, from.data() + half, size - half);
  shared_.model.changed(page, lsn);
  return true;
}

void PoolClient::log_change(std::size_t page, std::uint64_t lsn, std::uint64_t previous, bool image, std::size_t offset,
                            std::size_t size) {
  const Oracle& oracle = shared_.host.oracle();
  if (!image) {
    shared_.log->append_delta(id(page), lsn, previous, kHeader + offset, oracle.contents(lsn).subspan(offset, size));
    return;
  }
  oracle.fill(lsn, copy_.span());
  shared_.log->append_image(id(page), lsn, previous, copy_.span());
}

// ---- writing

void PoolClient::flush(sim::Span& span) {
  const std::size_t page = draw_page(span);
  const PoolModel::Covered covered = shared_.model.covered(page);
  const Call call(shared_);
  const Result<void> result = in_engine([&] { return shared_.pool.flush(id(page)); });
  judge(result, "flush", Owes::writes, call.since);
  acknowledge(result, {&covered, 1});
}

void PoolClient::flush_all() {
  const auto covered = shared_.model.covered();
  const Call call(shared_);
  const Result<void> result = in_engine([&] { return shared_.pool.flush_all(); });
  judge(result, "flush_all", Owes::writes, call.since);
  acknowledge(result, covered);
}

void PoolClient::acknowledge(const Result<void>& result, std::span<const PoolModel::Covered> covered) {
  // What a failed sync may have dropped is not written, whatever was said of it.
  if (!result || shared_.host.sync_failed()) return;
  Oracle& oracle = shared_.host.oracle();
  for (const PoolModel::Covered& what : covered) {
    if (!shared_.model.holds(what) || oracle.acknowledged(what.page) >= what.lsn) continue;
    shared_.host.judge_flushed(what.page, what.lsn);
    oracle.returned(what.lsn, true);
  }
}

void PoolClient::sync() {
  Oracle& oracle = shared_.host.oracle();
  const Call call(shared_);
  const SyncTicket ticket = oracle.sync_begins();
  const Result<void> result = in_engine([&] { return shared_.pool.sync(); });
  if (result && shared_.log == nullptr) oracle.sync_succeeded(ticket);
  judge_sync(result, "sync", call.since);
}

void PoolClient::judge_sync(const Result<void>& result, std::string_view what, Time since) {
  // Callers that waited for another one's sync share its failure.
  if (!result && result.error().code == ErrorCode::io_error && shared_.host.sync_failed()) {
    static_cast<void>(shared_.host.judge_call(&result.error(), what, Owes::syncs, since));
  } else {
    judge(result, what, Owes::syncs, since);
  }
}

void PoolClient::flush_log() {
  if (shared_.log->commit(shared_.log->end()) || shared_.host.over()) return;
  shared_.host.violation(Invariant::liveness, "the log cannot be written");
}

void PoolClient::checkpoint(sim::Span& span) {
  if (shared_.checkpointing) return pause(span);
  shared_.checkpointing = true;
  Oracle& oracle = shared_.host.oracle();
  const std::uint64_t begin = oracle.next_lsn();
  maybe_pause(span);  // others go on logging
  const auto covered = shared_.model.covered();
  oracle.redo_from_asked(begin);
  const Call call(shared_);
  const auto result = in_engine([&] { return shared_.pool.checkpoint(Lsn{begin}); });
  judge_sync(without_value(result), "checkpoint", call.since);
  if (result) {
    oracle.redo_from_stored(begin);
    for (const PoolModel::Covered& what : covered) {
      if (shared_.log == nullptr && shared_.model.holds(what)) oracle.checkpointed(what.lsn);
    }
    if (shared_.log != nullptr && !shared_.log->cut(begin) && !shared_.host.over())
      shared_.host.violation(Invariant::liveness, "the log cannot be cut");
  }
  shared_.checkpointing = false;
}

// ---- the rest

void PoolClient::prefetch(sim::Span& span) {
  const std::size_t first = draw_page(span);
  const std::size_t count = 1 + shared_.host.choices().draw(span, sim::Site::op_size, 8);
  std::vector<PageId> ids;
  for (std::size_t page = first; ids.size() < count && page < shared_.host.oracle().pages().size(); ++page)
    ids.push_back(id(page));
  const std::size_t noted = in_engine([&] { return shared_.pool.prefetch(ids); });
  if (noted > ids.size())
    shared_.host.violation(Invariant::integrity, "prefetch took note of more pages than it was given");
}

void PoolClient::drop(sim::Span& span) {
  const std::size_t page = draw_page(span);
  // Whoever frees a page knows that nobody uses it.
  if (shared_.model.page(page).users != 0 || shared_.model.page(page).being_dropped) return;
  shared_.model.begin_drop(page);
  const Call call(shared_);
  in_engine([&] { shared_.pool.drop(id(page)); });
  shared_.model.end_drop(page);
}

void PoolClient::must_be_poisoned(const Result<void>& result, std::string_view what) {
  if (shared_.host.over() || (!result && result.error().code == ErrorCode::poisoned)) return;
  shared_.host.violation(Invariant::typed_errors, fmt::format("the file is poisoned, but {} says {}", what,
                                                              result ? "Ok" : result.error().message()));
}

void PoolClient::look_at_poisoned(sim::Span& span) {
  const std::size_t page = draw_page(span);
  if (shared_.model.page(page).being_dropped) return;
  const PoolModel::Use use(shared_.model, page);
  BufferPool& pool = shared_.pool;
  switch (shared_.host.choices().draw(span, sim::Site::op_size, 6)) {
    case 1:
      return must_be_poisoned(without_value(in_engine([&] { return pool.fetch_exclusive(id(page)); })),
                              "fetch_exclusive");
    case 2:
      return must_be_poisoned(without_value(in_engine([&] { return pool.new_page(id(page)); })), "new_page");
    case 3:
      return must_be_poisoned(in_engine([&] { return pool.sync(); }), "sync");
    case 4: {
      if (shared_.checkpointing) return;
      shared_.checkpointing = true;
      const std::uint64_t begin = shared_.host.oracle().next_lsn();
      shared_.host.oracle().redo_from_asked(begin);
      must_be_poisoned(without_value(in_engine([&] { return pool.checkpoint(Lsn{begin}); })), "checkpoint");
      shared_.checkpointing = false;
      return;
    }
    case 5: {
      // What is dirty cannot be written any more; a write that was under way may still end well.
      const Time since = shared_.host.scheduler().now();
      const bool dirty = in_engine([&] { return pool.state_of(id(page)); }) == PageState::dirty;
      const auto flushed = in_engine([&] { return pool.flush(id(page)); });
      const bool waited = shared_.host.scheduler().now() != since;
      if ((dirty && !waited) || !flushed) must_be_poisoned(flushed, "flush of a dirty page");
      return;
    }
    default:
      break;
  }
  const PageState state = in_engine([&] { return pool.state_of(id(page)); });
  auto guard = in_engine([&] { return pool.fetch(id(page)); });
  if (guard) {
    if (state == PageState::absent) must_be_poisoned({}, "a miss");
    judge_bytes(page, guard->page(), shared_.model.page(page).lsn);
    return in_engine([&] { guard->release(); });
  }
  if (state == PageState::absent) return must_be_poisoned(without_value(guard), "a miss");
  if (state == PageState::loading || shared_.host.over()) return;
  shared_.host.violation(Invariant::typed_errors,
                         fmt::format("page {} was in memory when the file was poisoned, but a fetch says: {}",
                                     id(page).value, guard.error().message()));
}

}  // namespace pagedb::scenarios
