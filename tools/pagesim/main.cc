// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// pagesim: runs fault campaigns against the engine and replays what they find.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>

#include "reports/build_info.h"
#include "tools/pagesim/commands.h"

namespace pagedb::pagesim {
namespace {

std::string version_text() {
  const reports::BuildInfo& build = reports::build_info();
  return fmt::format("pagesim {} ({}, {}, sanitizer: {})", build.version, build.compiler, build.build_type,
                     build.sanitizer);
}

int usage(std::string wrong, const std::string& to_do) {
  std::ranges::replace(wrong, '\n', ' ');
  fmt::print(stderr, "pagesim: {}\npagesim: {}\n", wrong, to_do);
  return kUsage;
}

int main_of(int argc, char** argv) {
  CLI::App app(
      "page-db's fault campaigns: a production engine on a simulated disk, crashed at every I/O, replayed from a seed.",
      "pagesim");
  app.set_version_flag("--version", version_text());
  app.footer(
      "Exit codes: 0 clean, 1 violation found, 2 usage, 3 infrastructure (worth a retry), 4 nondeterminism found.");

  CLI::App* list_command = app.add_subcommand("list", "Shows the scenarios and the built-in device profiles");

  RunArguments run_arguments;
  run_arguments.program = argv[0];
  CLI::App* run_command = app.add_subcommand("run", "Runs a campaign and reports it");
  run_command->add_option("--scenario", run_arguments.scenario, "One scenario, or all")
      ->type_name("NAME|all")
      ->capture_default_str();
  run_command->add_option("--seeds", run_arguments.seeds, "Seeds A up to B-1; 0..1000 unless told otherwise")
      ->type_name("A..B");
  run_command->add_option("--for", run_arguments.duration, "Seeds from 0 until the time is over, for example 60s")
      ->type_name("TIME");
  run_command->add_option("--jobs", run_arguments.jobs, "Worker processes; every core unless told otherwise")
      ->type_name("N");
  run_command->add_option("--profile", run_arguments.profile, "Device profile instead of each scenario's own")
      ->type_name("FILE|NAME");
  run_command->add_option("--shard-index", run_arguments.shard_index, "Which shard this is, from 0")->type_name("I");
  run_command->add_option("--shard-count", run_arguments.shard_count, "How many shards there are")->type_name("N");
  run_command
      ->add_option("--out", run_arguments.out,
                   "Directory for summary.json, junit.xml, summary.txt and FAILURE-*.choices")
      ->type_name("DIR");
  run_command->add_option("--format", run_arguments.format, "On standard output: text, json or junit")
      ->type_name("FORMAT")
      ->capture_default_str();
  run_command
      ->add_option("--real", run_arguments.real,
                   "Then run each workload once on a real disk, O_DIRECT, in this directory")
      ->type_name("DIR");

  ReplayArguments replay_arguments;
  replay_arguments.program = argv[0];
  CLI::App* replay_command = app.add_subcommand("replay", "Runs one seed again and shows its timeline and verdict");
  replay_command->add_option("target", replay_arguments.target, "SCENARIO:SEED, or a .choices file")
      ->type_name("SCENARIO:SEED|FILE")
      ->required();
  replay_command->add_option("--profile", replay_arguments.profile, "Device profile instead of the scenario's own")
      ->type_name("FILE|NAME");
  replay_command
      ->add_option("--branch", replay_arguments.branch, "Crash branch to show; that of the violation, or the last")
      ->type_name("N");
  replay_command->add_option("--trace", replay_arguments.trace, "Also write a Chrome trace")->type_name("OUT.json");
  replay_command->add_flag("--check-determinism", replay_arguments.check_determinism,
                           "Run it twice and name the first event that differs");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const char* command = run_command->parsed()      ? " run"
                          : replay_command->parsed() ? " replay"
                          : list_command->parsed()   ? " list"
                                                     : "";
    return usage(error.what(), fmt::format("see pagesim{} --help", command));
  }
  if (app.get_subcommands().empty()) return usage("no command given", "give list, run or replay; see pagesim --help");
  if (list_command->parsed()) return list();
  return run_command->parsed() ? run(run_arguments) : replay(replay_arguments);
}

}  // namespace
}  // namespace pagedb::pagesim

int main(int argc, char** argv) {
  try {
    return pagedb::pagesim::main_of(argc, argv);
  } catch (const pagedb::pagesim::UsageError& error) {
    return pagedb::pagesim::usage(error.wrong, error.to_do);
  } catch (const std::exception& error) {
    fmt::print(stderr, "pagesim: {}\n", error.what());
    return pagedb::pagesim::kInfrastructure;
  }
}
