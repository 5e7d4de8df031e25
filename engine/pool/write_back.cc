// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Staging, writing, and what becomes clean.
#include "engine/pool/write_back.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "engine/check.h"
#include "engine/internal/raise_to.h"
#include "engine/page.h"

namespace pagedb::detail {

using namespace frame_state;

namespace {

constexpr std::size_t kMoreDirty = 64;  // room for pages that become dirty while the list is made

}  // namespace

Result<void> WriteBack::make(std::uint32_t batch_pages) noexcept {
  constexpr std::size_t kLaneBytes = std::size_t{1} << 20;
  constexpr std::uint32_t kPagesMin = 8;
  const auto fitting = static_cast<std::uint32_t>(kLaneBytes >> table_.page_size().shift());
  batch_ = std::min({batch_pages, table_.frames(), std::max(fitting, kPagesMin)});
  for (Lane& lane : lanes_) {
    auto memory =
        AlignedBuffer::allocate(std::size_t{batch_} << table_.page_size().shift(),
                                std::max<std::size_t>(AlignedBuffer::kAlignment, store_.limits().memory_align));
    if (!memory) return failure(memory.error());
    lane.memory = std::move(*memory);
    lane.ios.reset(new (std::nothrow) PageIo[batch_]);
    lane.staged.reset(new (std::nothrow) Staged[batch_]);
    lane.targets.reset(new (std::nothrow) Target[batch_]);
    if (lane.ios == nullptr || lane.staged == nullptr || lane.targets == nullptr)
      return failure(PageError{.code = ErrorCode::out_of_memory});
    idle_lanes_.give(lane);
  }
  return {};
}

std::size_t WriteBack::memory_bytes() const noexcept {
  const std::size_t slot = sizeof(PageIo) + sizeof(Staged) + sizeof(Target);
  return sizeof *this + batch_ * sizeof(std::uint32_t) + std::size(lanes_) * batch_ * (slot + table_.page_bytes());
}

WriteBack::Outcome WriteBack::stage(const Target& target, std::span<std::byte> to, std::uint64_t& version) noexcept {
  sync::Atomic<std::uint64_t>& state = table_.state(target.frame);
  const std::uint64_t before = state.fetch_add(kShared, std::memory_order_acquire);
  Outcome outcome = Outcome::clean;
  if ((before & kEmpty) == 0 && (before & kExclusive) != 0) {
    outcome = Outcome::busy;
  } else if ((before & kEmpty) == 0 && table_.holds(target.frame, target.id)) {
    // Nobody changes the page now. One task at a time writes it.
    std::uint64_t seen = state.load(std::memory_order_acquire);
    while ((seen & (kDirty | kWriting)) == kDirty && outcome != Outcome::written) {
      if (state.compare_exchange_weak(seen, seen | kWriting, std::memory_order_acq_rel)) outcome = Outcome::written;
    }
    if (outcome == Outcome::written) {
      version = table_.info(target.frame).version.load(std::memory_order_relaxed);
      std::memcpy(to.data(), table_.memory_of(target.frame), to.size());
    } else if ((seen & kDirty) != 0) {
      outcome = Outcome::busy;
    }
  }
  table_.unlatch_shared(target.frame);
  return outcome;
}

void WriteBack::finish(std::uint32_t frame, std::uint64_t version, bool written) noexcept {
  sync::Atomic<std::uint64_t>& state = table_.state(frame);
  std::uint64_t done = kWriting;
  holding_.fetch_add(1, std::memory_order_acq_rel);
  const std::uint64_t before = state.fetch_add(kShared, std::memory_order_acquire);
  if (written && (before & kExclusive) == 0 && table_.info(frame).version.load(std::memory_order_relaxed) == version) {
    table_.info(frame).write_epoch.store(epoch_.load(std::memory_order_acquire), std::memory_order_relaxed);
    table_.count_cleaned();
    done |= kDirty;
  }
  if ((state.fetch_and(~done, std::memory_order_acq_rel) & kWaiters) != 0) table_.wake(frame);
  table_.unlatch_shared(frame);
  no_longer_holding();
}

void WriteBack::no_longer_holding() noexcept {
  activity_.fetch_add(1, std::memory_order_acq_rel);  // first: who then sees that nobody holds, sees this as well
  holding_.fetch_sub(1, std::memory_order_acq_rel);
}

Result<void> WriteBack::write(Lane& lane, std::span<Target> targets) noexcept {
  std::uint32_t count = 0;
  Lsn highest;
  holding_.fetch_add(1, std::memory_order_acq_rel);
  for (Target& target : targets) {
    const std::span<std::byte> to = lane.memory.span().subspan(count * table_.page_bytes(), table_.page_bytes());
    target.outcome = stage(target, to, lane.staged[count].version);
    if (target.outcome != Outcome::written) continue;
    lane.staged[count].target = &target;
    lane.ios[count] = {.id = target.id, .page = to};
    highest = std::max(highest, page_lsn(to));
    ++count;
  }
  no_longer_holding();
  if (count == 0) return {};
  raise_to(highest_lsn_, highest.value);

  const auto done = [&](const PageIo& io) {
    const Staged& staged = lane.staged[static_cast<std::size_t>(&io - lane.ios.get())];
    (io.result ? counts_.writes : counts_.failures).fetch_add(1, std::memory_order_relaxed);
    if (!io.result) staged.target->outcome = Outcome::failed;
    finish(staged.target->frame, staged.version, io.result.has_value());
  };
  Result<void> result;
  if (log_ != nullptr && highest.value != 0) {
    counts_.barriers.fetch_add(1, std::memory_order_relaxed);
    result = log_->ensure_durable(highest);
  }
  const std::span<PageIo> batch{lane.ios.get(), count};
  if (result) {
    result = store_.write_batch(batch, done);
  } else {
    for (PageIo& io : batch) {
      io.result = result;
      done(io);
    }
  }
  return result;
}

Result<void> WriteBack::flush(PageId id) noexcept {
  while (true) {
    Target target{.id = id, .frame = residency_.find(id)};
    if (target.frame == kNoFrame) return {};
    if ((table_.state(target.frame).load(std::memory_order_acquire) & kDirty) == 0 && table_.holds(target.frame, id))
      return {};
    Lane& lane = idle_lanes_.take();
    const Result<void> written = write(lane, {&target, 1});
    idle_lanes_.give(lane);
    if (!written || target.outcome == Outcome::written) return written;
    // Whoever was in the way: wait for them without a lane.
    if (target.outcome == Outcome::busy && table_.share_ahead(target.frame, id)) {
      table_.wait_while_writing(target.frame);
      table_.unlatch_shared(target.frame);
    }
  }
}

// All dirty pages, written by two tasks in turn: one stages and checksums while the other's writes are under way.
struct WriteBack::Sweep {
  WriteBack& self;
  std::span<Target> targets;
  sync::Atomic<std::size_t> next{0};
  sync::SpinLock lock;
  Result<void> result{};  // the first error in page order, at first_failed
  PageId first_failed{};

