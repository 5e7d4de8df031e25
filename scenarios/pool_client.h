// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PoolClient: one fiber of a pool workload. It draws what to do next, does it, and judges what came of it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/buffer_pool.h"
#include "scenarios/host.h"
#include "scenarios/pool_model.h"
#include "scenarios/pool_workload.h"
#include "scenarios/redo_log.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {

/// The log's barrier, which now and then refuses: then nothing may be written, and whoever wanted it hears of it.
class FickleBarrier final : public LogBarrier {
 public:
  FickleBarrier(Host& host, RedoLog& log);
  Result<void> ensure_durable(Lsn lsn) noexcept override;
  /// Whether an error is one of its own.
  [[nodiscard]] static bool made(const PageError& error) noexcept;

 private:
  Host& host_;
  RedoLog& log_;
  sim::Span span_;
};

/// What the fibers share.
struct PoolShared {
  Host& host;
  Subject& file;
  BufferPool& pool;
  PoolModel& model;
  const PoolShape& shape;
  RedoLog* log;  // null: none
  std::uint32_t operations_left;
  bool checkpointing = false;
  std::size_t last_page = 0;  // that anybody drew
};

/// Calls the engine, watched for races.
template <class Call>
auto in_engine(Call&& call) {
  const sim::EngineScope engine;
  return std::forward<Call>(call)();
}

class PoolClient {
 public:
  PoolClient(PoolShared& shared, std::uint32_t number, std::uint32_t round);

  /// Until it draws an end, the operations are used up, or the file is poisoned; then a look at what a poisoned pool
  /// answers.
  void run();

 private:
  /// A call on the pool that needs a frame: when it began, and how full the pool was.
  struct Call {
    explicit Call(PoolShared& shared);
    PoolModel::Frame frame;
    Time since;
  };

  void operation(std::uint32_t kind, sim::Span& span);
  void read_shared(sim::Span& span);
  void read_copy(sim::Span& span);
  void read_optimistic(sim::Span& span);
  void change(sim::Span& span, std::size_t page, bool fresh);
  bool apply(sim::Span& span, std::size_t page, bool fresh, ExclusiveGuard& guard);
  void log_change(std::size_t page, std::uint64_t lsn, std::uint64_t previous, bool image, std::size_t offset,
                  std::size_t size);
  void flush(sim::Span& span);
  void flush_all();
  void sync();
  void flush_log();
  void checkpoint(sim::Span& span);
  void prefetch(sim::Span& span);
  void drop(sim::Span& span);
  void look_at_poisoned(sim::Span& span);

  [[nodiscard]] PageId id(std::size_t page) const { return shared_.host.oracle().pages()[page]; }
  [[nodiscard]] std::size_t draw_page(sim::Span& span);
  void pause(sim::Span& span);
  /// A pause between two steps that belong together, now and then.
  void maybe_pause(sim::Span& span);
  /// Judges the bytes that an Ok read gave; `before`: what the page had to show when it began.
  void judge_bytes(std::size_t page, std::span<const std::byte> bytes, std::uint64_t before);
  /// Judges the error that a fetch gave. True: the page has never been written.
  bool judge_error(std::size_t page, const PageError& error, const PoolModel::Page& before, const Call& call);
  void judge(const Result<void>& result, std::string_view what, Owes owes, Time since);
  void judge_sync(const Result<void>& result, std::string_view what, Time since);
  /// A flush ended so: what it had to write is acknowledged.
  void acknowledge(const Result<void>& result, std::span<const PoolModel::Covered> covered);
  void must_be_poisoned(const Result<void>& result, std::string_view what);

  PoolShared& shared_;
  sim::Span span_;
  AlignedBuffer copy_;  // a page
};

}  // namespace pagedb::scenarios
