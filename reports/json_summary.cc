// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The summary for programs. Keys are only ever added.
#include <nlohmann/json.hpp>

#include "faults/fault.h"
#include "reports/summary.h"
#include "reports/text.h"

namespace pagedb::reports {
namespace {

using Json = nlohmann::ordered_json;

template <class Kind, class Counts>
Json by_name(const Counts& counts) {
  Json object = Json::object();
  for (std::size_t i = 0; i < counts.size(); ++i) object[std::string(faults::name(static_cast<Kind>(i)))] = counts[i];
  return object;
}

void put_counters(Json& to, const scenarios::Counters& counters) {
  to["seeds"] = counters.seeds;
  to["crashes"] = counters.crashes;
  to["recoveries_verified"] = counters.recoveries_verified;
  to["recoveries_repeated"] = counters.recoveries_repeated;
  to["sim_ios"] = counters.sim_ios;
  to["faults"] = by_name<faults::FaultKind>(counters.faults);
  to["fates"] = by_name<faults::Fate>(counters.fates);
}

Json violation_object(const scenarios::Violation& violation) {
  return {{"scenario", violation.scenario},         {"seed", violation.seed},     {"profile", violation.profile},
          {"invariant", name(violation.invariant)}, {"branch", violation.branch}, {"message", violation.message},
          {"replay", violation.replay_command()}};
}

}  // namespace

std::string json_summary(const Summary& summary) {
  const scenarios::CampaignResult& campaign = summary.campaign;
  Json root = Json::object();
  put_counters(root, campaign.totals);
  root["violations"] = Json::array();
  for (const scenarios::Violation& violation : campaign.violations)
    root["violations"].push_back(violation_object(violation));
  root["violations_found"] = campaign.violations_found;
  root["wall_s"] = campaign.wall_s;
  root["core_s"] = campaign.core_s;
  root["recoveries_per_core_s"] = per_core_s(campaign.totals.recoveries_verified, campaign);
  root["sim_ios_per_core_s"] = per_core_s(campaign.totals.sim_ios, campaign);
  root["trace_hash"] = hash_text(campaign.trace_hash);
  root["build"] = {{"version", summary.build.version},
                   {"compiler", summary.build.compiler},
                   {"build_type", summary.build.build_type},
                   {"sanitizer", summary.build.sanitizer}};
  root["scenarios"] = Json::array();
  for (const scenarios::ScenarioTotals& one : campaign.scenarios) {
    Json object = {{"scenario", one.name}, {"profile", one.profile}};
    put_counters(object, one.counters);
    object["violations_found"] = one.violations;
    root["scenarios"].push_back(std::move(object));
  }
  root["nondeterminism"] = Json::array();
  for (const scenarios::Nondeterminism& entry : campaign.nondeterminism) {
    root["nondeterminism"].push_back(
        {{"scenario", entry.scenario}, {"seed", entry.seed}, {"message", entry.message}, {"replay", entry.command}});
  }
  root["infrastructure_errors"] = campaign.infrastructure_errors;
  // Messages may hold any bytes that a dying process wrote; what is no UTF-8 is replaced.
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace pagedb::reports
