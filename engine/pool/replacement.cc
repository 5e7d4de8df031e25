// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// S3-FIFO: see the header.
#include "engine/pool/replacement.h"

#include <algorithm>
#include <new>

#include "engine/check.h"

namespace pagedb::detail {

namespace {

template <class T>
std::unique_ptr<T[]> zeros(std::size_t count) noexcept {
  return std::unique_ptr<T[]>(new (std::nothrow) T[count]());
}

}  // namespace

// ---- ghosts

bool Replacement::Ghosts::make(std::uint32_t entries) noexcept {
  words_ = zeros<std::uint32_t>(entries);
  entries_ = entries;
  ways_ = std::min(kWays, entries);
  // About 64 ticks for as many evictions as there are entries; an age counts modulo 256, so one that old is rare.
  tick_every_ = std::max(1u, entries / 64);
  age_max_ = entries / tick_every_;
  return words_ != nullptr;
}

Replacement::Ghosts::Spot Replacement::Ghosts::spot_of(PageId id) const noexcept {
  std::uint64_t hash = (id.value ^ (id.value >> 32)) * 0xD6E8FEB86659FD93u;
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93u;
  const std::uint64_t windows = entries_ - ways_ + 1;
  const std::uint64_t at = (windows * (hash >> 32)) >> 32;
  // Never 0, as that is a word that remembers nothing.
  const std::uint32_t fingerprint = (static_cast<std::uint32_t>(hash) & ~kAgeMask) | (kAgeMask + 1);
  return {words_.get() + at, fingerprint};
}

void Replacement::Ghosts::remember(PageId id) noexcept {
  if (++since_tick_ >= tick_every_) {
    since_tick_ = 0;
    now_ = (now_ + 1) & kAgeMask;
  }
  const Spot spot = spot_of(id);
  std::uint32_t* oldest = spot.words;
  for (std::uint32_t* word = spot.words; word != spot.words + ways_; ++word) {
    if (*word == 0 || (*word & ~kAgeMask) == spot.fingerprint) {
      oldest = word;
      break;
    }
    if (age_of(*word) > age_of(*oldest)) oldest = word;
  }
  *oldest = spot.fingerprint | now_;
}

bool Replacement::Ghosts::recall(PageId id) noexcept {
  const Spot spot = spot_of(id);
  for (std::uint32_t* word = spot.words; word != spot.words + ways_; ++word) {
    if ((*word & ~kAgeMask) != spot.fingerprint) continue;
    const bool young = age_of(*word) <= age_max_;
    *word = 0;
    return young;
  }
  return false;
}

// ---- queues

Result<void> Replacement::make(FrameTable& table) noexcept {
  table_ = &table;
  const std::uint32_t frames = table.frames();
  next_ = zeros<std::uint32_t>(frames);
  prev_ = zeros<std::uint32_t>(frames);
  place_ = zeros<std::uint8_t>(frames);
  if (!ghosts_.make(frames) || next_ == nullptr || prev_ == nullptr || place_ == nullptr) {
    return failure({.code = ErrorCode::out_of_memory});
  }
  small_max_ = std::max(1u, frames / kSmallPart);
  std::fill_n(place_.get(), frames, kNowhere);
  for (std::uint32_t frame = frames; frame-- > 0;) give_free(frame);  // frame 0 is taken first
  return {};
}

void Replacement::push(Place place, std::uint32_t frame) noexcept {
  Queue& queue = queues_[place];
  place_[frame] = place;
  prev_[frame] = kNoFrame;
  next_[frame] = queue.newest;
  (queue.newest == kNoFrame ? queue.oldest : prev_[queue.newest]) = frame;
  queue.newest = frame;
  ++queue.size;
}

void Replacement::unlink(std::uint32_t frame) noexcept {
  Queue& queue = queues_[place_[frame]];
  const std::uint32_t newer = prev_[frame], older = next_[frame];
  (newer == kNoFrame ? queue.newest : next_[newer]) = older;
  (older == kNoFrame ? queue.oldest : prev_[older]) = newer;
  --queue.size;
}

std::uint32_t Replacement::take_free() noexcept {
  const std::uint32_t frame = free_;
  if (frame == kNoFrame) return kNoFrame;
  free_ = next_[frame];
  place_[frame] = kNowhere;
  return frame;
}

void Replacement::give_free(std::uint32_t frame) noexcept {
  PAGEDB_CHECK(place_[frame] == kNowhere, "a frame is freed that is in a queue, or free");
  place_[frame] = kFree;
  next_[frame] = free_;
  free_ = frame;
}

void Replacement::admit(std::uint32_t frame, PageId id, bool used) noexcept {
  PAGEDB_CHECK(place_[frame] == kNowhere, "a frame is admitted that is in a queue, or free");
  const Place place = ghosts_.recall(id) ? kMain : used ? kSmall : kWaiting;
  set_uses(frame, place == kSmall ? 1 : 0);
  push(place, frame);
}

void Replacement::admit_waiting() noexcept {
  const Queue& waiting = queues_[kWaiting];
  for (unsigned looks = kLookMax; looks > 0 && waiting.size > 0; --looks) {
    const std::uint32_t frame = waiting.oldest;
    const bool others = queues_[kSmall].size + queues_[kMain].size > 0;
    const bool in_vain = ++passed_by_ > table_->frames() || waiting.size > table_->frames() / 2 || !others;
    if (uses_of(frame) == 0 && !in_vain) return;
    unlink(frame);
    push(kSmall, frame);
    passed_by_ = 0;
  }
}

bool Replacement::small_is_next() const noexcept {
  const Queue &small = queues_[kSmall], &main = queues_[kMain];
  if (small.size == 0 || main.size == 0) return main.size == 0;
  if (avoid_ != kNowhere) return avoid_ == kMain;
  return small.size > small_max_;
}

std::uint32_t Replacement::candidate() noexcept {
  admit_waiting();
  for (unsigned looks = 1;; ++looks) {
    const Place place = small_is_next() ? kSmall : kMain;
    const std::uint32_t frame = queues_[place].oldest;
    if (frame == kNoFrame) return kNoFrame;
    unlink(frame);
    const std::uint8_t uses = uses_of(frame);
    if (goes(place, uses) || looks >= kLookMax) {
      place_[frame] = place == kSmall ? kTakenFromSmall : kTakenFromMain;
      avoid_ = kNowhere;
      return frame;
    }
    set_uses(frame, place == kSmall ? std::uint8_t{0} : static_cast<std::uint8_t>(uses - 1));
    push(kMain, frame);
  }
}

void Replacement::reject(std::uint32_t frame) noexcept {
  PAGEDB_CHECK(place_[frame] == kTakenFromSmall || place_[frame] == kTakenFromMain, "rejects what is no candidate");
  avoid_ = place_[frame] == kTakenFromSmall ? kSmall : kMain;
  push(avoid_, frame);
}

void Replacement::evicted(std::uint32_t frame, PageId id) noexcept {
  PAGEDB_CHECK(place_[frame] == kTakenFromSmall || place_[frame] == kTakenFromMain, "evicts what is no candidate");
  if (place_[frame] == kTakenFromSmall) ghosts_.remember(id);
  place_[frame] = kNowhere;
}

bool Replacement::remove(std::uint32_t frame) noexcept {
  PAGEDB_CHECK(place_[frame] <= kTakenFromMain, "removes what is in no queue");
  if (place_[frame] > kWaiting) return false;
  unlink(frame);
  place_[frame] = kNowhere;
  return true;
}

void Replacement::vacant(std::uint32_t frame) noexcept {
  PAGEDB_CHECK(place_[frame] == kTakenFromSmall || place_[frame] == kTakenFromMain, "no candidate");
  place_[frame] = kNowhere;
}

std::size_t Replacement::peek(std::span<std::uint32_t> into) const noexcept {
  std::array<std::uint32_t, 2> at{queues_[kSmall].oldest, queues_[kMain].oldest};
  std::uint32_t small_size = queues_[kSmall].size;
  std::size_t found = 0;
  const std::size_t looks_max = 2 * into.size() + kLookMax;
  for (std::size_t looks = 0; looks < looks_max && found < into.size(); ++looks) {
    if (at[kSmall] == kNoFrame && at[kMain] == kNoFrame) break;
    const bool small = at[kMain] == kNoFrame || (at[kSmall] != kNoFrame && small_size > small_max_);
    std::uint32_t& frame = at[small ? kSmall : kMain];
    const bool leaves = goes(small ? kSmall : kMain, uses_of(frame));
    if (leaves) into[found++] = frame;
    // A page that leaves is followed by a new one in the small queue; one that is used changes from that to the main.
    if (small && !leaves) --small_size;
    if (!small && leaves) ++small_size;
    frame = prev_[frame];
  }
  return found;
}

std::uint32_t Replacement::queued() const noexcept {
  return queues_[kSmall].size + queues_[kMain].size + queues_[kWaiting].size;
}

std::size_t Replacement::memory_bytes() const noexcept {
  return table_->frames() * (3 * sizeof(std::uint32_t) + sizeof(std::uint8_t));
}

}  // namespace pagedb::detail
