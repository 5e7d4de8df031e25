// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// fork, limits, captured output, and the story of a death.
#include "scenarios/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PAGEDB_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define PAGEDB_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PAGEDB_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define PAGEDB_TSAN 1
#endif

#if defined(PAGEDB_TSAN)
// A report ends the worker, so that it is found at the seed that caused it.
extern "C" __attribute__((weak)) const char* __tsan_default_options() { return "halt_on_error=1"; }
#endif

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kTailBytes = 16 * 1024;

// What the new process changes about itself before it works.
void become_child(const ChildLimits& limits, int output, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::close(output);
  for (const int number : {SIGPROF, SIGALRM, SIGPIPE}) ::signal(number, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (limits.memory_bytes != 0 && !built_with_sanitizer()) {
    const rlimit memory{limits.memory_bytes, limits.memory_bytes};
    ::setrlimit(RLIMIT_AS, &memory);
  }
}

void set_timer(__itimer_which_t which, std::uint32_t seconds) noexcept {
  itimerval value{};
  value.it_value.tv_sec = static_cast<time_t>(seconds);
  ::setitimer(which, &value, nullptr);
}

std::string printable(std::string_view line) {
  std::string out;
  for (const char c : line) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return out;
}

}  // namespace

bool built_with_sanitizer() noexcept {
#if defined(PAGEDB_ASAN) || defined(PAGEDB_TSAN)
  return true;
#else
  return false;
#endif
}

std::optional<Child> Child::start(const ChildLimits& limits, FunctionRef<void(int socket)> body) {
  int sockets[2];
  int pipe[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return std::nullopt;
  if (::pipe2(pipe, O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(sockets[0]);
    ::close(sockets[1]);
    errno = error;
    return std::nullopt;
  }
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(sockets[0]);
    ::close(pipe[0]);
    become_child(limits, pipe[1], parent);
    [&]() noexcept { body(sockets[1]); }();  // an exception ends the child; it must not unwind the parent's frames
    ::_exit(0);                              // not exit(): the parent's buffers and handlers are not the child's to run
  }
  const int error = errno;
  ::close(sockets[1]);
  ::close(pipe[1]);
  if (pid < 0) {
    ::close(sockets[0]);
    ::close(pipe[0]);
    errno = error;
    return std::nullopt;
  }
  ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  return Child(pid, sockets[0], pipe[0]);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      socket_(std::exchange(other.socket_, -1)),
      output_(std::exchange(other.output_, -1)),
      tail_(std::move(other.tail_)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(socket_, other.socket_);
  std::swap(output_, other.output_);
  std::swap(tail_, other.tail_);
  return *this;
}

Child::~Child() {
  kill();
  if (socket_ >= 0) ::close(socket_);
  if (output_ >= 0) ::close(output_);
}

void Child::kill() noexcept {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void Child::drain_output() {
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(output_, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    tail_.append(buffer, static_cast<std::size_t>(got));
    if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  }
}

Death Child::reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  drain_output();
  Death death;
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    if (number == SIGPROF) {
      death.cause = Death::Cause::runaway;
      death.message = "runaway: used up its CPU time limit";
    } else if (number == SIGALRM) {
      death.cause = Death::Cause::runaway;
      death.message = "runaway: hung until its wall clock limit";
    } else {
      if (number == SIGKILL) death.cause = Death::Cause::killed;
      death.message = "killed by signal " + std::to_string(number) + " (" + ::strsignal(number) + ")";
    }
  } else {
    death.message = "ended with exit code " + std::to_string(WEXITSTATUS(status));
  }
  if (const std::string words = last_words(tail_); !words.empty()) death.message += ": " + words;
  return death;
}

void arm_watchdog(const ChildLimits& limits) noexcept {
  set_timer(ITIMER_PROF, limits.seed_cpu_s);
  set_timer(ITIMER_REAL, limits.seed_wall_s);
}

void disarm_watchdog() noexcept {
  set_timer(ITIMER_PROF, 0);
  set_timer(ITIMER_REAL, 0);
}

bool send_all(int socket, const void* data, std::size_t size) noexcept {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(socket, next, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    next += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool receive_all(int socket, void* data, std::size_t size) noexcept {
  char* next = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::recv(socket, next, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    next += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

std::string last_words(std::string_view output) {
  constexpr std::size_t kLines = 3;
  constexpr std::size_t kLineBytes = 300;
  std::vector<std::string_view> lines;
  while (!output.empty()) {
    const std::size_t end = output.find('\n');
    const std::string_view line = output.substr(0, end);
    output.remove_prefix(end == std::string_view::npos ? output.size() : end + 1);
    // One line of a sanitizer says more than its stack dump.
    if (line.starts_with("SUMMARY: ") || line.find(": runtime error: ") != std::string_view::npos)
      return printable(line.substr(0, kLineBytes));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back(line);
  }
  std::string words;
  const std::size_t from = lines.size() > kLines ? lines.size() - kLines : 0;
  for (std::size_t i = from; i < lines.size(); ++i) {
    if (!words.empty()) words += " | ";
    words += printable(lines[i].substr(0, kLineBytes));
  }
  return words;
}

}  // namespace pagedb::scenarios
