// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Runs seeds; packs and unpacks results.
#include "scenarios/worker.h"

#include <malloc.h>

#include <cstring>
#include <type_traits>

#include "sim/choices.h"
#include "sim/trace.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kViolationsPerSeedMax = 16;
constexpr std::size_t kMessageBytesMax = 2000;

class Packer {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(std::string_view text) {
    put(std::uint64_t{text.size()});
    bytes_.append(text);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
    requires std::is_trivially_copyable_v<T>
  bool get(T& value) {
    if (bytes_.size() < sizeof value) return false;
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return true;
  }
  bool get_text(std::string& text) {
    std::uint64_t size = 0;
    if (!get(size) || size > bytes_.size()) return false;
    text.assign(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return true;
  }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

static_assert(std::is_trivially_copyable_v<Counters>);

}  // namespace

RunResult run_seed(const Assignment& assignment, std::uint64_t seed) {
  sim::PrngChoices choices(seed);
  sim::Trace trace;
  RunRequest request;
  request.seed = seed;
  request.profile = &assignment.profile;
  request.choices = &choices;
  request.trace = &trace;
  RunResult result = assignment.scenario->run(request);
  result.counters.seeds = 1;
  result.trace_hash = trace.hash();
  return result;
}

void serve(int socket, WorkerSlot& slot, std::span<const Assignment> assignments, const ChildLimits& limits) {
  // Each recovery of a half-made file reads the first MiB at once. Giving such memory back to the kernel and zeroing it
  // anew cost a quarter of some campaigns.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  Task task;
  while (receive_all(socket, &task, sizeof task)) {
    for (std::uint64_t seed = task.first; seed < task.end; ++seed) {
      slot.seed = seed;
      slot.running = true;
      arm_watchdog(limits);
      const RunResult result = run_seed(assignments[task.assignment], seed);
      disarm_watchdog();
      slot.running = false;
      const std::string bytes = encode(result);
      const ResultHead head{seed, bytes.size()};
      if (!send_all(socket, &head, sizeof head) || !send_all(socket, bytes.data(), bytes.size())) return;
    }
  }
}

std::string encode(const RunResult& result) {
  Packer packer;
  packer.put(result.counters);
  packer.put(result.trace_hash);
  const std::size_t count = std::min(result.violations.size(), kViolationsPerSeedMax);
  packer.put(std::uint64_t{count});
  for (std::size_t i = 0; i < count; ++i) {
    const Violation& violation = result.violations[i];
    packer.put_text(violation.scenario);
    packer.put(violation.seed);
    packer.put_text(violation.profile);
    packer.put(violation.invariant);
    packer.put(violation.branch);
    packer.put_text(std::string_view(violation.message).substr(0, kMessageBytesMax));
    packer.put_text(violation.command);
  }
  return packer.take();
}

std::optional<RunResult> decode(std::string_view bytes) {
  Unpacker unpacker(bytes);
  RunResult result;
  std::uint64_t count = 0;
  if (!unpacker.get(result.counters) || !unpacker.get(result.trace_hash) || !unpacker.get(count)) return std::nullopt;
  if (count > kViolationsPerSeedMax) return std::nullopt;
  for (std::uint64_t i = 0; i < count; ++i) {
    Violation violation;
    if (!unpacker.get_text(violation.scenario) || !unpacker.get(violation.seed) ||
        !unpacker.get_text(violation.profile) || !unpacker.get(violation.invariant) ||
        !unpacker.get(violation.branch) || !unpacker.get_text(violation.message) ||
        !unpacker.get_text(violation.command) || violation.invariant >= Invariant::count_)
      return std::nullopt;
    result.violations.push_back(std::move(violation));
  }
  if (!unpacker.at_end()) return std::nullopt;
  return result;
}

Violation death_violation(const Assignment& assignment, std::uint64_t seed, const Death& death) {
  Violation violation;
  violation.scenario = assignment.scenario->name();
  violation.seed = seed;
  violation.profile = assignment.profile.name;
  violation.invariant = Invariant::no_abort;
  violation.message = death.message;
  return violation;
}

}  // namespace pagedb::scenarios
