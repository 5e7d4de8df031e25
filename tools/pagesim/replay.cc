// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// `pagesim replay`: one seed or one recorded run, told as a timeline.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "reports/text.h"
#include "reports/timeline.h"
#include "scenarios/campaign.h"
#include "scenarios/isolated.h"
#include "tools/pagesim/choices_file.h"
#include "tools/pagesim/commands.h"

namespace pagedb::pagesim {
namespace {

using reports::Colour;
using reports::paint;
using scenarios::IsolatedRequest;
using scenarios::IsolatedRun;

constexpr const char* kTargets = "give SCENARIO:SEED, for example page_file_crash:17, or a file written by run --out";

// What is to be replayed.
struct Target {
  scenarios::Assignment assignment;
  std::uint64_t seed = 0;
  std::optional<ChoicesFile> file;
};

ChoicesFile read_choices_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf())) throw UsageError{fmt::format("'{}' cannot be read", path), kTargets};
  std::string error;
  std::optional<ChoicesFile> file = parse_choices_file(text.view(), error);
  if (!file) throw UsageError{fmt::format("{}: {}", path, error), kTargets};
  return *file;
}

Target target_of(const ReplayArguments& arguments) {
  Target target;
  std::string scenario, profile = arguments.profile;
  std::error_code ignored;
  if (arguments.target.ends_with(".choices") || std::filesystem::is_regular_file(arguments.target, ignored)) {
    target.file = read_choices_file(arguments.target);
    scenario = target.file->scenario;
    target.seed = target.file->seed;
    if (profile.empty()) profile = target.file->profile;
  } else {
    const std::size_t colon = arguments.target.rfind(':');
    if (colon == std::string::npos)
      throw UsageError{fmt::format("'{}' is neither SCENARIO:SEED nor a file", arguments.target), kTargets};
    scenario = arguments.target.substr(0, colon);
    target.seed = parse_number("seed", std::string_view(arguments.target).substr(colon + 1));
  }
  target.assignment.scenario = &parse_scenario(scenario);
  if (profile.empty()) profile = target.assignment.scenario->default_profile();
  target.assignment.profile = parse_profile_argument(profile);
  return target;
}

// The branch to show: asked for, else that of the first violation, else the last.
std::optional<std::uint64_t> branch_to_show(const ReplayArguments& arguments, const IsolatedRun& run) {
  const std::optional<std::uint64_t> last = reports::last_branch(run.events);
  if (!arguments.branch.empty()) {
    const std::uint64_t asked = parse_number("--branch", arguments.branch);
    bool found = false;
    for (const sim::Event& event : run.events)
      found |= event.kind == sim::EventKind::crash && event.depth == 1 && event.a == asked;
    if (!found) {
      throw UsageError{fmt::format("--branch: this run has no crash branch {}", asked),
                       last ? fmt::format("its last one is {}; leave --branch out to see the one that matters", *last)
                            : "it has none; leave --branch out"};
    }
    return asked;
  }
  if (!run.result.violations.empty() && run.result.violations.front().branch != 0)
    return run.result.violations.front().branch;
  return last;
}

std::string verdict(const IsolatedRun& run, bool colour) {
  const scenarios::Counters& counters = run.result.counters;
  if (run.result.violations.empty()) {
    return fmt::format("{}: {} crash states, {} recoveries verified, {} simulated I/Os, trace hash {}\n",
                       paint("verdict: clean", Colour::green, colour), reports::grouped(counters.crashes),
                       reports::grouped(counters.recoveries_verified), reports::grouped(counters.sim_ios),
                       reports::hash_text(run.result.trace_hash));
  }
  std::string out;
  for (const scenarios::Violation& violation : run.result.violations) {
    out += fmt::format(
        "{}{}: {}\n", paint(fmt::format("verdict: violation of {}", name(violation.invariant)), Colour::red, colour),
        violation.branch == 0 ? "" : fmt::format(" in crash branch {}", violation.branch), violation.message);
  }
  return out;
}

// Compares two runs; what differs first, or nothing.
std::string difference(const IsolatedRun& first, const IsolatedRun& second) {
  if (const std::int64_t at = sim::first_difference(first.events, second.events); at >= 0) {
    const auto index = static_cast<std::size_t>(at);
    const auto text = [&](const IsolatedRun& run) {
      return index < run.events.size() ? to_text(run.events[index]) : "(no more events)";
    };
    return fmt::format("the first event that differs is number {}\n  first run:  {}\n  second run: {}\n", index,
                       text(first), text(second));
  }
  if (first.died != second.died) return "one run died, the other ended\n";
  if (first.result.trace_hash != second.result.trace_hash)
    return fmt::format("all {} events agree, but values in the hash that are no events differ\n", first.events.size());
  return {};
}

}  // namespace

int replay(const ReplayArguments& arguments) {
  const Target target = target_of(arguments);
  if (!arguments.branch.empty()) (void)parse_number("--branch", arguments.branch);
  std::ofstream trace;
  if (!arguments.trace.empty()) {
    trace.open(arguments.trace, std::ios::binary);
    if (!trace)
      throw UsageError{fmt::format("--trace: cannot write '{}'", arguments.trace),
                       "give a file that can be made and written"};
  }

  IsolatedRequest request;
  request.assignment = &target.assignment;
  request.seed = target.seed;
  request.keep_events = true;
  if (target.file) {
    request.replay = &target.file->log;
    request.only_branch = target.file->branch;
  }
  const IsolatedRun run = run_isolated(request);
  if (!run.infrastructure_error.empty()) {
    fmt::print(stderr, "pagesim: {}\n", run.infrastructure_error);
    return kInfrastructure;
  }

  const bool colour = reports::wants_colour(STDOUT_FILENO);
  const std::optional<std::uint64_t> branch = branch_to_show(arguments, run);
  fmt::print("{}:{} on {}{}\n\n{}\n{}", target.assignment.scenario->name(), target.seed, target.assignment.profile.name,
             branch ? fmt::format(", crash branch {} in full (--branch N shows another)", *branch) : "",
             reports::timeline(run.events, branch, colour), verdict(run, colour));
  if (trace.is_open() && !(trace << reports::chrome_trace(run.events, branch)).flush()) {
    fmt::print(stderr, "pagesim: cannot write {}\n", arguments.trace);
    return kInfrastructure;
  }
  if (!run.mismatch.empty()) {
    fmt::print("{}: the recording does not fit this program: {}\n", paint("nondeterminism", Colour::red, colour),
               run.mismatch);
    return kNondeterminism;
  }
  if (arguments.check_determinism) {
    const std::string differs = difference(run, run_isolated(request));
    if (!differs.empty()) {
      fmt::print("{}: {}", paint("nondeterminism", Colour::red, colour), differs);
      return kNondeterminism;
    }
    fmt::print("determinism: a second run in a fresh process gave the same {} events\n",
               reports::grouped(run.events.size()));
  }
  return run.result.violations.empty() ? kClean : kViolation;
}

}  // namespace pagedb::pagesim
