// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Latches that are not free, and the table's memory.
#include "engine/pool/frame_table.h"

#include <limits>
#include <new>

#include "engine/page_store.h"
#include "engine/pool/latch_waits.h"
#include "engine/pool/page_memory.h"

namespace pagedb::detail {

using namespace frame_state;

struct FrameTable::Parts {
  explicit Parts(Scheduler& scheduler) noexcept : waits(scheduler) {}

  std::unique_ptr<sync::Atomic<std::uint32_t>[]> heads;
  std::unique_ptr<FrameInfo[]> infos;
  std::unique_ptr<sync::Atomic<std::uint64_t>[]> states;
  PageMemory memory;
  LatchWaits waits;
  sync::Atomic<std::uint32_t> dirty{0};
  // Until the first checkpoint has begun nothing is known about which images the log holds.
  sync::Atomic<std::uint64_t> image_horizon{std::numeric_limits<std::uint64_t>::max()};
};

FrameTable::FrameTable() noexcept = default;
FrameTable::~FrameTable() = default;

Result<void> FrameTable::make(Scheduler& scheduler, const PageStore& store, std::uint32_t frames) noexcept {
  const PageSize page_size = store.page_size();
  constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};
  std::unique_ptr<Parts> parts(new (std::nothrow) Parts(scheduler));
  if (parts == nullptr) return failure(kNoMemory);
  const std::uint32_t heads = 2 * frames;
  parts->heads.reset(new (std::nothrow) sync::Atomic<std::uint32_t>[heads]);
  parts->infos.reset(new (std::nothrow) FrameInfo[frames]);
  parts->states.reset(new (std::nothrow) sync::Atomic<std::uint64_t>[frames]);
  if (parts->heads == nullptr || parts->infos == nullptr || parts->states == nullptr) return failure(kNoMemory);
  if (auto mapped = parts->memory.map(std::size_t{frames} << page_size.shift()); !mapped) return mapped;
  for (std::uint32_t i = 0; i < heads; ++i) parts->heads[i].store(kNoFrame, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < frames; ++i) parts->states[i].store(kEmpty, std::memory_order_relaxed);

  heads_ = parts->heads.get();
  infos_ = parts->infos.get();
  states_ = parts->states.get();
  memory_ = parts->memory.data();
  heads_count_ = heads;
  frames_ = frames;
  shift_ = page_size.shift();
  scheduler_ = &scheduler;
  store_ = &store;
  parts_ = std::move(parts);
  return {};
}

std::size_t FrameTable::memory_bytes() const noexcept {
  return sizeof(Parts) + heads_count_ * sizeof heads_[0] + frames_ * (sizeof infos_[0] + sizeof states_[0]);
}

Latched FrameTable::share(std::uint32_t frame, PageId id, bool ahead) noexcept {
  sync::Atomic<std::uint64_t>& word = states_[frame];
  bool queued = ahead;  // who has waited once does not queue up behind writers again
  LatchWaits::Woken woken;
  word.fetch_add(kPin, std::memory_order_acquire);
  std::uint64_t state = word.load(std::memory_order_acquire);
  for (unsigned attempt = 0;;) {
    if ((state & kEmpty) != 0 || !holds(frame, id)) break;
    const auto blocks = [&](std::uint64_t w) {
      return (w & kEmpty) == 0 && ((w & kExclusive) != 0 || ((w & kWriterWaits) != 0 && !queued));
    };
    if (!blocks(state)) {
      PAGEDB_CHECK((state & kSharedFull) == 0, "half a million guards of one page");
      if (!word.compare_exchange_weak(state, state + kShared - kPin, std::memory_order_acquire)) continue;
      if (holds(frame, id)) {
        if (!ahead) note_use(infos_[frame]);
        return {.held = true};
      }
      unlatch_shared(frame);
      return {};
    }
    if (attempt < sync::kSpinsBeforePark) {
      scheduler_->relax(attempt++);
    } else {
      check_not_own(frame, state);
      woken = parts_->waits.wait(frame, word, kWaiters, blocks);
      queued = true;
    }
    state = word.load(std::memory_order_acquire);
  }
  unpin(frame);
  return {.read_failed = woken.read_failed, .read_error = woken.read_error};
}

Latched FrameTable::exclude(std::uint32_t frame, PageId id) noexcept {
  sync::Atomic<std::uint64_t>& word = states_[frame];
  LatchWaits::Woken woken;
  word.fetch_add(kPin, std::memory_order_acquire);
  std::uint64_t state = word.load(std::memory_order_acquire);
  for (unsigned attempt = 0;;) {
    if ((state & kEmpty) != 0 || !holds(frame, id)) break;
    const auto blocks = [](std::uint64_t w) { return (w & kEmpty) == 0 && (w & (kExclusive | kSharedMask)) != 0; };
    if (!blocks(state)) {
      if (!word.compare_exchange_weak(state, state | kExclusive, std::memory_order_seq_cst)) continue;
      if (holds(frame, id)) {
        own(frame);
        note_use(infos_[frame]);
        return {.held = true};
      }
      unlatch_exclusive(frame, false);
      return {};
    }
    if (attempt < sync::kSpinsBeforePark) {
      scheduler_->relax(attempt++);
    } else {
      check_not_own(frame, state);
      woken = parts_->waits.wait(frame, word, kWaiters | kWriterWaits, blocks);
    }
    state = word.load(std::memory_order_acquire);
  }
  unpin(frame);
  return {.read_failed = woken.read_failed, .read_error = woken.read_error};
}