  // `error` is about `id`, or about the page that it names.
  void note(const Result<void>& error, PageId id) noexcept {
    if (error.error().has_page) id = error.error().page;
    const sync::SpinGuard guard(lock, self.table_.scheduler());
    if (!result && first_failed < id) return;
    result = error;
    first_failed = id;
  }

  void run() noexcept {
    while (true) {
      const std::size_t from = next.fetch_add(self.batch_, std::memory_order_acq_rel);
      if (from >= targets.size()) return;
      const std::span<Target> part = targets.subspan(from, std::min<std::size_t>(self.batch_, targets.size() - from));
      Lane& lane = self.idle_lanes_.take();
      const Result<void> written = self.write(lane, part);
      self.idle_lanes_.give(lane);
      if (!written) note(written, part.front().id);
    }
  }
};

Result<void> WriteBack::flush_all() noexcept {
  // Pages may become dirty meanwhile; those that are now must all find room in the list.
  std::unique_ptr<Target[]> list;
  std::size_t count = 0;
  for (std::size_t room = std::size_t{table_.dirty()} + kMoreDirty;; room = 2 * count) {
    list.reset(new (std::nothrow) Target[room]);
    if (list == nullptr) return failure(PageError{.code = ErrorCode::out_of_memory});
    count = 0;
    for (std::uint32_t frame = 0; frame < table_.frames(); ++frame) {
      if ((table_.state(frame).load(std::memory_order_acquire) & kDirty) == 0) continue;
      if (count < room) list[count] = {.id = table_.page_of(frame), .frame = frame};
      ++count;
    }
    if (count <= room) break;
  }
  const std::span<Target> targets{list.get(), count};
  std::sort(targets.begin(), targets.end(), [](const Target& a, const Target& b) { return a.id < b.id; });

  Sweep sweep{.self = *this, .targets = targets, .next{0}, .lock{}};
  // Without a second task the pages are written all the same.
  const TaskId second =
      targets.size() > batch_ ? table_.scheduler().spawn("pool-flush", [&sweep] { sweep.run(); }) : TaskId{};
  sweep.run();
  if (second.value != 0) table_.scheduler().join(second);
  for (const Target& target : targets) {
    if (target.outcome != Outcome::busy) continue;
    if (const auto written = flush(target.id); !written) sweep.note(written, target.id);
  }
  return sweep.result;
}

Result<void> WriteBack::sync() noexcept {
  const std::uint32_t begun = epoch_begins();
  const auto result = store_.sync();
  if (result) synced(begun);
  return result;
}

void WriteBack::synced(std::uint32_t begun) noexcept { raise_to(synced_epoch_, begun); }

Result<std::uint32_t> WriteBack::clean(std::span<const std::uint32_t> frames) noexcept {
  Lane& lane = idle_lanes_.take();
  const std::span<Target> targets{lane.targets.get(), std::min<std::size_t>(frames.size(), batch_)};
  for (std::size_t i = 0; i < targets.size(); ++i) targets[i] = {.id = table_.page_of(frames[i]), .frame = frames[i]};
  std::sort(targets.begin(), targets.end(), [](const Target& a, const Target& b) { return a.id < b.id; });
  const auto result = write(lane, targets);
  const auto written = static_cast<std::uint32_t>(
      std::count_if(targets.begin(), targets.end(), [](const Target& t) { return t.outcome == Outcome::written; }));
  idle_lanes_.give(lane);
  if (!result && written == 0) return failure(result.error());
  return written;
}

Result<void> WriteBack::start_background() noexcept {
  soon_.reset(new (std::nothrow) std::uint32_t[batch_]);
  if (soon_ == nullptr) return failure(PageError{.code = ErrorCode::out_of_memory});
  background_ = table_.scheduler().spawn("pool-writer", [this] { clean_when_asked(); });
  if (background_.value == 0) return failure(PageError{.code = ErrorCode::out_of_memory});
  return {};
}

void WriteBack::ask_background() noexcept {
  if (background_.value != 0 && !asked_.exchange(true, std::memory_order_acq_rel))
    table_.scheduler().unpark(background_);
}

void WriteBack::stop_background() noexcept {
  if (background_.value == 0) return;
  stop_.store(true, std::memory_order_release);
  table_.scheduler().unpark(background_);
  table_.scheduler().join(background_);
  background_ = {};
}

void WriteBack::clean_when_asked() noexcept {
  while (!stop_.load(std::memory_order_acquire)) {
    if (!asked_.exchange(false, std::memory_order_acq_rel)) {
      table_.scheduler().park(kForever);
      continue;
    }
    // After an error it waits to be asked again: by then whoever needs a frame has seen the error too.
    while (!stop_.load(std::memory_order_acquire)) {
      const std::size_t found = residency_.dirty_soon({soon_.get(), batch_});
      if (found == 0) break;
      const auto cleaned = clean({soon_.get(), found});
      if (!cleaned || *cleaned == 0) break;
    }
  }
}

}  // namespace pagedb::detail
