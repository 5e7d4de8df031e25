// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/benchmarks/measure.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

namespace pagedb::bench {

void Report::section(const std::string& title) { std::printf("\n-- %s\n", title.c_str()); }

void Report::say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void Report::figure(const std::string& what, double value, const std::string& unit) {
  say(text("%-66s %10.2f %s", what.c_str(), value, unit.c_str()));
}

void Report::at_most(const std::string& what, double value, double limit) {
  bound(what, value, "at most", limit, value <= limit);
}

void Report::at_least(const std::string& what, double value, double limit) {
  bound(what, value, "at least", limit, value >= limit);
}

void Report::bound(const std::string& what, double value, const char* how, double limit, bool held) {
  say(text("%-66s %10.3f   %-8s %-8g %s", what.c_str(), value, how, limit, held ? "ok" : "MISSED"));
  if (!held) ++missed_;
}

int run_groups(int argc, char** argv, const std::string& program, std::span<const Group> groups) {
  std::string directory = ".";
  std::vector<const Group*> asked;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.name == argument; });
    if (argument.starts_with("--dir=")) {
      directory = argument.substr(6);
    } else if (group != groups.end()) {
      asked.push_back(&*group);
    } else {
      std::fprintf(stderr, "%s: unknown argument '%s'\n", program.c_str(), argument.c_str());
      std::fprintf(stderr, "use --dir=DIRECTORY and any of:");
      for (const Group& known : groups) std::fprintf(stderr, " %s", known.name.c_str());
      std::fprintf(stderr, "\n");
      return 2;
    }
  }
  if (asked.empty())
    for (const Group& group : groups) asked.push_back(&group);
  Report report;
  for (const Group* group : asked) group->rows(report, directory);
  return report.missed() == 0 ? 0 : 1;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string text(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return line;
}

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

std::uint64_t thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t thread_sleeps() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return static_cast<std::uint64_t>(usage.ru_nvcsw);
}

std::uint64_t process_cpu_ns() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(time.tv_usec) * 1000u;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

namespace {

constexpr double kSliceNs = 5e6;

double thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

double cpu_ns_of(const std::function<void(std::uint64_t)>& run, std::uint64_t count) {
  const double before = thread_cpu_ns();
  run(count);
  return thread_cpu_ns() - before;
}

// How many operations fill a slice; trying it also warms up.
std::uint64_t slice_of(const std::function<void(std::uint64_t)>& run, const std::function<void()>& before = {}) {
  for (std::uint64_t count = 256;; count *= 2) {
    if (before) before();
    if (cpu_ns_of(run, count) >= kSliceNs / 2) return count;
  }
}

}  // namespace

Rounds::Rounds(std::span<const Subject> subjects, unsigned rounds) : ns_(subjects.size()) {
  std::vector<std::uint64_t> counts;
  for (const Subject& subject : subjects) {
    names_.push_back(subject.name);
    counts.push_back(slice_of(subject.run, subject.before));
  }
  for (unsigned round = 0; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < subjects.size(); ++turn) {
      const std::size_t i = (turn + round) % subjects.size();  // everybody goes first at times
      if (subjects[i].before) subjects[i].before();
      ns_[i].push_back(cpu_ns_of(subjects[i].run, counts[i]) / static_cast<double>(counts[i]));
    }
  }
}

bool Rounds::has(const std::string& name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

const std::vector<double>& Rounds::of(const std::string& name) const {
  const auto at = std::find(names_.begin(), names_.end(), name);
  if (at == names_.end()) {
    std::fprintf(stderr, "measure: no subject '%s'\n", name.c_str());
    std::abort();
  }
  return ns_[static_cast<std::size_t>(at - names_.begin())];
}

double Rounds::ns(const std::string& name) const { return median(of(name)); }

double Rounds::ratio(const std::string& name, const std::string& other) const {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < of(name).size(); ++round) ratios.push_back(of(name)[round] / of(other)[round]);
  return median(std::move(ratios));
}

void Rounds::print(Report& report, const std::string& floor) const {
  for (const std::string& name : names_) {
    std::string line = text("  %-64s %10.1f ns", name.c_str(), ns(name));
    if (!floor.empty()) line += text("  %6.2f x floor", ratio(name, floor));
    report.say(line);
  }
}

namespace {

// A thread that does something all the time while it is switched on, and knows how much processor time that took.
class Companion {
 public:
  explicit Companion(const std::function<void()>& work) : thread_([this, &work] { body(work); }) {}
  ~Companion() {
    state_.store(kStop);
    state_.notify_one();
    thread_.join();
  }
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;

  // Switches it on, and returns when it is at it.
  void start() {
    state_.store(kGo);
    state_.notify_one();
    while (working_.load() == 0) std::this_thread::yield();
  }
  void stop() {
    state_.store(kRest);
    while (working_.load() != 0) std::this_thread::yield();
  }
  // How often it did its work.
  [[nodiscard]] std::uint64_t calls() const { return calls_.load(); }
  // How often it went to sleep between the last start and stop.
  [[nodiscard]] std::uint64_t sleeps() const { return sleeps_.load(); }
  [[nodiscard]] double cpu_ns() {
    clockid_t clock{};
    ::pthread_getcpuclockid(thread_.native_handle(), &clock);
    timespec time{};
    ::clock_gettime(clock, &time);
    return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
  }

