// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Linking, unlinking, evicting.
#include "engine/pool/residency.h"

#include <algorithm>

#include "engine/check.h"

namespace pagedb::detail {

using namespace frame_state;

std::uint32_t Residency::find_in(std::uint32_t bucket, PageId id) noexcept {
  std::uint32_t frame = table_.head(bucket).load(std::memory_order_relaxed);
  while (frame != kNoFrame && !table_.holds(frame, id)) frame = table_.info(frame).next.load(std::memory_order_relaxed);
  return frame;
}

std::uint32_t Residency::find(PageId id) noexcept {
  const std::uint32_t bucket = table_.bucket_of(id);
  const sync::SpinGuard guard(chain_lock(bucket), table_.scheduler());
  return find_in(bucket, id);
}

void Residency::unlink(std::uint32_t bucket, std::uint32_t frame) noexcept {
  FrameInfo& info = table_.info(frame);
  // Odd until the next page is there: optimistic readers of this one fail.
  const std::uint64_t version = info.version.load(std::memory_order_relaxed);
  info.version.store(version | 1, std::memory_order_relaxed);  // a page that never came is odd already
  sync::order_stores();
  info.page.store(kNoPage, std::memory_order_release);

  sync::Atomic<std::uint32_t>* link = &table_.head(bucket);
  for (std::uint32_t at = link->load(std::memory_order_relaxed); at != frame;
       at = link->load(std::memory_order_relaxed)) {
    PAGEDB_CHECK(at != kNoFrame, "a resident frame is in its chain");
    link = &table_.info(at).next;
  }
  link->store(info.next.load(std::memory_order_relaxed), std::memory_order_release);
}

bool Residency::evict(std::uint32_t frame, PageId& id) noexcept {
  id = table_.page_of(frame);
  if (id.value == kNoPage) return false;
  const std::uint32_t bucket = table_.bucket_of(id);
  const sync::SpinGuard guard(chain_lock(bucket), table_.scheduler());
  std::uint64_t idle = 0;
  // The page cannot have changed: only the holder of a candidate puts another one into it.
  if (!table_.state(frame).compare_exchange_strong(idle, kEmpty, std::memory_order_acq_rel)) return false;
  unlink(bucket, frame);
  return true;
}

Residency::Sweep Residency::sweep(std::span<std::uint32_t> dirty_frames) noexcept {
  constexpr unsigned kLooksAtOnce = 64;  // under one hold of the policy's lock
  Sweep result;
  std::uint64_t looks_left = 2 * std::uint64_t{table_.frames()} + 2;  // both queues in turn, so that each is seen whole
  while (true) {
    std::uint32_t frame = kNoFrame;
    {
      const sync::SpinGuard guard(policy_lock_, table_.scheduler());
      result.frame = policy_.take_free();
      if (result.frame != kNoFrame) return result;
      for (unsigned looks = kLooksAtOnce; looks > 0 && looks_left > 0; --looks, --looks_left) {
        const std::uint32_t candidate = policy_.candidate();
        if (candidate == kNoFrame) return result;
        const std::uint64_t state = table_.state(candidate).load(std::memory_order_acquire);
        if (state == 0) {
          frame = candidate;
          break;
        }
        if ((state & kWriting) != 0) {
          result.writing = candidate;
        } else if (state == kDirty && result.dirty < dirty_frames.size()) {
          dirty_frames[result.dirty++] = candidate;
        }
        policy_.reject(candidate);
      }
    }
    if (frame == kNoFrame) {
      if (looks_left == 0) return result;
      continue;
    }
    PageId id;
    const bool gone = evict(frame, id);
    const sync::SpinGuard guard(policy_lock_, table_.scheduler());
    if (gone) {
      policy_.evicted(frame, id);
      evictions_.fetch_add(1, std::memory_order_relaxed);
      result.frame = frame;
      return result;
    }
    if ((table_.state(frame).load(std::memory_order_acquire) & kEmpty) != 0) {
      policy_.vacant(frame);  // dropped meanwhile
      result.frame = frame;
      return result;
    }
    policy_.reject(frame);
    if (looks_left > 0) --looks_left;
  }
}

void Residency::give_back(std::uint32_t frame) noexcept {
  const sync::SpinGuard guard(policy_lock_, table_.scheduler());
  policy_.give_free(frame);
}

bool Residency::claim(std::uint32_t frame, PageId id) noexcept {
  const std::uint32_t bucket = table_.bucket_of(id);
  FrameInfo& info = table_.info(frame);
  const sync::SpinGuard guard(chain_lock(bucket), table_.scheduler());
  if (find_in(bucket, id) != kNoFrame) return false;
  info.page.store(id.value, std::memory_order_release);
  info.write_epoch.store(0, std::memory_order_relaxed);
  sync::Atomic<std::uint32_t>& head = table_.head(bucket);
  info.next.store(head.load(std::memory_order_relaxed), std::memory_order_relaxed);
  // By addition: tasks that were misled may have counted themselves in for a moment, and will count themselves out.
  table_.state(frame).fetch_add(kExclusive + kLoading + kPin - kEmpty, std::memory_order_acq_rel);
  head.store(frame, std::memory_order_release);
  return true;
}

void Residency::publish(std::uint32_t frame, Hold hold) noexcept {
  if (hold != Hold::changing) table_.end_change(frame);
  {
    const sync::SpinGuard guard(policy_lock_, table_.scheduler());
    policy_.admit(frame, table_.page_of(frame), hold != Hold::nothing);
  }
  sync::Atomic<std::uint64_t>& state = table_.state(frame);
  if (hold == Hold::exclusive || hold == Hold::changing) {
    table_.own(frame);
    state.fetch_sub(kLoading, std::memory_order_acq_rel);
    return;
  }
  const std::uint64_t kept = hold == Hold::shared ? kShared : 0;
  const std::uint64_t before = state.fetch_sub(kExclusive + kLoading + kPin - kept, std::memory_order_acq_rel);
  if ((before & kWaiters) != 0) table_.wake(frame);
}

void Residency::fail(std::uint32_t frame, const PageError& error) noexcept {
  const std::uint32_t bucket = table_.bucket_of(table_.page_of(frame));
  {
    const sync::SpinGuard guard(chain_lock(bucket), table_.scheduler());
    unlink(bucket, frame);
    table_.state(frame).fetch_sub(kExclusive + kLoading + kPin - kEmpty, std::memory_order_acq_rel);
  }
  table_.wake(frame, &error);
  give_back(frame);
}

void Residency::drop(std::uint32_t frame) noexcept {
  const std::uint32_t bucket = table_.bucket_of(table_.page_of(frame));
  sync::Atomic<std::uint64_t>& state = table_.state(frame);
  if ((state.fetch_and(~kDirty, std::memory_order_acq_rel) & kDirty) != 0) table_.count_cleaned();
  table_.info(frame).owner.store(0, std::memory_order_relaxed);
  {
    // Both locks at once: whoever has this frame as a candidate must find it in its queue, or empty.
    const sync::SpinGuard policy_guard(policy_lock_, table_.scheduler());
    {
      const sync::SpinGuard guard(chain_lock(bucket), table_.scheduler());
      unlink(bucket, frame);
      state.fetch_sub(kExclusive + kPin - kEmpty, std::memory_order_acq_rel);
    }
    if (policy_.remove(frame)) policy_.give_free(frame);
  }
  table_.wake(frame);
}

std::size_t Residency::dirty_soon(std::span<std::uint32_t> into) noexcept {
  std::size_t found = 0;
  {
    const sync::SpinGuard guard(policy_lock_, table_.scheduler());
    found = policy_.peek(into);
  }
  const auto end = std::remove_if(into.begin(), into.begin() + static_cast<std::ptrdiff_t>(found),
                                  [&](std::uint32_t frame) { return table_.state(frame).load() != kDirty; });
  return static_cast<std::size_t>(end - into.begin());
}

std::uint32_t Residency::resident() noexcept {
  const sync::SpinGuard guard(policy_lock_, table_.scheduler());
  return policy_.queued();
}

}  // namespace pagedb::detail
