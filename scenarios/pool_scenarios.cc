// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The pool scenarios: several fibers use one buffer pool, under power loss, with a log, with failing I/O, with hardly a
// frame to spare.
#include "scenarios/pool_scenarios.h"

#include "scenarios/log_recovery.h"
#include "scenarios/page_workload.h"
#include "scenarios/pool_workload.h"
#include "scenarios/real_run.h"
#include "scenarios/sim_run.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

/// What is particular to one of them.
struct Plot {
  std::string_view name, summary;
  std::size_t pages = 64;
  PoolShape shape{};
  faults::FaultPlan faults{};
};

/// Without a log a recovery is opening the file.
void recover_by_opening(Branch& branch) {
  const auto file = branch.open();
  if (file == nullptr) return;
  static_cast<void>(branch.redo_from());
  branch.verify(*file);
}

void recover_with_log(Branch& branch) { recover_by_redo(branch, kPoolLog); }

RunResult run_plot(const RunRequest& request, const Plot& plot, const Engine& engine) {
  const sim::HarnessScope scope;
  SimPlan plan;
  plan.engine = &engine;
  plan.faults = plot.faults;
  plan.pages = workload_pages(plan.page_size, plot.pages);
  plan.recover = plot.shape.log ? recover_with_log : recover_by_opening;
  SimRun run(request, plot.name, std::move(plan));
  run_pool_workload(run, plot.shape);
  return run.finish();
}

class PoolScenario final : public Scenario {
 public:
  explicit PoolScenario(const Plot& plot) : plot_(plot) {}
  std::string_view name() const override { return plot_.name; }
  std::string_view summary() const override { return plot_.summary; }
  std::string_view default_profile() const override { return "nvme-512"; }
  RunResult run(const RunRequest& request) const override { return run_plot(request, plot_, production_engine()); }
  RunResult run_real(const RealRequest& request) const override {
    const sim::HarnessScope scope;
    RealRun run(request, name(), {}, workload_pages({}, plot_.pages));
    run_pool_workload(run, plot_.shape);
    return run.finish();
  }

 private:
  const Plot& plot_;
};

const Plot kCrash{.name = "pool_crash",
                  .summary = "fibers use a buffer pool; crash at every I/O boundary, reopen, verify every page",
                  .shape = {.frames_min = 6, .frames_max = 16}};

const Plot kWal{.name = "pool_wal",
                .summary = "the same with a redo log of images and deltas; what the log holds must come back",
                .pages = 32,
                .shape = {.frames_min = 4, .frames_max = 12, .operations_max = 90, .log = true}};

const Plot kIoErrors{.name = "pool_io_errors",
                     .summary = "the same while requests fail, fall short or find no space, and syncs fail",
                     .shape = {.frames_min = 4, .frames_max = 16, .operations_max = 240, .rounds_max = 4},
                     .faults = {.read_error = 2500,
                                .write_error = 2500,
                                .no_space = 1500,
                                .flush_failure = 6000,
                                .short_transfer = 2500,
                                .transient_error = 2500}};

const Plot kSmall{
    .name = "pool_small",
    .summary = "a pool of 2 to 4 frames and more fibers than that: full pools, and no deadlock",
    .pages = 16,
    .shape = {
        .frames_min = 2, .frames_max = 4, .fibers = 7, .operations_max = 160, .hold_in_8 = 5, .waits_when_full = true}};

}  // namespace

RunResult run_pool_crash(const RunRequest& request, const Engine& engine) { return run_plot(request, kCrash, engine); }
RunResult run_pool_wal(const RunRequest& request, const Engine& engine) { return run_plot(request, kWal, engine); }

const Scenario& pool_crash() {
  static const PoolScenario scenario(kCrash);
  return scenario;
}

const Scenario& pool_wal() {
  static const PoolScenario scenario(kWal);
  return scenario;
}

const Scenario& pool_io_errors() {
  static const PoolScenario scenario(kIoErrors);
  return scenario;
}

const Scenario& pool_small() {
  static const PoolScenario scenario(kSmall);
  return scenario;
}

}  // namespace pagedb::scenarios
