// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// EventQueue: what happens when, ordered by time and, within a time, by the order in which it was added.
//
// A binary heap: add and pop are O(log n), and neither allocates once the queue has been as long before. A wake-up can
// be called off in O(1); its entry goes stale and is dropped when it surfaces, or when the stale ones outnumber the
// others, so they cost no more than the live ones. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/check.h"
#include "engine/scheduler.h"

namespace pagedb::sim {

class TimedEvent;

/// Something that can be woken at a time, and whose waking can be called off. Must outlive the queue.
struct Alarm {
  std::uint64_t generation = 0;  ///< entries of earlier generations are stale
};

class EventQueue {
 public:
  /// One thing that happens: either an event or an alarm.
  struct Entry {
    Time time{};
    std::uint64_t sequence = 0;
    TimedEvent* event = nullptr;
    Alarm* alarm = nullptr;
    std::uint64_t tag = 0;  ///< an alarm's generation; for an event, whatever its adder wants to find again
  };

  explicit EventQueue(std::size_t expected) { heap_.reserve(expected); }

  /// `event` happens at `time`.
  void add(Time time, TimedEvent& event, std::uint64_t tag) { push({time, next_sequence_++, &event, nullptr, tag}); }
  /// `alarm` rings at `time`, unless called off.
  void add(Time time, Alarm& alarm) { push({time, next_sequence_++, nullptr, &alarm, alarm.generation}); }

  /// Calls off the one entry of `alarm` that is pending.
  void call_off(Alarm& alarm) {
    ++alarm.generation;
    ++stale_;
    if (stale_ > kStaleMin && stale_ > heap_.size() / 2) drop_stale();
  }

  /// The next entry, or null when nothing is left to happen.
  [[nodiscard]] const Entry* next() {
    while (!heap_.empty() && is_stale(heap_.front())) {
      take();
      --stale_;
    }
    return heap_.empty() ? nullptr : &heap_.front();
  }

  /// Removes what next() just showed.
  Entry pop() {
    PAGEDB_CHECK(!heap_.empty(), "nothing is left to happen");
    const Entry entry = take();
    if (entry.alarm != nullptr) ++entry.alarm->generation;
    return entry;
  }

  /// Entries held, the stale ones included.
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }

 private:
  static constexpr std::size_t kStaleMin = 64;

  static bool later(const Entry& left, const Entry& right) noexcept {
    return left.time != right.time ? left.time > right.time : left.sequence > right.sequence;
  }
  static bool is_stale(const Entry& entry) noexcept {
    return entry.alarm != nullptr && entry.alarm->generation != entry.tag;
  }
  void push(const Entry& entry) {
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  Entry take() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Entry entry = heap_.back();
    heap_.pop_back();
    return entry;
  }
  void drop_stale() {
    std::erase_if(heap_, is_stale);
    std::make_heap(heap_.begin(), heap_.end(), later);
    stale_ = 0;
  }

  std::vector<Entry> heap_;
  std::uint64_t next_sequence_ = 0;
  std::size_t stale_ = 0;
};

}  // namespace pagedb::sim
