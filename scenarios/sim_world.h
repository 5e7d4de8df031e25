// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimRun::World: the disk and the tasks of one level of a simulated run. Only SimRun's own files include this.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/check.h"
#include "scenarios/sim_run.h"

namespace pagedb::scenarios {

/// Scheduler, disk, ledger and memory of one level: the trunk, a recovery, a nested recovery.
class SimRun::World final : public sim::DiskObserver {
  enum SpanKind : std::uint32_t { kScheduler = 101, kDisk = 102, kNested = 104 };
  static constexpr std::uint32_t kNestedBoundaries = 32;  // range that the nested crash is drawn from

 public:
  World(SimRun& run, std::uint8_t depth) : run_(run), depth_(depth) {}

  void start(const sim::Span& span, const faults::FaultPlan* faults, std::uint64_t first_record) {
    arena.clear();
    ledger.clear();
    span_ = span;
    stall = sim::Stall::none;
    wrote_ = false;
    boundaries_ = 0;
    const sim::SimLimits limits{.steps_max = depth_ == 0 ? 2'000'000u : 200'000u, .time_max = std::chrono::minutes(10)};
    scheduler = std::make_unique<sim::SimScheduler>(*run_.request_.choices, sim::Span(span, kScheduler, 0),
                                                    *run_.request_.trace, run_.stacks_, limits, depth_);
    scheduler->on_stall([this](sim::Stall why) {
      stall = why;
      disk.seal();
    });
    sim::DiskObserver* observer = this;
    if (depth_ == 0) observer = &run_;
    disk.reset({.scheduler = scheduler.get(),
                .choices = run_.request_.choices,
                .trace = run_.request_.trace,
                .profile = run_.request_.profile,
                .plan = faults,
                .faulty_path = run_.path_,
                .ledger = &ledger,
                .arena = &arena,
                .observer = observer,
                .span = sim::Span(span, kDisk, 0),
                .depth = depth_,
                .first_record = first_record});
  }

  /// Memory to read all pages into, and a batch that does it.
  void make_batch(const Oracle& oracle) {
    if (!batch.empty()) return;
    const std::size_t size = oracle.page_size().bytes();
    auto made = AlignedBuffer::allocate(size * oracle.pages().size());
    PAGEDB_CHECK(made.has_value(), "the harness needs memory for every page");
    memory = std::move(*made);
    for (std::size_t i = 0; i < oracle.pages().size(); ++i) {
      batch.push_back({.id = oracle.pages()[i], .page = memory.span().subspan(i * size, size)});
    }
  }

  void write_submitted(sim::WriteRecord& record) override {
    if (disk.files()[record.file - 1]->path == run_.path_) {
      run_.report(run_.oracle_.submitted(record, true));
      run_.note_commit(depth_, record, disk);
    }
    if (!wrote_ && depth_ < 2)
      nested_at_ = run_.request_.choices->draw(span_, sim::Site::nested_boundary, kNestedBoundaries);
    wrote_ = true;
  }
  void write_memory_changed(const sim::WriteRecord& record) override { run_.write_memory_changed(record); }
  void boundary() override {
    // A recovery that only reads leaves what it found: crashing it gives no new state.
    if (!wrote_ || depth_ >= 2 || boundaries_++ != nested_at_) return;
    sim::Span span(span_, kNested, 0);
    run_.recover(*run_.worlds_[depth_ + 1u], disk, span);
  }

  faults::Ledger ledger;
  sim::Arena arena;
  sim::SimDisk disk;
  std::unique_ptr<sim::SimScheduler> scheduler;
  sim::Media image;  // what the crash left of the page file; the disk's own layers lie on it
  sim::Stall stall = sim::Stall::none;
  AlignedBuffer memory;
  std::vector<PageIo> batch;
  std::vector<Outcome> outcomes;

  [[nodiscard]] std::uint8_t depth() const noexcept { return depth_; }
  [[nodiscard]] sim::Span& span() noexcept { return span_; }

 private:
  SimRun& run_;
  std::uint8_t depth_;
  sim::Span span_;
  bool wrote_ = false;
  std::uint32_t boundaries_ = 0, nested_at_ = 0;
};

}  // namespace pagedb::scenarios
