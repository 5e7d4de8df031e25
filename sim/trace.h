// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Trace: what happened in a run, as a 64-bit rolling hash and, on demand, as a list of events.
//
// The hash is the identity of a run: the same seed, scenario, profile and engine give the same hash with every
// compiler, build type and number of workers. Only integers that such a run determines go in: no addresses, no wall
// clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scheduler.h"

namespace pagedb::sim {

/// What an event is about.
enum class EventKind : std::uint8_t {
  task_start,
  task_end,
  task_run,
  open,
  create,
  close,
  size,
  resize,
  sync_begin,
  sync_end,
  sync_directory,
  submit_read,
  submit_write,
  done_read,
  done_write,
  fault,
  crash,
  survived,
  lost,
  damaged,
  recover_begin,
  recover_end,
  page_ok,
  page_error,
  verdict,
  count_,
};

/// The kind's name as it stands in the enumeration.
[[nodiscard]] std::string_view name(EventKind kind) noexcept;

/// One event. The meaning of `a`, `b`, `c` depends on the kind and is said where the event is added.
struct Event {
  EventKind kind{};
  std::uint8_t depth = 0;     ///< 0: the workload; 1: a recovery; 2: a recovery of a crashed recovery
  std::uint16_t fiber = 0;    ///< number of the fiber, in spawn order; 0: the root
  std::uint32_t file = 0;     ///< number of the file, in creation order, counted from 1; 0: none
  std::uint64_t time_ns = 0;  ///< virtual time
  std::uint64_t a = 0, b = 0, c = 0;
  friend bool operator==(const Event&, const Event&) = default;
};

/// Rolling hash and, when asked for, the list of events.
class Trace {
 public:
  /// `keep`: also keep every event, for a timeline or for naming the first difference.
  explicit Trace(bool keep = false) noexcept : keep_(keep) {}

  /// Adds an event.
  void add(const Event& event) {
    mix((static_cast<std::uint64_t>(event.kind) << 56) ^ (static_cast<std::uint64_t>(event.depth) << 48) ^
        (static_cast<std::uint64_t>(event.fiber) << 32) ^ event.file);
    mix(event.time_ns);
    mix(event.a);
    mix(event.b);
    mix(event.c);
    ++count_;
    if (keep_) events_.push_back(event);
  }
  /// Adds a value that is no event of its own.
  void mix(std::uint64_t value) noexcept { hash_ = (((hash_ << 23) | (hash_ >> 41)) ^ value) * 0x9fb21c651e98df25u; }

  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] bool keeps() const noexcept { return keep_; }
  [[nodiscard]] const std::vector<Event>& events() const noexcept { return events_; }

 private:
  std::uint64_t hash_ = 0x5041474544420001u;
  std::uint64_t count_ = 0;
  bool keep_;
  std::vector<Event> events_;
};

/// Text of one event for people, without a line end.
[[nodiscard]] std::string to_text(const Event& event);

/// Index of the first event in which two traces differ, or -1. A trace that is a prefix of the other differs at its
/// end.
[[nodiscard]] std::int64_t first_difference(const std::vector<Event>& left, const std::vector<Event>& right);

}  // namespace pagedb::sim
