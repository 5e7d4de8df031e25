// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/alloc_scenarios.h"

#include "scenarios/alloc_workload.h"
#include "scenarios/allocation_check.h"
#include "scenarios/real_run.h"
#include "scenarios/sim_run.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kUse = 671 };

/// What is particular to one of them.
struct Plot {
  std::string_view name, summary;
  std::string_view profile = "nvme-512";
  AllocShape shape{};
  faults::FaultPlan faults{};
  std::uint32_t crash_damage = 0;
  std::uint32_t forge = 0;
};

/// Pages of a run without a pool: one that nobody writes, since a page oracle has one at least.
std::vector<PageId> pages_of(const AllocShape& shape) {
  return shape.pool ? pool_pages() : std::vector<PageId>{PageId{2}};
}

RunResult run_plot(const RunRequest& request, const Plot& plot, const Engine& engine) {
  const sim::HarnessScope scope;
  const AllocLimits limits = draw_limits(*request.choices, plot.shape);
  SimPlan plan;
  plan.engine = &engine;
  plan.faults = plot.faults;
  plan.crash_damage = plot.crash_damage;
  plan.forge = plot.forge;
  plan.pages = pages_of(plot.shape);
  plan.allocator = true;
  plan.recover = [&limits, &plot](Branch& branch) {
    const auto file = branch.open();
    if (file == nullptr) return;
    if (plot.shape.pool) static_cast<void>(branch.redo_from());
    const auto allocator = verify_allocation(branch, *file, {.end = limits.end});
    branch.verify(*file);
    if (allocator == nullptr || branch.disk().sealed()) return;
    // A recovery that writes is crashed as well, and costs several of those that only look.
    if (branch.run().choices().draw(branch.span(), sim::Site::op_kind, 3) == 2)
      use_recovered(branch, *allocator, {.end = limits.end});
  };
  plan.sweep = [&limits](Branch& branch, Subject& file) {
    static_cast<void>(verify_allocation(branch, file, {.end = limits.end}));
  };
  SimRun run(request, plot.name, std::move(plan));
  run_alloc_workload(run, plot.shape, limits);
  return run.finish();
}

class AllocScenario final : public Scenario {
 public:
  explicit AllocScenario(const Plot& plot) : plot_(plot) {}
  std::string_view name() const override { return plot_.name; }
  std::string_view summary() const override { return plot_.summary; }
  std::string_view default_profile() const override { return plot_.profile; }
  RunResult run(const RunRequest& request) const override { return run_plot(request, plot_, production_engine()); }
  RunResult run_real(const RealRequest& request) const override {
    const sim::HarnessScope scope;
    RealRun run(request, name(), {}, pages_of(plot_.shape));
    run_alloc_workload(run, plot_.shape, draw_limits(*request.choices, plot_.shape));
    return run.finish();
  }

 private:
  const Plot& plot_;
};

const Plot kCrash{
    .name = "alloc_crash",
    .summary = "fibers allocate, free and sync; crash at every I/O boundary, reopen, compare the whole map"};

const Plot kPoolCrash{.name = "alloc_pool_crash",
                      .summary = "the same with pages written through a pool, and checkpoints that cover both",
                      .shape = {.operations_max = 150, .pool = true}};

const Plot kHostile{
    .name = "alloc_hostile",
    .summary = "the same as alloc_crash while metadata rots, becomes unreadable, lands elsewhere, and is forged",
    .faults = {.misdirected_write = 1200, .bit_rot = 900, .latent_sector_error = 500},
    .crash_damage = 128,
    .forge = 16};

const Plot kShrink{.name = "alloc_shrink",
                   .summary = "the same as alloc_crash while the file is shrunk again and again",
                   .shape = {.shrink_in_64 = 8}};

const Plot kIoErrors{
    .name = "alloc_io_errors",
    .summary = "the same while requests fail, fall short or find no space, and syncs fail, on a bad drive",
    .profile = "flaky",
    .shape = {.operations_max = 160, .rounds_max = 4, .shrink_in_64 = 3},
    .faults = {.read_error = 2500,
               .write_error = 2500,
               .no_space = 1500,
               .flush_failure = 6000,
               .short_transfer = 2500,
               .transient_error = 2500}};

}  // namespace

RunResult run_alloc_crash(const RunRequest& request, const Engine& engine) { return run_plot(request, kCrash, engine); }
RunResult run_alloc_pool_crash(const RunRequest& request, const Engine& engine) {
  return run_plot(request, kPoolCrash, engine);
}

const Scenario& alloc_crash() {
  static const AllocScenario scenario(kCrash);
  return scenario;
}

const Scenario& alloc_pool_crash() {
  static const AllocScenario scenario(kPoolCrash);
  return scenario;
}

const Scenario& alloc_hostile() {
  static const AllocScenario scenario(kHostile);
  return scenario;
}

const Scenario& alloc_shrink() {
  static const AllocScenario scenario(kShrink);
  return scenario;
}

const Scenario& alloc_io_errors() {
  static const AllocScenario scenario(kIoErrors);
  return scenario;
}

}  // namespace pagedb::scenarios
