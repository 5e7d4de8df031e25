// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Host: what a workload runs on. Two of them: a simulated world with crashes and faults (SimRun), and a real disk
// (RealRun).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/scheduler.h"
#include "scenarios/allocation_oracle.h"
#include "scenarios/oracle.h"
#include "scenarios/result.h"
#include "scenarios/subject.h"
#include "sim/choices.h"
#include "sim/sim_scheduler.h"

namespace pagedb::scenarios {

/// Which faults a call on a buffer pool must not keep to itself when they hit the caller's own requests.
enum class Owes : std::uint8_t { nothing, writes, syncs };

class Host {
 public:
  virtual ~Host() = default;
  [[nodiscard]] virtual const Engine& engine() = 0;
  [[nodiscard]] virtual IoBackend& backend() = 0;
  [[nodiscard]] virtual sim::SimScheduler& scheduler() = 0;
  [[nodiscard]] virtual sim::Choices& choices() = 0;
  [[nodiscard]] virtual Oracle& oracle() = 0;
  /// Parent of the spans of the workload's decisions.
  [[nodiscard]] virtual const sim::Span& span() = 0;
  /// Path of the page file.
  [[nodiscard]] virtual const std::string& path() = 0;
  /// Path of another file of the run, such as a log. Faults are injected into the page file only.
  [[nodiscard]] virtual std::string side_path(std::string_view name) = 0;

  /// An operation of the running fiber begins: from here on, faults injected into its requests explain its result.
  virtual void operation_begins() = 0;
  /// Judges the result of reading page index `page` (null: Ok).
  virtual void judge_read(std::size_t page, const PageError* error, std::span<const std::byte> bytes) = 0;
  /// Judges the result of writing page index `page`.
  virtual void judge_write(std::size_t page, const PageError* error) = 0;
  /// Judges the result of a sync; `poisoned` is what the store says of itself afterwards.
  virtual void judge_sync(const PageError* error, bool poisoned) = 0;
  /// Judges the result of create or open; `interrupted_create` is what an Ok open reported. True: a failure is
  /// explained, trying again makes sense.
  virtual bool judge_open(const PageError* error, bool creating, bool interrupted_create) = 0;
  /// Judges the result of a call on a buffer pool (null: Ok) that began at `since`, and whose requests may have been
  /// made by any task. False: it failed, and no fault explains how.
  [[nodiscard]] virtual bool judge_call(const PageError* error, std::string_view what, Owes owes, Time since) = 0;
  /// A flush that had to write version `lsn` of page index `page` has returned Ok.
  virtual void judge_flushed(std::size_t page, std::uint64_t lsn) = 0;
  /// What is known of the page file's allocator.
  [[nodiscard]] virtual AllocationOracle& allocation() = 0;
  /// The oldest allocation commit that a crash at this moment could bring back.
  [[nodiscard]] virtual std::size_t durable_commit() = 0;
  /// The file was opened again: judges which allocation map that makes the current one.
  virtual void judge_reopened_map() = 0;
  /// Whether a sync of the page file has failed since it was opened, also if nobody was told yet.
  [[nodiscard]] virtual bool sync_failed() = 0;
  /// Takes a violation.
  virtual void violation(Invariant invariant, const std::string& message) = 0;
  /// Whether the run should end: it is stuck, or too broken to be worth going on with.
  [[nodiscard]] virtual bool over() = 0;
};

}  // namespace pagedb::scenarios
