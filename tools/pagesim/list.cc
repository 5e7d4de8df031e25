// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// `pagesim list`: the scenarios and the built-in device profiles.
#include <fmt/format.h>

#include "reports/text.h"
#include "tools/pagesim/commands.h"

namespace pagedb::pagesim {

int list() {
  reports::Table scenarios(3);
  scenarios.row({"scenario", "profile", "what it does"});
  for (const scenarios::Scenario* scenario : scenarios::all_scenarios())
    scenarios.row(
        {std::string(scenario->name()), std::string(scenario->default_profile()), std::string(scenario->summary())});
  reports::Table profiles(2);
  profiles.row({"profile", "what device it is"});
  for (const std::string_view name : faults::profile_names())
    profiles.row({std::string(name), faults::find_profile(name)->summary});
  fmt::print("{}\n{}", scenarios.text(), profiles.text());
  return kClean;
}

}  // namespace pagedb::pagesim