 private:
  static constexpr int kRest = 0;
  static constexpr int kGo = 1;
  static constexpr int kStop = 2;
  void body(const std::function<void()>& work) {
    for (;;) {
      state_.wait(kRest);
      if (state_.load() == kStop) return;
      const std::uint64_t sleeps_before = thread_sleeps();
      working_.store(1);
      while (state_.load(std::memory_order_relaxed) == kGo) {
        work();
        calls_.fetch_add(1, std::memory_order_relaxed);
      }
      sleeps_.store(thread_sleeps() - sleeps_before);
      working_.store(0);
    }
  }
  std::atomic<int> state_{kRest};
  std::atomic<int> working_{0};
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> sleeps_{0};
  std::thread thread_;
};

// One slice alone and one beside the companion; processor time, or the wall's where the two made each other sleep.
struct Times {
  double alone_ns = 0;
  double beside_ns = 0;
  double companion_ns = 0;
  double companion_calls = 0;
  double count = 0;  // operations in a slice
};

// Whether sleeping is the work of the companion, as of one that reads from a disk, or comes from meeting the other.
enum class Sleep { work, meeting };

Pairs measure_pairs(const std::function<void(std::uint64_t)>& run, Companion& companion, unsigned pairs, Sleep sleep,
                    const std::function<double(const Times&)>& ratio_of) {
  struct Pair {
    double overlap;
    double ratio;
    bool slept;
  };
  constexpr double kOverlap = 0.9;
  constexpr std::size_t kLeast = 5;
  constexpr std::uint64_t kSleeps = 20;  // in a slice; fewer do not matter
  constexpr std::size_t kEnough = 25;
  const std::uint64_t count = slice_of(run);
  std::vector<Pair> all;
  std::size_t good = 0;
  while (all.size() < pairs || (good < kEnough && all.size() < std::size_t{4} * pairs)) {
    Times times;
    times.count = static_cast<double>(count);
    times.alone_ns = cpu_ns_of(run, count);
    companion.start();
    const double cpu_before = companion.cpu_ns();
    const std::uint64_t calls_before = companion.calls();
    const std::uint64_t sleeps_before = thread_sleeps();
    const std::uint64_t begin = now_ns();
    times.beside_ns = cpu_ns_of(run, count);
    const double wall = static_cast<double>(now_ns() - begin);
    times.companion_calls = static_cast<double>(companion.calls() - calls_before);
    times.companion_ns = companion.cpu_ns() - cpu_before;
    const std::uint64_t sleeps = thread_sleeps() - sleeps_before;
    companion.stop();
    const double overlap = std::min(times.beside_ns, times.companion_ns) / wall;
    const bool slept = sleep == Sleep::meeting && overlap < kOverlap && sleeps + companion.sleeps() >= kSleeps;
    if (slept) times.beside_ns = times.companion_ns = wall;
    all.push_back({slept ? 1 : overlap, ratio_of(times), slept});
    good += all.back().overlap >= kOverlap;
  }
  std::sort(all.begin(), all.end(), [](const Pair& a, const Pair& b) { return a.overlap > b.overlap; });
  Pairs result;
  result.pairs = static_cast<unsigned>(all.size());
  result.counted = static_cast<unsigned>(good);
  result.slept =
      static_cast<unsigned>(std::count_if(all.begin(), all.end(), [](const Pair& pair) { return pair.slept; }));
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::max<std::size_t>(result.counted, std::min(kLeast, all.size())); ++i)
    ratios.push_back(all[i].ratio);
  result.ratio = median(std::move(ratios));
  return result;
}

}  // namespace

std::string counted(const Pairs& pairs) {
  const std::string slept = pairs.slept > 0 ? text(", %u of them asleep at times", pairs.slept) : "";
  return text("  (%u of %u pairs had both cores to themselves%s%s)", pairs.counted, pairs.pairs, slept.c_str(),
              pairs.counted < 5 ? "; so the five that overlapped most count" : "");
}

Pairs two_over_one(const std::function<void(unsigned, std::uint64_t)>& run, unsigned pairs) {
  constexpr std::uint64_t kPiece = 256;
  const std::function<void()> second = [&] { run(1, kPiece); };
  Companion companion(second);
  return measure_pairs([&](std::uint64_t count) { run(0, count); }, companion, pairs, Sleep::meeting,
                       [](const Times& times) {
                         const double one = times.count / times.alone_ns;
                         const double first_of_two = times.count / times.beside_ns;
                         return (first_of_two + times.companion_calls * kPiece / times.companion_ns) / one;
                       });
}

Pairs beside_over_alone(const std::function<void(std::uint64_t)>& run, const std::function<void()>& other,
                        unsigned pairs) {
  Companion companion(other);
  return measure_pairs(run, companion, pairs, Sleep::work,
                       [](const Times& times) { return times.alone_ns / times.beside_ns; });
}

}  // namespace pagedb::bench
