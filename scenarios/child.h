// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Child: a process of its own for runs that may abort, hang or eat memory.
//
// The parent stays single-threaded and talks to the child over a socket. What the child writes to standard output and
// error is captured, and its last lines say why it died. Time limits are kept by the kernel (two interval timers a
// seed, armed by the child), so the parent watches no clock.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/function_ref.h"

namespace pagedb::scenarios {

/// Whether this program was built with a sanitizer: such programs are slow and reserve terabytes of address space.
[[nodiscard]] bool built_with_sanitizer() noexcept;

/// What a child may use.
struct ChildLimits {
  std::uint32_t seed_cpu_s = built_with_sanitizer() ? 900 : 60;  ///< CPU time of one seed; 0: no limit
  std::uint32_t seed_wall_s =
      built_with_sanitizer() ? 3600 : 600;  ///< time of one seed, for one that waits for ever; 0: no limit
  std::uint64_t memory_bytes = std::uint64_t{4}
                               << 30;  ///< address space; not enforced in sanitizer builds; 0: no limit
};

/// How a child ended when nobody had told it to.
struct Death {
  enum class Cause : std::uint8_t {
    itself,   ///< a signal or an exit of its own making: abort, sanitizer report, exit()
    runaway,  ///< a time limit
    killed,   ///< SIGKILL from outside: perhaps the kernel, out of memory
  };
  Cause cause{};
  std::string message;  ///< one line: signal or exit code, and the last lines that it wrote
};

class Child {
 public:
  /// Forks. The new process calls `body` with its end of the socket and ends with status 0 when that returns. Nothing:
  /// it could not be forked, and errno says why.
  [[nodiscard]] static std::optional<Child> start(const ChildLimits& limits, FunctionRef<void(int socket)> body);

  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  /// Kills it, if it still runs.
  ~Child();

  /// The parent's end of the socket. The child's death closes the other.
  [[nodiscard]] int socket() const noexcept { return socket_; }
  /// Where its output can be read; for poll only.
  [[nodiscard]] int output() const noexcept { return output_; }
  /// Takes in what it has written so far, without waiting.
  void drain_output();
  /// Waits for its end and says how it came.
  [[nodiscard]] Death reap();
  /// Ends it now.
  void kill() noexcept;

 private:
  Child(pid_t pid, int socket, int output) noexcept : pid_(pid), socket_(socket), output_(output) {}
  pid_t pid_ = -1;
  int socket_ = -1;
  int output_ = -1;
  std::string tail_;  ///< the last few KiB of its output
};

/// In a child, before each seed: starts both time limits anew.
void arm_watchdog(const ChildLimits& limits) noexcept;
/// In a child, after each seed: stops them.
void disarm_watchdog() noexcept;

/// Writes everything to a socket; false when the other side is gone. Async-signal-safe.
bool send_all(int socket, const void* data, std::size_t size) noexcept;
/// Reads exactly `size` bytes from a blocking socket; false at its end.
bool receive_all(int socket, void* data, std::size_t size) noexcept;

/// The lines of `output` that tell most about a death, joined to one. A sanitizer's summary if there is one, else the
/// last lines.
[[nodiscard]] std::string last_words(std::string_view output);

}  // namespace pagedb::scenarios
