// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The redo scenarios: one workload, and what the log and the device are like in each.
#include "scenarios/redo_scenarios.h"

#include "scenarios/page_workload.h"
#include "scenarios/real_run.h"
#include "scenarios/redo_workload.h"
#include "scenarios/sim_run.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

/// What is particular to one of them.
struct Plot {
  std::string_view name, summary, profile;
  RedoShape shape{};
  faults::FaultPlan faults{};
  std::uint32_t crash_damage = 0;
};

RunResult run_plot(const RunRequest& request, const Plot& plot, const Engine& engine) {
  const sim::HarnessScope scope;
  SimPlan plan;
  plan.engine = &engine;
  plan.faults = plot.faults;
  plan.crash_damage = plot.crash_damage;
  plan.pages = workload_pages(plan.page_size, kRedoPages);
  plan.recover = recover_redo_workload;
  SimRun run(request, plot.name, std::move(plan));
  run_redo_workload(run, plot.shape);
  return run.finish();
}

class RedoScenario final : public Scenario {
 public:
  explicit RedoScenario(const Plot& plot) : plot_(plot) {}
  std::string_view name() const override { return plot_.name; }
  std::string_view summary() const override { return plot_.summary; }
  std::string_view default_profile() const override { return plot_.profile; }
  RunResult run(const RunRequest& request) const override { return run_plot(request, plot_, production_engine()); }
  RunResult run_real(const RealRequest& request) const override {
    const sim::HarnessScope scope;
    RealRun run(request, name(), {}, workload_pages({}, kRedoPages));
    run_redo_workload(run, plot_.shape);
    return run.finish();
  }

 private:
  const Plot& plot_;
};

const Plot kFullImages{.name = "redo_full_images",
                       .summary = "pages and a redo log with full images; torn, stale and damaged pages must come back",
                       .profile = "nvme-512",
                       .faults = {.misdirected_write = 800, .bit_rot = 400, .latent_sector_error = 200},
                       .crash_damage = 64};

const Plot kCrash{.name = "redo_crash",
                  .summary = "the same with a log of changes, on a device that tears no page; all must come back",
                  .profile = "nvme-4k",
                  .shape = {.operations_max = 60, .images_in_8 = 1, .written_in_8 = 4}};

const Plot kLostWrite{
    .name = "redo_lost_write",
    .summary = "the same while the page device drops writes and damages pages; what the log knows of must be noticed",
    .profile = "nvme-4k",
    .shape = {.operations_max = 60, .images_in_8 = 1, .written_in_8 = 5},
    .faults = {.misdirected_write = 400, .dropped_write = 6000, .bit_rot = 200, .latent_sector_error = 100},
    .crash_damage = 64};

}  // namespace

RunResult run_redo_full_images(const RunRequest& request, const Engine& engine) {
  return run_plot(request, kFullImages, engine);
}

const Scenario& redo_full_images() {
  static const RedoScenario scenario(kFullImages);
  return scenario;
}

const Scenario& redo_crash() {
  static const RedoScenario scenario(kCrash);
  return scenario;
}

const Scenario& redo_lost_write() {
  static const RedoScenario scenario(kLostWrite);
  return scenario;
}

}  // namespace pagedb::scenarios
