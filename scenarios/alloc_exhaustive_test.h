// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Test helper: every crash outcome of every sync in all sequences of a few operations of a page allocator.
//
// Two odometers, one inside the other. The outer one draws a sequence of operations. At every I/O boundary of its last
// operation, and after it has returned, the inner one draws a crash: each fate unit above the floor kept, lost or
// damaged by itself, each length, each directory entry. What the crash left must be the map of the last sync that
// returned Ok or of the one under way, exactly; the engine recovers, must say the same of it, and gives out a page and
// syncs, on which the medium is judged again. With `recoveries`, every I/O of that is crashed in all ways as well, from
// the first write on (before it, a recovery leaves what it found).
//
// What is left out, and why nothing is lost by it (alloc_exhaustive_test.cc compares with leaving nothing out):
//
//   prefixes         Only the last operation of a sequence is crashed. Each earlier one is the last one of a shorter
//                    sequence, which is enumerated too; and a run does the same after the same operations, for which
//                    the hash of its trace is compared with that of the shorter sequence.
//   boundaries       A crash depends on the durable medium, on what is pending, and on no more (sim/crash.cc). Where
//                    all that, and what must survive, is as at the boundary before, its outcomes are those of that one.
//   representatives  sim/crash.cc asks for sixteenths but makes of them kept (below 7), lost (from 7), garbage (14) and
//                    unreadable (15); what a profile or a unit rules out among these is one of the others. And its mode
//                    `every_unit` decides each unit by itself: the outcomes of all other modes are among its own.
//   equal states     Engine and judge depend on the bytes that the crash left, the length, and on what may be there. By
//                    a 128-bit hash of all this a state is recognised, also in another sequence, and not recovered
//                    again. It is counted all the same.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faults/profile.h"
#include "scenarios/allocation_oracle.h"
#include "scenarios/page_set.h"
#include "scenarios/reference_allocation.h"
#include "scenarios/state_set.h"
#include "scenarios/subject.h"
#include "sim/crash.h"
#include "sim/odometer.h"
#include "sim/sanitizer.h"
#include "sim/sim_disk.h"
#include "sim/sim_scheduler.h"

namespace pagedb::scenarios::testing_support {

/// An operation of a sequence.
enum class Step : std::uint8_t { allocate, allocate_near, allocate_run, free_first, free_last, sync, shrink };
inline constexpr std::string_view kStepNames[] = {"allocate",  "allocate_near", "allocate_run", "free_first",
                                                  "free_last", "sync",          "shrink"};

/// Mixes two numbers into a hash; order matters.
[[nodiscard]] inline sim::StateHash chain(const sim::StateHash& hash, std::uint64_t a, std::uint64_t b) noexcept {
  return {sim::hash_term(hash.low, a, b).low, sim::hash_term(hash.high, a, b).high};
}
[[nodiscard]] inline sim::StateHash chain(sim::StateHash hash, const std::vector<PageRange>& ranges) noexcept {
  for (const PageRange& range : ranges) hash = chain(hash, range.begin, range.end);
  return chain(hash, ranges.size(), 0);
}

[[nodiscard]] inline std::string in_words(const PageSet& pages) {
  std::string text;
  for (const PageRange& range : pages.ranges()) text += fmt::format(" [{}, {})", range.begin, range.end);
  return text.empty() ? "nothing" : text.substr(1);
}

/// What is enumerated.
struct Reach {
  std::string_view profile = "nvme-512";
  unsigned steps = 4;
  bool recoveries = false;  ///< crash recoveries as well
  bool reduced = true;      ///< leave out prefixes, boundaries and representatives
};

/// What was gone through.
struct CrashTotals {
  std::uint64_t boundaries = 0, outcomes = 0;
  std::uint64_t boundaries_equal = 0, outcomes_equal = 0;  // of these: left out, see `boundaries` in the head
  std::uint64_t states = 0;                                // distinct, each recovered and judged
  std::uint64_t refused = 0;  // of these: a slot cannot be read, and the engine says io_error

  [[nodiscard]] std::string in_words() const {
    return fmt::format("{} boundaries ({} like the one before), {} outcomes ({} at those), {} distinct states",
                       boundaries, boundaries_equal, outcomes, outcomes_equal, states) +
           (refused == 0 ? "" : fmt::format(" ({} refused, with a slot that cannot be read)", refused));
  }
};

struct ExhaustiveTotals {
  std::uint64_t sequences = 0, syncs = 0;
  CrashTotals workload, recoveries;  // by what was crashed
  sim::StateHash all;                // of the states
};

class Exhaustive;

/// A disk, the file on it, and what a crash of it must leave: the workload's, a recovery's, or that of the recovery of
/// a recovery.
struct ExhaustiveLevel final : sim::DiskObserver {
  ExhaustiveLevel(Exhaustive& whole, std::uint8_t number) : owner(whole), depth(number) {}

