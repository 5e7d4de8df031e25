// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// race_probe: two fibers that share a plain integer, some in an order that the scheduler promises and some not.
//
// Under ThreadSanitizer the unordered ones must be reported, although the fibers share one thread, and the ordered ones
// must not; ctest runs each mode and expects so. It is what says that a race in the engine would be seen in a
// simulation.
#include <cstdio>
#include <string_view>

#include "sim/sanitizer.h"
#include "sim/sim_scheduler.h"

namespace pagedb::sim {
namespace {

class Wake final : public TimedEvent {
 public:
  Wake(SimScheduler& scheduler, TaskId task) : scheduler_(scheduler), task_(task) {}
  void fire() override { scheduler_.unpark(task_); }

 private:
  SimScheduler& scheduler_;
  TaskId task_;
};

struct Probe {
  PrngChoices choices{1};
  Trace trace;
  StackPool stacks;
  SimScheduler scheduler{choices, Span(), trace, stacks};
  int shared = 0;

  /// Runs two tasks and joins them. The first one is given the second one's id.
  template <typename First, typename Second>
  void run(First first, Second second) {
    const TaskId waiter = scheduler.spawn("second", [&, second] { second(); });
    const TaskId starter = scheduler.spawn("first", [&, first, waiter] { first(waiter); });
    scheduler.join(starter);
    scheduler.join(waiter);
  }

  void sleep_until(Time deadline) {
    while (scheduler.now() < deadline) (void)scheduler.park(deadline);
  }

  // Time alone: the second runs later, but nothing says that it must.
  void unordered() {
    run([this](TaskId) { ++shared; },
        [this] {
          sleep_until(Time(1000));
          ++shared;
        });
  }

  // Both wait for events of their own all the time, as tasks do that only share a disk.
  void unordered_io() {
    const auto wait = [this] {
      Wake wake(scheduler, scheduler.current());
      for (int i = 1; i <= 5; ++i) {
        scheduler.at(scheduler.now() + Time(100), wake);
        while (!scheduler.park(kForever)) {
        }
      }
    };
    run(
        [this, wait](TaskId) {
          ++shared;
          wait();
        },
        [this, wait] {
          wait();
          wait();
          ++shared;
        });
  }

  // The first task wakes the second only before it touches the integer.
  void unpark_too_early() {
    run(
        [this](TaskId waiter) {
          scheduler.unpark(waiter);
          ++shared;
        },
        [this] {
          while (!scheduler.park(kForever)) {
          }
          sleep_until(Time(1000));
          ++shared;
        });
  }

  void unpark() {
    run(
        [this](TaskId waiter) {
          ++shared;
          scheduler.unpark(waiter);
        },
        [this] {
          while (!scheduler.park(kForever)) {
          }
          ++shared;
        });
  }

  // The unpark comes first and is remembered.
  void remembered_unpark() {
    run(
        [this](TaskId waiter) {
          ++shared;
          scheduler.unpark(waiter);
        },
        [this] {
          scheduler.relax(10);
          while (!scheduler.park(kForever)) {
          }
          ++shared;
        });
  }

  // An event that the first task adds wakes the second: what comes before adding comes before waking.
  void event() {
    run(
        [this](TaskId waiter) {
          ++shared;
          Wake wake(scheduler, waiter);
          scheduler.at(Time(500), wake);
          sleep_until(Time(600));
        },
        [this] {
          while (!scheduler.park(kForever)) {
          }
          ++shared;
        });
  }

  void join() {
    run([](TaskId) {},
        [this] {
          const TaskId child = scheduler.spawn("child", [this] { ++shared; });
          scheduler.join(child);
          ++shared;
        });
  }

  // The harness may touch what it serialises itself.
  void harness() {
    const auto touch = [this] {
      const HarnessScope scope;
      ++shared;
    };
    run([touch](TaskId) { touch(); },
        [this, touch] {
          sleep_until(Time(1000));
          touch();
        });
  }
};

struct Mode {
  std::string_view name;
  void (Probe::*run)();
};

constexpr Mode kModes[] = {
    {"unordered", &Probe::unordered},
    {"unordered_io", &Probe::unordered_io},
    {"unpark_too_early", &Probe::unpark_too_early},
    {"unpark", &Probe::unpark},
    {"remembered_unpark", &Probe::remembered_unpark},
    {"event", &Probe::event},
    {"join", &Probe::join},
    {"harness", &Probe::harness},
};

}  // namespace
}  // namespace pagedb::sim

int main(int argc, char** argv) {
  using namespace pagedb::sim;
  for (const Mode& mode : kModes) {
    if (argc != 2 || mode.name != argv[1]) continue;
    Probe probe;
    (probe.*mode.run)();
    std::printf("%s: both fibers ran, the integer is %d\n", argv[1], probe.shared);
    return probe.shared == 2 ? 0 : 1;
  }
  std::fprintf(stderr, "no such mode\nuse one of:");
  for (const Mode& mode : kModes) std::fprintf(stderr, " %s", mode.name.data());
  std::fprintf(stderr, "\n");
  return 2;
}