bool FrameTable::try_exclude(std::uint32_t frame, PageId id) noexcept {
  sync::Atomic<std::uint64_t>& word = states_[frame];
  std::uint64_t state = word.load(std::memory_order_relaxed);
  do {
    if ((state & (kExclusive | kEmpty | kSharedMask | kWaiters)) != 0) return false;
  } while (!word.compare_exchange_weak(state, (state | kExclusive) + kPin, std::memory_order_seq_cst));
  if (!holds(frame, id)) {
    unlatch_exclusive(frame, false);
    return false;
  }
  own(frame);
  note_use(infos_[frame]);
  return true;
}

bool FrameTable::try_upgrade(std::uint32_t frame) noexcept {
  sync::Atomic<std::uint64_t>& word = states_[frame];
  std::uint64_t state = word.load(std::memory_order_relaxed);
  do {
    if ((state & kSharedMask) != kShared || (state & (kExclusive | kWaiters)) != 0) return false;
  } while (!word.compare_exchange_weak(state, (state | kExclusive) + kPin - kShared, std::memory_order_seq_cst));
  own(frame);
  return true;
}

void FrameTable::downgrade(std::uint32_t frame, bool changed) noexcept {
  if (changed) end_change(frame);
  infos_[frame].owner.store(0, std::memory_order_relaxed);
  const std::uint64_t before = states_[frame].fetch_sub(kExclusive + kPin - kShared, std::memory_order_acq_rel);
  if ((before & kWaiters) != 0) wake(frame);
}

void FrameTable::unlatch_exclusive(std::uint32_t frame, bool changed) noexcept {
  if (changed) end_change(frame);
  infos_[frame].owner.store(0, std::memory_order_relaxed);
  const std::uint64_t before = states_[frame].fetch_sub(kExclusive + kPin, std::memory_order_acq_rel);
  if ((before & kWaiters) != 0) wake(frame);
}

void FrameTable::begin_change(std::uint32_t frame) noexcept {
  sync::Atomic<std::uint64_t>& version = infos_[frame].version;
  version.store(version.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  sync::order_stores();
  mark_dirty(frame);
}

void FrameTable::mark_dirty(std::uint32_t frame) noexcept {
  if ((states_[frame].fetch_or(kDirty, std::memory_order_acq_rel) & kDirty) == 0)
    parts_->dirty.fetch_add(1, std::memory_order_relaxed);
}

void FrameTable::end_change(std::uint32_t frame) noexcept {
  sync::Atomic<std::uint64_t>& version = infos_[frame].version;
  version.store(version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void FrameTable::own(std::uint32_t frame) noexcept {
  infos_[frame].owner.store(static_cast<std::uint32_t>(scheduler_->current().value), std::memory_order_relaxed);
}

void FrameTable::check_not_own(std::uint32_t frame, std::uint64_t state) noexcept {
  if ((state & kExclusive) == 0) return;
  const std::uint32_t owner = infos_[frame].owner.load(std::memory_order_relaxed);
  PAGEDB_CHECK(owner == 0 || owner != static_cast<std::uint32_t>(scheduler_->current().value),
               "a task must not wait for a page that it holds exclusively itself");
}

void FrameTable::wait_while_writing(std::uint32_t frame) noexcept {
  const auto blocks = [](std::uint64_t w) { return (w & kWriting) != 0; };
  while (blocks(states_[frame].load(std::memory_order_acquire)))
    static_cast<void>(parts_->waits.wait(frame, states_[frame], kWaiters, blocks));
}

void FrameTable::wake(std::uint32_t frame, const PageError* read_error) noexcept {
  parts_->waits.wake(frame, states_[frame], read_error);
}

void FrameTable::wake_after_share(std::uint32_t frame, std::uint64_t before) noexcept {
  // Only the last one lets a writer in; and nobody while the page is held exclusively, whose end wakes all. (To wake
  // them all the same would cost those who wait for a read the news that it failed.)
  if ((before & kSharedMask) == kShared && (before & kExclusive) == 0) wake(frame);
}

void FrameTable::unpin(std::uint32_t frame) noexcept { states_[frame].fetch_sub(kPin, std::memory_order_release); }

bool FrameTable::may_write(std::uint32_t frame) const noexcept { return store_->may_write(page_of(frame)).has_value(); }

std::uint32_t FrameTable::dirty() const noexcept { return parts_->dirty.load(std::memory_order_relaxed); }

void FrameTable::count_cleaned() noexcept { parts_->dirty.fetch_sub(1, std::memory_order_relaxed); }

Lsn FrameTable::image_horizon() const noexcept { return {parts_->image_horizon.load(std::memory_order_seq_cst)}; }

void FrameTable::set_image_horizon(Lsn horizon) noexcept {
  // An exchange, so that it comes before the loads of latches that follow: whoever latches a page exclusively after
  // those loads (by a sequentially consistent operation too) sees the new horizon.
  parts_->image_horizon.exchange(horizon.value, std::memory_order_seq_cst);
}

}  // namespace pagedb::detail
