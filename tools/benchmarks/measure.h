// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// How pool_bench and alloc_bench measure: what is compared runs in turns within one process, a figure is a median over
// the rounds, a ratio the median of the rounds' ratios. And how they report: one line a figure, a bound beside it, ok
// or MISSED.
//
// Loops that never wait are timed by the processor time of their thread, and in short slices: others may be using the
// machine, and what they take is not the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace pagedb::bench {

/// Prints figures and bounds, and counts the bounds that were missed.
class Report {
 public:
  /// Begins a group of lines.
  void section(const std::string& title);
  /// A line as it is.
  void say(const std::string& line);
  /// A figure without a bound.
  void figure(const std::string& what, double value, const std::string& unit);
  /// A figure that must not be larger than `bound`.
  void at_most(const std::string& what, double value, double bound);
  /// A figure that must not be smaller than `bound`.
  void at_least(const std::string& what, double value, double bound);
  /// Bounds that were missed.
  [[nodiscard]] unsigned missed() const { return missed_; }

 private:
  void bound(const std::string& what, double value, const char* how, double bound, bool held);
  unsigned missed_ = 0;
};

/// Rows that are measured together, under the name by which the command line asks for them.
struct Group {
  std::string name;
  std::function<void(Report& report, const std::string& directory)> rows;
};

/// The main function of a program of such groups: `PROGRAM [--dir=DIRECTORY] [GROUP ...]`, all groups unless told
/// otherwise, in the current directory unless told otherwise. Returns the exit code: 0 every bound holds, 1 one is
/// missed, 2 usage.
[[nodiscard]] int run_groups(int argc, char** argv, const std::string& program, std::span<const Group> groups);

/// The middle of `values`, which must not be empty.
[[nodiscard]] double median(std::vector<double> values);

/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);

/// One thing to measure: does `count` operations.
struct Subject {
  std::string name;
  std::function<void(std::uint64_t count)> run;
  std::function<void()> before{};  ///< what precedes each slice, untimed; nothing when empty
};

/// What rounds gave: nanoseconds of processor time an operation, by subject and round.
class Rounds {
 public:
  /// Runs the subjects in turns, `rounds` times, each for about 5 ms.
  Rounds(std::span<const Subject> subjects, unsigned rounds);
  /// Nanoseconds an operation of subject `name`.
  [[nodiscard]] double ns(const std::string& name) const;
  /// Time of `name` over that of `other`.
  [[nodiscard]] double ratio(const std::string& name, const std::string& other) const;
  /// Whether there is a subject `name`.
  [[nodiscard]] bool has(const std::string& name) const;
  /// A line for each subject.
  void print(Report& report, const std::string& floor = "") const;

 private:
  [[nodiscard]] const std::vector<double>& of(const std::string& name) const;
  std::vector<std::string> names_;
  std::vector<std::vector<double>> ns_;
};

/// What a second thread does to a first one, measured in turns. Where the two made each other sleep, their rates are
/// those of the clock on the wall, as what they sleep is their own doing.
struct Pairs {
  double ratio = 0;      ///< median over the pairs that count
  unsigned counted = 0;  ///< pairs in which both threads had a core to themselves for at least nine tenths of the time,
                         ///< but for what they slept
  unsigned slept = 0;    ///< those of them in which they slept
  unsigned pairs = 0;    ///< all pairs; where fewer than five counted, the five that overlapped most stand for them
};

/// The line that says how many of them counted.
[[nodiscard]] std::string counted(const Pairs& pairs);

/// Rate of `run(thread, count)` by threads 0 and 1 at once, both together, over that of thread 0 alone. Up to four
/// times as many pairs as `pairs` where few of them count.
[[nodiscard]] Pairs two_over_one(const std::function<void(unsigned thread, std::uint64_t count)>& run, unsigned pairs);

/// Rate of `run(count)` beside a thread that does `other` all the time, over its rate alone.
[[nodiscard]] Pairs beside_over_alone(const std::function<void(std::uint64_t count)>& run,
                                      const std::function<void()>& other, unsigned pairs);

/// Nanoseconds of a clock that never goes back.
[[nodiscard]] std::uint64_t now_ns();
/// Time for which the calling thread had a core, ns.
[[nodiscard]] std::uint64_t thread_cpu_ns();
/// How often it went to sleep of its own accord.
[[nodiscard]] std::uint64_t thread_sleeps();
/// CPU time of this process in nanoseconds, all threads, user and system.
[[nodiscard]] std::uint64_t process_cpu_ns();

/// A random sequence that is the same in every run (splitmix64).
class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : state_(seed) {}
  [[nodiscard]] std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// Less than `bound`.
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

/// Keeps the compiler from dropping what computed `value`.
inline void use(std::uint64_t value) { asm volatile("" ::"r"(value)); }

/// Reads the 64 bytes at `at`.
inline std::uint64_t read_64(const std::byte* at) {
  const auto* words = reinterpret_cast<const volatile std::uint64_t*>(at);
  return words[0] ^ words[1] ^ words[2] ^ words[3] ^ words[4] ^ words[5] ^ words[6] ^ words[7];
}

}  // namespace pagedb::bench
