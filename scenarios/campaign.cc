// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The parent of a campaign: hands out blocks, collects results, buries workers.
#include "scenarios/campaign.h"

#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <utility>

#include "scenarios/campaign_totals.h"
#include "scenarios/worker.h"

namespace pagedb::scenarios {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 200;
constexpr std::size_t kIdleDeathsMax = 10;
constexpr std::uint64_t kDeadHash = 0x6465616420736565u;  // stands in the trace hash for a seed that never ended
constexpr std::uint64_t kResultBytesMax = 1 << 20;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Cores that this process may run on.
unsigned usable_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

// Slots in memory that parent and children share.
class SharedSlots {
 public:
  explicit SharedSlots(std::size_t count) : bytes_(count * sizeof(WorkerSlot)) {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    slots_ = static_cast<WorkerSlot*>(memory);
    for (std::size_t i = 0; i < count; ++i) new (&slots_[i]) WorkerSlot;
  }
  ~SharedSlots() {
    if (slots_ != nullptr) ::munmap(slots_, bytes_);
  }
  SharedSlots(const SharedSlots&) = delete;
  SharedSlots& operator=(const SharedSlots&) = delete;
  [[nodiscard]] bool ok() const { return slots_ != nullptr; }
  WorkerSlot& operator[](std::size_t i) { return slots_[i]; }

 private:
  std::size_t bytes_;
  WorkerSlot* slots_ = nullptr;
};

// Why a task is run.
enum class Purpose : std::uint8_t {
  block,    // the first time
  retry,    // the first time ended by a time limit or a kill from outside
  recheck,  // to see whether the same happens again
};

struct Job {
  Purpose purpose{};
  Task task;
  bool died = false;       // recheck: how the first run ended,
  std::uint64_t hash = 0;  // and its hash if it ended well
};

struct Worker {
  std::optional<Child> child;
  std::optional<Job> job;
  bool fresh = false;      // has run nothing yet
  std::uint64_t next = 0;  // the seed whose result comes next
  std::string inbox;       // bytes that are no whole result yet
};

class Campaign {
 public:
  Campaign(const CampaignOptions& options, std::vector<Assignment> assignments)
      : options_(options),
        assignments_(std::move(assignments)),
        totals_(assignments_, options.program),
        slots_(std::max(1u, options.jobs)),
        workers_(std::max(1u, options.jobs)),
        block_(options.first_seed / kSeedBlock),
        end_seed_(options.duration ? UINT64_MAX : options.end_seed) {}

  CampaignResult run();

 private:
  [[nodiscard]] std::optional<Job> next_block();
  [[nodiscard]] bool give_work(std::size_t index);
  [[nodiscard]] bool start(std::size_t index);
  void read_results(std::size_t index);
  void finished(Worker& worker, std::uint64_t seed, RunResult result);
  void bury(std::size_t index);
  void died(const Job& job, std::uint64_t seed, const Death& death);
  void queue_rest(const Job& job, std::uint64_t from);
  void differs(const Job& job, std::string message);
  void fail(std::string message) { totals_.result().infrastructure_errors.push_back(std::move(message)); }
  void tell_progress() const;

  [[nodiscard]] std::string seed_name(const Job& job, std::uint64_t seed) const {
    return std::string(assignments_[job.task.assignment].scenario->name()) + ":" + std::to_string(seed);
  }

