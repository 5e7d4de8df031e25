// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The loop over executions, and what is left to read when one of them takes the process down.
#include "sim/model/explore.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "engine/check.h"
#include "sim/model/replay.h"

namespace pagedb::sim::model {
namespace {

std::string replay_command(const Exploration& exploration, const Schedule& schedule) {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  const std::string program = length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "model_test";
  return "MODEL_SCHEDULE='" + text_of(schedule) + "' " + program + " --gtest_filter='" + exploration.name + "'";
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr std::array kFatal = {SIGABRT, SIGSEGV, SIGBUS};
#else
constexpr std::array kFatal = {SIGABRT};  // the sanitizers have better things to say about the others
#endif

const Exploration* dying_exploration = nullptr;  // for the signal handler; set while an exploration runs
Execution* dying_execution = nullptr;

void print_and_die(int signal) {
  // Not async-signal-safe, strictly: the process is lost anyway, and the schedule is what one needs of it.
  ::signal(signal, SIG_DFL);
  if (dying_exploration != nullptr) {
    const std::string text = "aborted in " + dying_exploration->name + " under this schedule:\n  " +
                             replay_command(*dying_exploration, dying_execution->schedule()) + "\n";
    dying_exploration = nullptr;
    static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
  }
  raise(signal);
}

/// While it lives, a fatal signal prints the schedule first.
class LastWords {
 public:
  LastWords(const Exploration& exploration, Execution& execution) {
    dying_exploration = &exploration;
    dying_execution = &execution;
    struct sigaction action{};
    action.sa_handler = print_and_die;
    for (std::size_t i = 0; i < kFatal.size(); ++i) sigaction(kFatal[i], &action, &before_[i]);
  }
  ~LastWords() {
    for (std::size_t i = 0; i < kFatal.size(); ++i) sigaction(kFatal[i], &before_[i], nullptr);
    dying_exploration = nullptr;
  }
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

 private:
  std::array<struct sigaction, kFatal.size()> before_{};
};

/// Tasks that will never end cannot be destroyed. Reachable, so that leak checkers know.
void leak(std::unique_ptr<Execution> execution) {
  static auto* const kept = new std::vector<Execution*>;
  kept->push_back(execution.release());
}

}  // namespace

Outcome explore(Policy& policy, const Exploration& exploration, const Execution::Body& body) {
  std::optional<Replay> replay;
  const char* const pasted = exploration.quiet ? nullptr : std::getenv("MODEL_SCHEDULE");
  if (pasted != nullptr) {
    auto schedule = schedule_of(pasted);
    PAGEDB_CHECK(schedule.has_value(), "MODEL_SCHEDULE is no schedule; one looks like 0x40.1x7.2x12");
    replay.emplace(std::move(*schedule));
  }
  Policy& used = replay ? static_cast<Policy&>(*replay) : policy;

  Outcome outcome;
  auto execution = std::make_unique<Execution>(exploration.steps_max);
  execution->print_steps(replay.has_value());
  const auto start = std::chrono::steady_clock::now();
  {
    const LastWords last_words(exploration, *execution);
    while (!outcome.failed && used.next()) outcome.failed = !execution->run(used, body);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::array<char, 32> seconds{};
  std::snprintf(seconds.data(), seconds.size(), " in %.2f s", took.count());
  outcome.summary = used.summary() + seconds.data();
  if (outcome.failed) {
    outcome.schedule = execution->schedule();
    outcome.failure = execution->failure() + "\n  " + replay_command(exploration, outcome.schedule);
  }
  if (!exploration.quiet) std::printf("  %s: %s\n", exploration.name.c_str(), outcome.summary.c_str());
  if (execution->stuck()) leak(std::move(execution));
  return outcome;
}

}  // namespace pagedb::sim::model
