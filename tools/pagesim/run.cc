// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// `pagesim run`: a campaign and its summary.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "reports/summary.h"
#include "reports/text.h"
#include "scenarios/campaign.h"
#include "tools/pagesim/commands.h"
#include "tools/pagesim/failures.h"
#include "tools/pagesim/progress.h"
#include "tools/pagesim/real.h"

namespace pagedb::pagesim {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChoicesFilesMax = 64;

// Makes `directory` and proves that files can be made in it, before hours are spent on results for it.
void require_writable(std::string_view flag, const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  const fs::path probe = fs::path(directory) / fmt::format("pagesim-probe-{}", ::getpid());
  const bool written = fs::is_directory(directory, error) && (std::ofstream(probe) << "probe").flush().good();
  fs::remove(probe, error);
  if (!written)
    throw UsageError{fmt::format("{}: cannot write to '{}'", flag, directory),
                     "give a directory that can be made and written"};
}

bool write_file(const fs::path& path, std::string_view text, scenarios::CampaignResult& campaign) {
  std::ofstream file(path, std::ios::binary);
  if ((file << text).flush().good()) return true;
  campaign.infrastructure_errors.push_back("cannot write " + path.string());
  return false;
}

// One file for the first violation of each seed.
void write_failures(const std::string& directory, const scenarios::CampaignOptions& options,
                    scenarios::CampaignResult& campaign) {
  std::vector<std::pair<std::string, std::uint64_t>> seen;
  for (const scenarios::Violation& violation : campaign.violations) {
    std::pair<std::string, std::uint64_t> seed{violation.scenario, violation.seed};
    if (!seen.empty() && seen.back() == seed) continue;
    if (seen.size() == kChoicesFilesMax) break;
    seen.push_back(std::move(seed));
    const scenarios::Scenario* scenario = scenarios::find_scenario(violation.scenario);
    const auto profile = options.profile ? options.profile : faults::find_profile(violation.profile);
    if (scenario == nullptr || !profile) continue;
    const auto file = record_failure({scenario, *profile}, violation);
    if (!file) continue;  // the campaign has run it twice, and reports it as nondeterminism
    const std::string name = fmt::format("FAILURE-{}-{}.choices", violation.scenario, violation.seed);
    if (!write_file(fs::path(directory) / name, to_text(*file), campaign)) return;
  }
}

int exit_code(const scenarios::CampaignResult& campaign) {
  if (!campaign.nondeterminism.empty()) return kNondeterminism;  // nothing else can be relied on
  if (campaign.violations_found > 0) return kViolation;
  if (!campaign.infrastructure_errors.empty()) return kInfrastructure;
  return kClean;
}

std::string formatted(const std::string& format, const reports::Summary& summary) {
  if (format == "json") return json_summary(summary);
  if (format == "junit") return junit_summary(summary);
  return text_summary(summary, reports::wants_colour(STDOUT_FILENO));
}

scenarios::CampaignOptions options_of(const RunArguments& arguments) {
  if (!arguments.seeds.empty() && !arguments.duration.empty())
    throw UsageError{"--seeds and --for exclude each other",
                     "give one of them: --seeds for certain seeds, --for for as many as fit"};
  scenarios::CampaignOptions options;
  options.scenarios = parse_scenarios(arguments.scenario);
  if (!arguments.seeds.empty()) {
    const SeedRange seeds = parse_seeds(arguments.seeds);
    options.first_seed = seeds.first;
    options.end_seed = seeds.end;
  }
  if (!arguments.duration.empty()) options.duration = parse_duration(arguments.duration);
  options.jobs =
      arguments.jobs.empty() ? std::max(1u, std::thread::hardware_concurrency()) : parse_jobs(arguments.jobs);
  if (!arguments.profile.empty()) options.profile = parse_profile_argument(arguments.profile);
  const Shard shard = parse_shard(arguments.shard_index, arguments.shard_count, process_environment);
  options.shard_index = shard.index;
  options.shard_count = shard.count;
  options.program = arguments.program;
  return options;
}

}  // namespace

int run(const RunArguments& arguments) {
  scenarios::CampaignOptions options = options_of(arguments);
  if (constexpr std::string_view kFormats[] = {"text", "json", "junit"};
      std::ranges::find(kFormats, arguments.format) == std::end(kFormats))
    throw UsageError{fmt::format("--format: there is no format '{}'", arguments.format),
                     suggestion(arguments.format, kFormats)};
  if (!arguments.out.empty()) require_writable("--out", arguments.out);
  if (!arguments.real.empty()) require_writable("--real", arguments.real);

  options.progress = progress_line();
  reports::Summary summary;
  summary.campaign = run_campaign(options);
  clear_progress_line();
  if (!arguments.out.empty()) write_failures(arguments.out, options, summary.campaign);
  if (!arguments.real.empty())
    run_real(options.scenarios, options.first_seed, arguments.real, options.program, summary);
  if (!arguments.out.empty()) {
    const fs::path out = arguments.out;
    write_file(out / "summary.json", json_summary(summary), summary.campaign);
    write_file(out / "junit.xml", junit_summary(summary), summary.campaign);
    write_file(out / "summary.txt", text_summary(summary, false), summary.campaign);
  }
  fmt::print("{}", formatted(arguments.format, summary));
  return exit_code(summary.campaign);
}

}  // namespace pagedb::pagesim
