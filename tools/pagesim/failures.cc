// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/failures.h"

#include <algorithm>

#include "scenarios/isolated.h"

namespace pagedb::pagesim {

using scenarios::IsolatedRun;

std::optional<ChoicesFile> record_failure(const scenarios::Assignment& assignment,
                                          const scenarios::Violation& violation) {
  scenarios::IsolatedRequest request;
  request.assignment = &assignment;
  request.seed = violation.seed;
  const auto shows_it = [&](const IsolatedRun& run) {
    return std::ranges::any_of(run.result.violations, [&](const scenarios::Violation& other) {
      return other.invariant == violation.invariant;
    });
  };

  std::uint64_t branch = violation.branch;
  if (violation.invariant == scenarios::Invariant::no_abort && branch == 0) {
    // A process that died did not say where; its events do.
    request.keep_events = true;
    const IsolatedRun whole = run_isolated(request);
    if (!whole.result.violations.empty()) branch = whole.result.violations.front().branch;
    request.keep_events = false;
  }
  request.record = true;
  for (const std::optional<std::uint64_t> only : {std::optional(branch), std::optional<std::uint64_t>()}) {
    request.only_branch = only;
    IsolatedRun run = run_isolated(request);
    if (shows_it(run))
      return ChoicesFile{violation.scenario, violation.seed, violation.profile, only, std::move(run.log)};
  }
  return std::nullopt;
}

}  // namespace pagedb::pagesim
