// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The summary for CI servers: a scenario is a test case, its violations are its failure, nondeterminism and missing
// infrastructure are errors.
#include <fmt/format.h>

#include "reports/summary.h"

namespace pagedb::reports {
namespace {

// As XML text or attribute. Control characters, which XML cannot hold, and bytes above ASCII, which may be no UTF-8,
// become '?'.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\n':
        out += c;
        break;
      default:
        out += c >= ' ' && c <= '~' ? c : '?';
    }
  }
  return out;
}

std::string failure(const scenarios::ScenarioTotals& one, const scenarios::CampaignResult& campaign) {
  const scenarios::Violation* first = nullptr;
  std::string all;
  for (const scenarios::Violation& violation : campaign.violations) {
    if (violation.scenario != one.name) continue;
    if (first == nullptr) first = &violation;
    all += fmt::format("{}:{} {}: {}\n  {}\n", violation.scenario, violation.seed, name(violation.invariant),
                       violation.message, violation.replay_command());
  }
  if (first == nullptr && one.violations == 0) return {};
  if (first == nullptr) return "      <failure message=\"violations found after the thousand that were kept\"/>\n";
  return fmt::format("      <failure type=\"{}\" message=\"{}\">{}</failure>\n", name(first->invariant),
                     escaped(first->message), escaped(all));
}

std::string errors(const scenarios::ScenarioTotals& one, const scenarios::CampaignResult& campaign) {
  std::string out;
  for (const scenarios::Nondeterminism& entry : campaign.nondeterminism) {
    if (entry.scenario == one.name)
      out += fmt::format("      <error type=\"nondeterminism\" message=\"seed {}: {}\">{}</error>\n", entry.seed,
                         escaped(entry.message), escaped(entry.command));
  }
  return out;
}

}  // namespace

std::string junit_summary(const Summary& summary) {
  const scenarios::CampaignResult& campaign = summary.campaign;
  std::string cases;
  std::size_t tests = 0, failed = 0, in_error = 0;
  const auto add = [&](const std::string& test, const std::string& group, const std::string& failures,
                       const std::string& error) {
    ++tests;
    failed += failures.empty() ? 0 : 1;
    in_error += error.empty() ? 0 : 1;
    cases += fmt::format("    <testcase name=\"{}\" classname=\"pagesim.{}\">\n{}{}    </testcase>\n", escaped(test),
                         escaped(group), failures, error);
  };
  for (const scenarios::ScenarioTotals& one : campaign.scenarios)
    add(one.name, one.profile, failure(one, campaign), errors(one, campaign));
  if (!campaign.infrastructure_errors.empty()) {
    std::string all;
    for (const std::string& error : campaign.infrastructure_errors) all += error + '\n';
    add("infrastructure", "campaign", "",
        fmt::format("      <error type=\"infrastructure\" message=\"{}\">{}</error>\n",
                    escaped(campaign.infrastructure_errors.front()), escaped(all)));
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
      "  <testsuite name=\"pagesim\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3f}\">\n{}  "
      "</testsuite>\n</testsuites>\n",
      tests, failed, in_error, campaign.wall_s, cases);
}

}  // namespace pagedb::reports
