// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/real.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "engine/io/direct_io.h"
#include "scenarios/isolated.h"

namespace pagedb::pagesim {
namespace {

// Why files in `directory` cannot be read and written directly, or nothing.
std::string no_direct_io(const std::string& directory) {
  const std::string path = fmt::format("{}/pagesim-probe-{}", directory, ::getpid());
  DirectIo backend;
  const auto file = backend.create(path);
  ::unlink(path.c_str());
  if (file) return {};
  return fmt::format("no direct I/O in {}: {}", directory, std::strerror(file.error()));
}

scenarios::RunResult run_one(const scenarios::Scenario& scenario, std::uint64_t seed, const std::string& directory) {
  sim::PrngChoices choices(seed);
  DirectIo backend;
  scenarios::RealRequest request;
  request.seed = seed;
  request.choices = &choices;
  request.backend = &backend;
  request.directory = directory;
  return scenario.run_real(request);
}

}  // namespace

void run_real(const std::vector<const scenarios::Scenario*>& scenarios, std::uint64_t seed,
              const std::string& directory, const std::string& program, reports::Summary& summary) {
  if (std::string why = no_direct_io(directory); !why.empty()) {
    summary.campaign.infrastructure_errors.push_back(std::move(why));
    return;
  }
  for (const scenarios::Scenario* scenario : scenarios) {
    const scenarios::Assignment about{scenario, {}};
    const auto start = std::chrono::steady_clock::now();
    scenarios::IsolatedRun run = run_isolated(about, seed, {}, [&] { return run_one(*scenario, seed, directory); });
    reports::RealRun report{std::string(scenario->name()), directory, 0, run.infrastructure_error};
    report.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (scenarios::Violation& violation : run.result.violations) {
      violation.scenario = scenario->name();
      violation.seed = seed;
      violation.message = "on the real disk: " + violation.message;
      violation.command = fmt::format("{} run --scenario {} --seeds {}..{} --real {}", scenarios::shell_quoted(program),
                                      scenario->name(), seed, seed + 1, scenarios::shell_quoted(directory));
      if (report.problem.empty()) report.problem = "failed";
      ++summary.campaign.violations_found;
      summary.campaign.violations.push_back(std::move(violation));
    }
    if (!run.infrastructure_error.empty()) summary.campaign.infrastructure_errors.push_back(run.infrastructure_error);
    summary.real.push_back(std::move(report));
  }
}

}  // namespace pagedb::pagesim
