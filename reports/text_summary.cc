// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The summary for people.
#include <fmt/format.h>

#include "faults/fault.h"
#include "reports/summary.h"
#include "reports/text.h"

namespace pagedb::reports {
namespace {

constexpr std::size_t kSeedsShown = 20;

std::string plural(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", grouped(count), noun, count == 1 ? "" : "s");
}

std::string headline(const Summary& summary, bool colour) {
  const scenarios::CampaignResult& campaign = summary.campaign;
  const bool incomplete = !campaign.infrastructure_errors.empty();
  if (!campaign.nondeterminism.empty())
    return paint(fmt::format("page-db campaign: {} did not do the same thing twice",
                             plural(campaign.nondeterminism.size(), "seed")),
                 Colour::red, colour);
  if (campaign.violations_found > 0)
    return paint(fmt::format("page-db campaign: {}", plural(campaign.violations_found, "violation")), Colour::red,
                 colour);
  if (incomplete) return paint("page-db campaign: incomplete", Colour::yellow, colour);
  return paint("page-db campaign: clean", Colour::green, colour);
}

std::string counts(const scenarios::CampaignResult& campaign) {
  const scenarios::Counters& totals = campaign.totals;
  Table table(1);
  table.row({"seeds", grouped(totals.seeds)});
  table.row({"crashes", grouped(totals.crashes)});
  table.row({"recoveries verified", grouped(totals.recoveries_verified)});
  table.row({"crash states seen before in their run", grouped(totals.recoveries_repeated)});
  table.row({"simulated I/Os", grouped(totals.sim_ios)});
  return table.text();
}

std::string by_scenario(const scenarios::CampaignResult& campaign) {
  Table table(2);
  table.row({"scenario", "profile", "seeds", "crashes", "recoveries verified", "simulated I/Os", "violations"});
  for (const scenarios::ScenarioTotals& one : campaign.scenarios) {
    table.row({one.name, one.profile, grouped(one.counters.seeds), grouped(one.counters.crashes),
               grouped(one.counters.recoveries_verified), grouped(one.counters.sim_ios), grouped(one.violations)});
  }
  return table.text();
}

// Rows for what is not zero.
template <class Kind, class Counts>
std::string by_name(std::string_view title, std::string_view unit, const Counts& counts) {
  Table table(1);
  table.row({std::string(title), std::string(unit)});
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] != 0) table.row({std::string(faults::name(static_cast<Kind>(i))), grouped(counts[i])});
  return table.text();
}

std::string rates(const Summary& summary) {
  const scenarios::CampaignResult& campaign = summary.campaign;
  Table table(1);
  table.row({"recoveries verified per core-second",
             grouped(static_cast<std::uint64_t>(per_core_s(campaign.totals.recoveries_verified, campaign)))});
  table.row({"simulated I/Os per core-second",
             grouped(static_cast<std::uint64_t>(per_core_s(campaign.totals.sim_ios, campaign)))});
  return table.text() + fmt::format("{:.2f} s, {:.2f} core-seconds; trace hash {}\npage-db {}, {}, {}, sanitizer: {}\n",
                                    campaign.wall_s, campaign.core_s, hash_text(campaign.trace_hash),
                                    summary.build.version, summary.build.compiler, summary.build.build_type,
                                    summary.build.sanitizer);
}

std::string real_runs(const Summary& summary, bool colour) {
  if (summary.real.empty()) return {};
  std::string out =
      fmt::format("\nthe same workloads on a real disk, O_DIRECT in {}\n", summary.real.front().directory);
  for (const RealRun& run : summary.real) {
    out += fmt::format(
        "  {:<24} {}  {:.2f} s\n", run.scenario,
        run.problem.empty() ? paint("ok", Colour::green, colour) : paint(run.problem, Colour::red, colour), run.wall_s);
  }
  return out;
}

std::string findings(const scenarios::CampaignResult& campaign, bool colour) {
  std::string out;
  std::size_t shown = 0, told = 0;
  for (std::size_t i = 0; i < campaign.violations.size() && shown < kSeedsShown; ++shown) {
    const scenarios::Violation& violation = campaign.violations[i];
    std::size_t same = i;
    while (same < campaign.violations.size() && campaign.violations[same].seed == violation.seed &&
           campaign.violations[same].scenario == violation.scenario)
      ++same;
    const std::string branch = violation.branch == 0 ? "" : fmt::format(", crash branch {}", violation.branch);
    const std::string others = same - i == 1 ? "" : fmt::format(" (and {} more in this seed)", same - i - 1);
    out += fmt::format("\n{}{}{}\n  {}\n  replay: {}\n",
                       paint(fmt::format("{}:{} {}", violation.scenario, violation.seed, name(violation.invariant)),
                             Colour::red, colour),
                       branch, others, violation.message, violation.replay_command());
    told += same - i;
    i = same;
  }
  if (campaign.violations_found > told)
    out += fmt::format("\n... and {} more (--out DIR writes them to summary.json)\n",
                       grouped(campaign.violations_found - told));
  for (const scenarios::Nondeterminism& entry : campaign.nondeterminism) {
    out += fmt::format("\n{}\n  {}\n  compare: {}\n",
                       paint(fmt::format("{}:{} nondeterminism", entry.scenario, entry.seed), Colour::red, colour),
                       entry.message, entry.command);
  }
  for (const std::string& error : campaign.infrastructure_errors)
    out += fmt::format("\n{} {}\n", paint("infrastructure:", Colour::yellow, colour), error);
  return out;
}

}  // namespace

double per_core_s(std::uint64_t count, const scenarios::CampaignResult& campaign) {
  return campaign.core_s > 0 ? static_cast<double>(count) / campaign.core_s : 0;
}

std::string text_summary(const Summary& summary, bool colour) {
  const scenarios::CampaignResult& campaign = summary.campaign;
  std::string out = headline(summary, colour) + "\n\n";
  out += counts(campaign) + '\n';
  out += by_scenario(campaign) + '\n';
  out += by_name<faults::FaultKind>("fault", "injected", campaign.totals.faults) + '\n';
  out += by_name<faults::Fate>("fate", "faults", campaign.totals.fates) + '\n';
  out += rates(summary);
  out += real_runs(summary, colour);
  out += findings(campaign, colour);
  return out;
}

}  // namespace pagedb::reports