  // sim::DiskObserver
  void write_submitted(sim::WriteRecord& record) override;
  void boundary() override;

  void close() {
    allocator.reset();
    file.reset();
  }
  /// From now on a crash must leave this, or what is committed afterwards.
  void restart(const ReferenceSuperblock& superblock, const ReferenceAllocation& map) {
    oracle.restart(superblock, map);
    durable = PageSet(map.allocated);
    committing.reset();
    commits.clear();
    remember(superblock, map);
  }
  /// Takes note of what the oracle has as its newest commit.
  void remember(const ReferenceSuperblock& superblock, const ReferenceAllocation& map) {
    const std::uint64_t root = superblock.root_generation << 32 | superblock.root_crc32c;
    commits.push_back(chain(chain({superblock.root_page, map.high_water}, root, 0), map.allocated));
  }
  /// Identity of what may be found after a crash.
  [[nodiscard]] sim::StateHash obligations() const {
    sim::StateHash hash = opening_from != nullptr ? opening_from->obligations() : sim::StateHash{};
    hash = chain(chain(hash, depth, 0), durable.ranges());
    if (committing) hash = chain(hash, committing->ranges());
    for (std::size_t i = oracle.acknowledged(); i < commits.size(); ++i)
      hash = chain(hash, commits[i].low, commits[i].high);
    return hash;
  }
  /// Identity of all that a crash depends on.
  [[nodiscard]] sim::StateHash before_crash() const {
    sim::StateHash hash = obligations();
    const sim::StateHash medium = disk.durable_hash();
    hash = chain(hash, medium.low, medium.high);
    for (const auto& of : disk.files()) {
      hash = chain(hash, of->missing ? 1 : 0, of->newest_durable);
      for (const sim::PendingWrite& write : of->pending)
        hash = chain(hash, write.record->id, write.failed || write.dropped ? 1 : 0);
      for (const sim::PendingLength& length : of->lengths)
        hash = chain(chain(hash, length.bytes, length.record), length.before, 0);
      hash = chain(hash, of->pending.size(), of->lengths.size());
    }
    return hash;
  }

  Exhaustive& owner;
  const std::uint8_t depth;
  faults::Ledger ledger;
  faults::FaultPlan plan;
  sim::Arena arena;
  sim::Trace trace;
  std::unique_ptr<sim::SimScheduler> scheduler;
  bool used = false;  // the scheduler, since it was made
  sim::SimDisk disk;
  std::unique_ptr<Subject> file;
  std::unique_ptr<AllocatorSubject> allocator;

  AllocationOracle oracle{4096};
  std::vector<sim::StateHash> commits;  // of the oracle
  PageSet durable;                      // what was allocated when the last sync began that returned Ok
  std::optional<PageSet> committing;    // the same of the one under way
  /// While a recovery opens the file: what crashed. Nobody has seen yet what is found, so that it may be lost again for
  /// what may have been found instead, as by a torn write of the very superblock that was found.
  const ExhaustiveLevel* opening_from = nullptr;

  bool crashing = false;  // boundaries are crashed
  bool wrote = false;     // anything
  std::uint64_t boundaries = 0;
  std::optional<sim::StateHash> last_crashed;  // before_crash() at the last boundary
  std::uint64_t last_outcomes = 0;
  const sim::OdometerChoices* crash = nullptr;  // that left this disk
  std::size_t crash_decisions = 0;
};

/// See the head of this file.
class Exhaustive {
 public:
  /// Gives the file what it has before each sequence; ends with a sync, if it does anything.
  using Prepare = std::function<void(Exhaustive&)>;

  Exhaustive(const Engine& engine, const Reach& reach, Prepare prepare = {})
      : engine_(engine), reach_(reach), prepare_(std::move(prepare)), profile_(*faults::find_profile(reach.profile)) {}
  Exhaustive(Engine&&, const Reach&, Prepare = {}) = delete;  // it is kept
  ~Exhaustive() {
    const sim::HarnessScope scope;
    for (ExhaustiveLevel& level : levels_) level.close();
  }

  /// All of it, or up to the first failure.
  void run() {
    const sim::HarnessScope scope;
    do one_sequence();
    while (!over() && sequences_.next());
    if (!over() && !sequences_.complete()) fail(sequences_.statement());
  }
  [[nodiscard]] bool complete() const { return !over() && sequences_.complete(); }
  /// What went wrong first, where, and the decisions that lead there. Empty: nothing.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  [[nodiscard]] const ExhaustiveTotals& totals() const noexcept { return totals_; }
  [[nodiscard]] std::string statement() const {
    return fmt::format("{}: {} sequences of up to {} operations, {} of them end in a sync or shrink: {}",
                       complete() ? "complete" : "not complete", totals_.sequences, reach_.steps, totals_.syncs,
                       totals_.workload.in_words()) +
           (reach_.recoveries ? "; crashes of their recoveries: " + totals_.recoveries.in_words() : "");
  }

