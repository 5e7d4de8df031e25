// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The page_file scenarios: one workload on the page file, under four kinds of weather.
#include "scenarios/page_file_scenarios.h"

#include "scenarios/page_workload.h"
#include "scenarios/real_run.h"
#include "scenarios/sim_run.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kPages = 64;

/// One weather report.
struct Weather {
  std::string_view name, summary, profile;
  faults::FaultPlan faults{};
  std::uint32_t crash_damage = 0;
};

class PageFileScenario final : public Scenario {
 public:
  explicit PageFileScenario(const Weather& weather) : weather_(weather) {}
  std::string_view name() const override { return weather_.name; }
  std::string_view summary() const override { return weather_.summary; }
  std::string_view default_profile() const override { return weather_.profile; }

  RunResult run(const RunRequest& request) const override {
    return run_page_file(request, weather_.name, production_engine(), weather_.faults, weather_.crash_damage);
  }

  RunResult run_real(const RealRequest& request) const override {
    const sim::HarnessScope scope;
    RealRun run(request, weather_.name, {}, workload_pages({}, kPages));
    run_page_workload(run, {});
    return run.finish();
  }

 private:
  Weather weather_;
};

}  // namespace

RunResult run_page_file(const RunRequest& request, std::string_view name, const Engine& engine,
                        const faults::FaultPlan& faults, std::uint32_t crash_damage) {
  const sim::HarnessScope scope;
  SimPlan plan;
  plan.engine = &engine;
  plan.faults = faults;
  plan.crash_damage = crash_damage;
  plan.pages = workload_pages(plan.page_size, kPages);
  plan.recover = [](Branch& branch) {
    if (const auto file = branch.open()) branch.verify(*file);
  };
  SimRun run(request, name, std::move(plan));
  run_page_workload(run, {});
  return run.finish();
}

const Scenario& page_file_crash() {
  static const PageFileScenario scenario(
      {.name = "page_file_crash",
       .summary = "fibers write and sync pages; crash at every I/O boundary, reopen, verify every page",
       .profile = "nvme-512"});
  return scenario;
}

const Scenario& page_file_bitrot() {
  static const PageFileScenario scenario(
      {.name = "page_file_bitrot",
       .summary = "the same, while sectors rot, become unreadable, and writes land elsewhere",
       .profile = "nvme-512",
       .faults = {.misdirected_write = 1200, .bit_rot = 900, .latent_sector_error = 500},
       .crash_damage = 96});
  return scenario;
}

const Scenario& page_file_misaligned() {
  static const PageFileScenario scenario(
      {.name = "page_file_misaligned",
       .summary = "the same on a misaligned partition: a cut read-modify-write damages pages that nobody was writing",
       .profile = "sata-512e-misaligned"});
  return scenario;
}

const Scenario& page_file_io_errors() {
  static const PageFileScenario scenario(
      {.name = "page_file_io_errors",
       .summary = "the same, while requests fail, fall short or find no space, and syncs fail",
       .profile = "nvme-512",
       .faults = {.read_error = 1500,
                  .write_error = 1500,
                  .no_space = 1500,
                  .flush_failure = 4000,
                  .short_transfer = 2500,
                  .transient_error = 2500}});
  return scenario;
}

}  // namespace pagedb::scenarios
