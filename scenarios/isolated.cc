// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The black box and its reader.
#include "scenarios/isolated.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "sim/sanitizer.h"

// There in sanitizer builds only.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace pagedb::scenarios {
namespace {

// What a child sends: any number of parts, each a head and its bytes.
enum class Part : std::uint64_t { events, choices, mismatch, result };
struct PartHead {
  Part part{};
  std::uint64_t bytes = 0;
};

constexpr std::uint64_t kEventsMax = 4'000'000;  // a runaway keeps its beginning

static_assert(std::is_trivially_copyable_v<sim::Event> && std::is_trivially_copyable_v<sim::RecordedChoice>);

bool send_part(int socket, Part part, const void* data, std::size_t bytes) noexcept {
  const PartHead head{part, bytes};
  return send_all(socket, &head, sizeof head) && send_all(socket, data, bytes);
}

// Exists once in a child process, for its signal handlers; a parent never touches it.
struct BlackBox {
  int socket = -1;
  const sim::Trace* trace = nullptr;
  const sim::RecordingChoices* recorded = nullptr;

  void send() noexcept {
    const int to = std::exchange(socket, -1);
    if (to < 0) return;
    if (trace != nullptr) {
      const auto& events = trace->events();
      send_part(to, Part::events, events.data(), std::min<std::size_t>(events.size(), kEventsMax) * sizeof(sim::Event));
    }
    if (recorded != nullptr)
      send_part(to, Part::choices, recorded->log().data(), recorded->log().size() * sizeof(sim::RecordedChoice));
  }
};
BlackBox black_box;

void on_fatal_signal(int number) {
  black_box.send();
  ::raise(number);  // SA_RESETHAND: now with its usual effect
}

void arm_black_box() {
  static std::byte stack[64 * 1024];  // a stack overflow needs another one to be told on
  const stack_t alternate{stack, 0, sizeof stack};
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action{};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER | SA_ONSTACK);
  ::sigaction(SIGABRT, &action, nullptr);
  // ThreadSanitizer hands asynchronous signals over only at calls that it intercepts, and a runaway loop may make none:
  // there the time limits kill as they do by default, without a last word.
  if (!sim::kThreadSanitizer) {
    for (const int number : {SIGPROF, SIGALRM}) ::sigaction(number, &action, nullptr);
  }
  if (__sanitizer_set_death_callback != nullptr) {  // a sanitizer's own handlers report the rest
    __sanitizer_set_death_callback([] { black_box.send(); });
    return;
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::sigaction(number, &action, nullptr);
}

template <class T>
void take(std::vector<T>& to, std::string_view bytes) {
  to.resize(bytes.size() / sizeof(T));
  if (!to.empty()) std::memcpy(to.data(), bytes.data(), to.size() * sizeof(T));
}

// Everything that the child sends until it closes its end.
std::string receive(Child& child) {
  std::string bytes;
  pollfd polled[2] = {{child.socket(), POLLIN, 0}, {child.output(), POLLIN, 0}};
  std::vector<char> buffer(256 * 1024);
  for (;;) {
    if (::poll(polled, 2, -1) < 0) continue;
    child.drain_output();
    if ((polled[1].revents & POLLHUP) != 0) polled[1].fd = -1;
    if (polled[0].revents == 0) continue;
    const ssize_t got = ::recv(child.socket(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return bytes;
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

IsolatedRun collect(std::optional<Child> child, const Assignment& about, std::uint64_t seed) {
  IsolatedRun run;
  if (!child) {
    run.infrastructure_error = std::string("no process: ") + std::strerror(errno);
    return run;
  }
  const std::string bytes = receive(*child);
  const Death death = child->reap();
  std::optional<RunResult> result;
  std::string_view unread = bytes;
  PartHead head;
  while (unread.size() >= sizeof head) {
    std::memcpy(&head, unread.data(), sizeof head);
    unread.remove_prefix(sizeof head);
    if (head.bytes > unread.size()) break;
    const std::string_view part = unread.substr(0, head.bytes);
    unread.remove_prefix(head.bytes);
    if (head.part == Part::events) take(run.events, part);
    if (head.part == Part::choices) take(run.log, part);
    if (head.part == Part::mismatch) run.mismatch = part;
    if (head.part == Part::result) result = decode(part);
  }
  run.died = !result.has_value();
  if (result) {
    run.result = std::move(*result);
    return run;
  }
  Violation violation = death_violation(about, seed, death);
  // Crash branches are numbered where their crash is traced, so the last one is where it died.
  for (const sim::Event& event : run.events)
    if (event.kind == sim::EventKind::crash && event.depth == 1) violation.branch = event.a;
  run.result.counters.seeds = 1;
  run.result.violations.push_back(std::move(violation));
  return run;
}

void send_result(int socket, const RunResult& result) {
  const std::string bytes = encode(result);
  send_part(socket, Part::result, bytes.data(), bytes.size());
}

}  // namespace

IsolatedRun run_isolated(const IsolatedRequest& request) {
  const Assignment& assignment = *request.assignment;
  return collect(
      Child::start(
          request.limits,
          [&](int socket) {
            sim::PrngChoices random(request.seed);
            sim::ReplayChoices strict(request.replay != nullptr ? *request.replay : std::vector<sim::RecordedChoice>());
            sim::Choices& source = request.replay != nullptr ? static_cast<sim::Choices&>(strict) : random;
            sim::RecordingChoices recording(source);
            sim::Trace trace(request.keep_events);
            black_box = {socket, request.keep_events ? &trace : nullptr, request.record ? &recording : nullptr};
            arm_black_box();
            RunRequest run;
            run.seed = request.seed;
            run.profile = &assignment.profile;
            run.choices = request.record ? static_cast<sim::Choices*>(&recording) : &source;
            run.trace = &trace;
            run.only_branch = request.only_branch;
            arm_watchdog(request.limits);
            RunResult result = assignment.scenario->run(run);
            disarm_watchdog();
            result.counters.seeds = 1;
            result.trace_hash = trace.hash();
            black_box.send();
            if (request.replay != nullptr) {
              strict.finish();
              send_part(socket, Part::mismatch, strict.mismatch().data(), strict.mismatch().size());
            }
            send_result(socket, result);
          }),
      assignment, request.seed);
}

IsolatedRun run_isolated(const Assignment& about, std::uint64_t seed, const ChildLimits& limits,
                         FunctionRef<RunResult()> run) {
  return collect(Child::start(limits,
                              [&](int socket) {
                                arm_watchdog(limits);
                                const RunResult result = run();
                                disarm_watchdog();
                                send_result(socket, result);
                              }),
                 about, seed);
}

}  // namespace pagedb::scenarios