  // The operations; Prepare may call them as well. They do nothing after a failure.
  void perform(Step step);
  void allocate_run(std::uint64_t count);
  void free(PageRange pages);
  void reopen();
  /// Writes a page, so that the file reaches at least to there.
  void write(PageId page);
  [[nodiscard]] const PageSet& owned() const noexcept { return levels_[0].oracle.owned(); }

 private:
  friend struct ExhaustiveLevel;
  static constexpr std::uint64_t kRun = 3100;           // more than a sector of the map has bits for: a node that tears
  static constexpr std::uint64_t kNear = 200;           // leaves a gap
  static constexpr unsigned kNestedMax = 2;             // depth of the last level
  static constexpr std::uint64_t kRunsMax = 5'000'000;  // of one crash: a wrong engine may have much in flight
  enum SpanKind : std::uint32_t { kScheduler = 801, kDisk, kCrash };

  struct Found {
    std::optional<ReferenceSuperblock> superblock;  // the newest
    bool unreadable = false;                        // one of the slots
  };

  [[nodiscard]] bool over() const noexcept { return !failure_.empty(); }
  void fail(const std::string& what);
  void expect(const Verdict& verdict) {
    if (verdict.kind == Verdict::Kind::broken) fail(verdict.message);
  }
  void start(ExhaustiveLevel& level, sim::Choices& choices, std::uint64_t first_record);
  [[nodiscard]] CrashTotals& totals_of(const ExhaustiveLevel& crashed) noexcept {
    return crashed.depth == 0 ? totals_.workload : totals_.recoveries;
  }

  // The sequence.
  void one_sequence();
  void begin();
  [[nodiscard]] std::vector<Step> draw_sequence();
  void allocated(std::uint64_t count, const Result<PageId>& first);
  void make_durable(ExhaustiveLevel& level, bool shrink);

  // The crash.
  void crash(ExhaustiveLevel& origin);
  [[nodiscard]] sim::OdometerOptions crash_options() const;
  void note_write(ExhaustiveLevel& level, sim::WriteRecord& record);
  [[nodiscard]] sim::StateHash contents(const ExhaustiveLevel& level) const;
  void check_contents(const ExhaustiveLevel& level, const sim::StateHash& hash);

  // What it left.
  [[nodiscard]] Found find(const sim::FileState& file);
  [[nodiscard]] const ReferenceAllocation& read_map(const ReferenceSuperblock& superblock, const sim::Media& media,
                                                    std::uint64_t length);
  void recover(const ExhaustiveLevel& origin, ExhaustiveLevel& level);
  [[nodiscard]] std::string judge(const ExhaustiveLevel& origin, const ReferenceSuperblock& superblock,
                                  const ReferenceAllocation& map) const;
  [[nodiscard]] bool open(ExhaustiveLevel& level, bool unreadable);
  void compare(ExhaustiveLevel& level, const ReferenceAllocation& map);
  void use(ExhaustiveLevel& level);
  [[nodiscard]] std::uint64_t usable_before(std::uint64_t page);

  const Engine& engine_;
  const Reach reach_;
  const Prepare prepare_;
  const faults::DeviceProfile profile_;
  const std::string path_ = "pages";
  sim::StackPool stacks_;
  sim::ByteChoices zeros_{{}};
  sim::OdometerChoices sequences_{{.sites = {sim::Site::op_kind}}};
  std::array<ExhaustiveLevel, kNestedMax + 1> levels_{{{*this, 0}, {*this, 1}, {*this, 2}}};
  sim::Crash crash_;
  AllocationReader reader_;
  std::vector<std::byte> page_ = std::vector<std::byte>(4096);
  std::map<std::uint64_t, std::uint64_t> usable_;  // see usable_before

  std::vector<Step> sequence_;
  std::map<std::vector<Step>, std::uint64_t> traces_;  // hash of the trace of each sequence
  std::vector<std::uint64_t> blocks_;                  // that were written to in this sequence, in order
  std::vector<std::array<std::uint64_t, 8>> digests_;  // of the sectors of each write, found by its tag; 0: zeros
  StateSet seen_;
  std::map<std::vector<std::uint64_t>, sim::StateHash> media_;             // see check_contents
  std::map<std::pair<std::uint64_t, std::uint64_t>, const void*> hashes_;  // of media_
  ExhaustiveTotals totals_;
  std::string failure_;
};

}  // namespace pagedb::scenarios::testing_support