  const CampaignOptions& options_;
  const std::vector<Assignment> assignments_;
  CampaignTotals totals_;
  SharedSlots slots_;
  std::vector<Worker> workers_;
  std::deque<Job> queue_;
  std::uint64_t block_;         // next block to hand out,
  std::size_t assignment_ = 0;  // to this assignment
  const std::uint64_t end_seed_;
  std::size_t idle_deaths_ = 0;
  bool stop_ = false;
  const Clock::time_point start_ = Clock::now();
};

CampaignResult Campaign::run() {
  stop_ = !slots_.ok();
  if (stop_) fail(std::string("no shared memory: ") + std::strerror(errno));
  std::vector<pollfd> polled;
  while (!stop_) {
    bool working = false;
    for (std::size_t i = 0; i < workers_.size() && !stop_; ++i) working |= workers_[i].job.has_value() || give_work(i);
    if (!working) break;
    polled.clear();
    for (const Worker& worker : workers_) {
      polled.push_back({worker.child ? worker.child->socket() : -1, POLLIN, 0});
      polled.push_back({worker.child ? worker.child->output() : -1, POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), kPollMs) < 0 && errno != EINTR) {
      fail(std::string("poll: ") + std::strerror(errno));
      break;
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if ((polled[2 * i + 1].revents & (POLLIN | POLLHUP)) != 0) workers_[i].child->drain_output();
      if (polled[2 * i].revents != 0) read_results(i);
    }
    tell_progress();
  }
  workers_.clear();
  CampaignResult result = totals_.take();
  result.wall_s = seconds_since(start_);
  result.core_s = result.wall_s * std::min(std::max(1u, options_.jobs), usable_cores());
  return result;
}

// Blocks in order, each block to every scenario before the next one.
std::optional<Job> Campaign::next_block() {
  for (;; ++block_, assignment_ = 0) {
    if (options_.duration && Clock::now() - start_ >= *options_.duration) return std::nullopt;
    if (block_ > (end_seed_ - 1) / kSeedBlock || end_seed_ <= options_.first_seed) return std::nullopt;
    if (block_ % options_.shard_count != options_.shard_index || assignment_ == assignments_.size()) continue;
    Task task;
    task.assignment = assignment_++;
    task.first = std::max(options_.first_seed, block_ * kSeedBlock);
    task.end = end_seed_ - block_ * kSeedBlock < kSeedBlock ? end_seed_ : block_ * kSeedBlock + kSeedBlock;
    totals_.expect(task);
    return Job{Purpose::block, task};
  }
}

// Finds something to do for an idle worker. False: there is nothing left.
bool Campaign::give_work(std::size_t index) {
  Worker& worker = workers_[index];
  std::optional<Job> job;
  if (!queue_.empty()) {
    job = queue_.front();
    queue_.pop_front();
  } else {
    job = next_block();
  }
  if (!job) return false;
  const bool needs_fresh = job->purpose != Purpose::block;
  if (!worker.child || (needs_fresh && !worker.fresh)) {
    if (!start(index)) {
      queue_.push_front(*job);
      return false;
    }
  }
  worker.fresh = false;
  worker.next = job->task.first;
  worker.job = job;
  // If this fails the worker has died idle, and its closed socket says so at the next poll.
  (void)send_all(worker.child->socket(), &job->task, sizeof job->task);
  return true;
}

bool Campaign::start(std::size_t index) {
  Worker& worker = workers_[index];
  WorkerSlot& slot = slots_[index];
  worker.child.reset();
  worker.inbox.clear();
  slot.running = false;
  worker.child = Child::start(options_.limits, [&](int socket) { serve(socket, slot, assignments_, options_.limits); });
  worker.fresh = worker.child.has_value();
  if (!worker.child) {
    fail(std::string("no worker process: ") + std::strerror(errno));
    stop_ = true;
  }
  return worker.child.has_value();
}

void Campaign::read_results(std::size_t index) {
  Worker& worker = workers_[index];
  bool ended = false;
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::recv(worker.child->socket(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    ended = got <= 0;
    if (ended) break;
    worker.inbox.append(buffer, static_cast<std::size_t>(got));
  }
  std::string_view unread = worker.inbox;
  while (unread.size() >= sizeof(ResultHead)) {
    ResultHead head;
    std::memcpy(&head, unread.data(), sizeof head);
    std::optional<RunResult> result;
    if (head.bytes <= kResultBytesMax && worker.job && head.seed == worker.next) {
      if (unread.size() < sizeof head + head.bytes) break;
      result = decode(unread.substr(sizeof head, head.bytes));
    }
    if (!result) {  // a run has scribbled over its process
      const std::optional<Job> job = std::exchange(worker.job, std::nullopt);
      worker.child.reset();
      if (!job) return fail("a worker sent something that nobody asked for");
      died(*job, worker.next, {Death::Cause::itself, "sent a result that cannot be read"});
      return queue_rest(*job, worker.next + 1);
    }
    unread.remove_prefix(sizeof head + head.bytes);
    finished(worker, head.seed, std::move(*result));
  }
  worker.inbox.erase(0, worker.inbox.size() - unread.size());
  if (ended) bury(index);
}

void Campaign::finished(Worker& worker, std::uint64_t seed, RunResult result) {
  const Job job = *worker.job;
  if (++worker.next == job.task.end) worker.job.reset();
  if (job.purpose == Purpose::recheck) {
    if (job.died)
      differs(job, "died the first time and ended the second time");
    else if (job.hash != result.trace_hash)
      differs(job, "two runs have different trace hashes");
    return;
  }
  const bool sampled = options_.recheck_every != 0 && seed % options_.recheck_every == options_.recheck_every - 1;
  if (sampled || !result.violations.empty())
    queue_.push_back({Purpose::recheck, {seed, seed + 1, job.task.assignment}, false, result.trace_hash});
  totals_.add(job.task.assignment, seed, std::move(result));
}

// A worker's socket was closed: it is dead, and the slot says whether a seed was its end.
void Campaign::bury(std::size_t index) {
  Worker& worker = workers_[index];
  const Death death = worker.child->reap();
  worker.child.reset();
  worker.inbox.clear();
  const std::optional<Job> job = worker.job;
  worker.job.reset();
  WorkerSlot& slot = slots_[index];
  if (job && slot.running && slot.seed == worker.next) {
    died(*job, worker.next, death);
    queue_rest(*job, worker.next + 1);
    return;
  }
  fail("a worker died between seeds: " + death.message);
  if (job) queue_rest(*job, worker.next);
  if (++idle_deaths_ >= kIdleDeathsMax) stop_ = true;
}

void Campaign::died(const Job& job, std::uint64_t seed, const Death& death) {
  const bool suspect = death.cause != Death::Cause::itself;  // perhaps only a loaded machine
  const Task alone{seed, seed + 1, job.task.assignment};
  if (job.purpose == Purpose::recheck) {
    if (job.died) return;
    if (suspect)
      fail(seed_name(job, seed) + " could not be checked for determinism: " + death.message);
    else
      differs(job, "ended the first time, and the second time the process " + death.message);
    return;
  }
  if (job.purpose == Purpose::block && suspect) {
    queue_.push_back({Purpose::retry, alone, false, 0});
    return;
  }
  if (job.purpose == Purpose::block) queue_.push_back({Purpose::recheck, alone, true, 0});
  RunResult result;
  result.counters.seeds = 1;
  result.trace_hash = kDeadHash;
  result.violations.push_back(death_violation(assignments_[job.task.assignment], seed, death));
  totals_.add(job.task.assignment, seed, std::move(result));
}

void Campaign::queue_rest(const Job& job, std::uint64_t from) {
  if (from >= job.task.end) return;
  Job rest = job;
  rest.task.first = from;
  queue_.push_front(rest);
}

void Campaign::differs(const Job& job, std::string message) {
  const Assignment& assignment = assignments_[job.task.assignment];
  totals_.result().nondeterminism.push_back(
      {std::string(assignment.scenario->name()), job.task.first, std::move(message),
       replay_command(options_.program, *assignment.scenario, job.task.first, assignment.profile.name) +
           " --check-determinism"});
}

void Campaign::tell_progress() const {
  if (!options_.progress) return;
  options_.progress(
      {totals_.totals().seeds, totals_.totals().recoveries_verified, totals_.violations(), seconds_since(start_)});
}

}  // namespace

CampaignResult run_campaign(const CampaignOptions& options) {
  if (options.scenarios.empty()) return {};
  std::vector<Assignment> assignments;
  for (const Scenario* scenario : options.scenarios) {
    std::optional<faults::DeviceProfile> profile = options.profile;
    if (!profile) profile = faults::find_profile(scenario->default_profile());
    if (!profile) {
      CampaignResult result;
      result.infrastructure_errors.push_back("scenario " + std::string(scenario->name()) +
                                             " asks for an unknown profile");
      return result;
    }
    assignments.push_back({scenario, *profile});
  }
  return Campaign(options, std::move(assignments)).run();
}

}  // namespace pagedb::scenarios
