// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The ring of wishes and the task that reads them.
#include "engine/pool/prefetcher.h"

#include <algorithm>
#include <new>

namespace pagedb::detail {

Result<void> Prefetcher::start() noexcept {
  constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};
  constexpr std::size_t kRingMax = 4096;
  constexpr std::size_t kBatchMax = 1024;  // long against any device's depth, which falls at the end of a batch
  ring_size_ = std::min<std::size_t>(kRingMax, table_.frames());
  batch_ = std::min<std::size_t>(kBatchMax, table_.frames() / 2);
  ring_.reset(new (std::nothrow) PageId[ring_size_]);
  ios_.reset(new (std::nothrow) PageIo[batch_]);
  frames_.reset(new (std::nothrow) std::uint32_t[batch_]);
  if (ring_ == nullptr || ios_ == nullptr || frames_ == nullptr) return failure(kNoMemory);
  task_ = table_.scheduler().spawn("pool-reader", [this] { run(); });
  if (task_.value == 0) return failure(kNoMemory);
  return {};
}

void Prefetcher::stop() noexcept {
  if (task_.value == 0) return;
  stop_.store(true, std::memory_order_release);
  table_.scheduler().unpark(task_);
  table_.scheduler().join(task_);
  task_ = {};
}

std::size_t Prefetcher::memory_bytes() const noexcept {
  return sizeof *this + ring_size_ * sizeof(PageId) + batch_ * (sizeof(PageIo) + sizeof(std::uint32_t));
}

std::size_t Prefetcher::ask(std::span<const PageId> ids) noexcept {
  if (task_.value == 0) return 0;
  std::size_t taken = 0;
  bool was_empty = false;
  {
    const sync::SpinGuard guard(lock_, table_.scheduler());
    was_empty = waiting_ == 0;
    for (; taken < ids.size() && waiting_ < ring_size_; ++taken, ++waiting_)
      ring_[(first_ + waiting_) % ring_size_] = ids[taken];
  }
  if (was_empty && taken > 0) table_.scheduler().unpark(task_);
  return taken;
}

bool Prefetcher::next(PageId& id) noexcept {
  const sync::SpinGuard guard(lock_, table_.scheduler());
  if (waiting_ == 0) return false;
  id = ring_[first_];
  first_ = (first_ + 1) % ring_size_;
  --waiting_;
  return true;
}

void Prefetcher::run() noexcept {
  while (!stop_.load(std::memory_order_acquire)) {
    if (!read_batch()) table_.scheduler().park(kForever);
  }
}

bool Prefetcher::read_batch() noexcept {
  PageId id;
  if (!next(id)) return false;
  activity_.fetch_add(1, std::memory_order_acq_rel);
  std::size_t count = 0;
  // Once there is no room, the rest is not worth another sweep. Nothing is evicted for a read that cannot be.
  bool room = !store_.poisoned();
  for (bool more = true; more; more = count < batch_ && next(id)) {
    if (!room || id.value == kNoPage || residency_.find(id) != kNoFrame) continue;
    const std::uint32_t frame = residency_.sweep({}).frame;
    room = frame != kNoFrame;
    if (!room) continue;
    if (!residency_.claim(frame, id)) {
      residency_.give_back(frame);
      continue;
    }
    frames_[count] = frame;
    ios_[count++] = {.id = id, .page = {table_.memory_of(frame), table_.page_bytes()}};
  }
  const auto done = [&](const PageIo& io) {
    const std::uint32_t frame = frames_[static_cast<std::size_t>(&io - ios_.get())];
    if (io.result) {
      reads_.fetch_add(1, std::memory_order_relaxed);
      residency_.publish(frame, Residency::Hold::nothing);
    } else {
      failures_.fetch_add(1, std::memory_order_relaxed);
      residency_.fail(frame, io.result.error());
    }
  };
  // Each page's own result counts.
  if (count > 0) static_cast<void>(store_.read_batch({ios_.get(), count}, done));
  activity_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

}  // namespace pagedb::detail
