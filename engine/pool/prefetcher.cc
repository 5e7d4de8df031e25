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
  constexpr std::size_t kBatchMax = 512;  // long against any device's depth, which falls at the end of a batch
  ring_size_ = std::min<std::size_t>(kRingMax, table_.frames());
  batch_ = std::clamp<std::size_t>(table_.frames() / (2 * kReaders), 1, kBatchMax);
  ring_.reset(new (std::nothrow) PageId[ring_size_]);
  if (ring_ == nullptr) return failure(kNoMemory);
  for (Reader& reader : readers_) {
    reader.ios.reset(new (std::nothrow) PageIo[batch_]);
    reader.frames.reset(new (std::nothrow) std::uint32_t[batch_]);
    if (reader.ios == nullptr || reader.frames == nullptr) return failure(kNoMemory);
    reader.task = table_.scheduler().spawn("pool-reader", [this, &reader] { run(reader); });
    if (reader.task.value == 0) return failure(kNoMemory);
    if (table_.frames() < 2 * kReaders) break;  // a second one could not keep to its half
  }
  return {};
}

void Prefetcher::stop() noexcept {
  stop_.store(true, std::memory_order_release);
  for (Reader& reader : readers_) {
    if (reader.task.value == 0) continue;
    table_.scheduler().unpark(reader.task);
    table_.scheduler().join(reader.task);
    reader.task = {};
  }
}

std::size_t Prefetcher::memory_bytes() const noexcept {
  return sizeof *this + ring_size_ * sizeof(PageId) + kReaders * batch_ * (sizeof(PageIo) + sizeof(std::uint32_t));
}

std::size_t Prefetcher::ask(std::span<const PageId> ids) noexcept {
  if (readers_[0].task.value == 0) return 0;
  std::size_t taken = 0;
  bool was_empty = false;
  {
    const sync::SpinGuard guard(lock_, table_.scheduler());
    was_empty = waiting_ == 0;
    for (; taken < ids.size() && waiting_ < ring_size_; ++taken, ++waiting_)
      ring_[(first_ + waiting_) % ring_size_] = ids[taken];
  }
  // A reader parks only when the ring is empty: whoever fills it wakes them.
  if (was_empty && taken > 0) {
    for (const Reader& reader : readers_) {
      if (reader.task.value != 0) table_.scheduler().unpark(reader.task);
    }
  }
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

void Prefetcher::run(Reader& reader) noexcept {
  while (!stop_.load(std::memory_order_acquire)) {
    if (!read_batch(reader)) table_.scheduler().park(kForever);
  }
}

bool Prefetcher::read_batch(Reader& reader) noexcept {
  PageId id;
  if (!next(id)) return false;
  busy_.fetch_add(1, std::memory_order_acq_rel);
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
    reader.frames[count] = frame;
    reader.ios[count++] = {.id = id, .page = {table_.memory_of(frame), table_.page_bytes()}};
  }
  const auto done = [&](const PageIo& io) {
    const std::uint32_t frame = reader.frames[static_cast<std::size_t>(&io - reader.ios.get())];
    if (io.result) {
      reads_.fetch_add(1, std::memory_order_relaxed);
      residency_.publish(frame, Residency::Hold::nothing);
    } else {
      failures_.fetch_add(1, std::memory_order_relaxed);
      residency_.fail(frame, io.result.error());
    }
  };
  // Each page's own result counts.
  if (count > 0) static_cast<void>(store_.read_batch({reader.ios.get(), count}, done));
  activity_.fetch_add(1, std::memory_order_acq_rel);
  busy_.fetch_sub(1, std::memory_order_acq_rel);
  return true;
}

}  // namespace pagedb::detail
