// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimRun: one seed of one scenario in the simulated world, with a verified recovery at every I/O boundary.
//
// The workload (the trunk) runs once. At each boundary the trunk stands still while a *branch* is taken: the power
// goes, a crash image is made, the engine recovers on it in a world of its own (scheduler, clock, disk), the oracle
// judges every page, and the branch is dropped. A recovery that writes is itself crashed once, at a drawn boundary, and
// recovered again. Crash states that were verified before in the run, by image and obligations, are counted as repeated
// and not run again.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/aligned_buffer.h"
#include "faults/ledger.h"
#include "faults/plan.h"
#include "scenarios/allocation_oracle.h"
#include "scenarios/branch.h"
#include "scenarios/host.h"
#include "scenarios/oracle.h"
#include "scenarios/result.h"
#include "scenarios/scenario.h"
#include "scenarios/state_set.h"
#include "sim/crash.h"
#include "sim/sim_disk.h"

namespace pagedb::scenarios {

/// What makes a scenario, besides its workload.
struct SimPlan {
  const Engine* engine = &production_engine();
  faults::FaultPlan faults{};      ///< injected into the workload's requests
  std::uint32_t crash_damage = 0;  ///< chance in 256 that rot or a latent error hits a sector while the power is off
  std::uint32_t forge = 0;         ///< chance in 256 that somebody edits the allocation map meanwhile
  PageSize page_size{};
  std::vector<PageId> pages{};
  std::function<void(Branch&)> recover{};
  std::function<void(Branch&, Subject&)> sweep{};  ///< what else is looked at in the running file, at the end
  bool allocator = false;                          ///< the file has an allocator
};

class SimRun final : public Host, public sim::DiskObserver {
 public:
  SimRun(const RunRequest& request, std::string_view scenario, SimPlan plan);
  ~SimRun() override;

  // Host
  const Engine& engine() override { return *plan_.engine; }
  IoBackend& backend() override;
  sim::SimScheduler& scheduler() override;
  sim::Choices& choices() override { return *request_.choices; }
  Oracle& oracle() override { return oracle_; }
  const sim::Span& span() override { return span_; }
  const std::string& path() override { return path_; }
  std::string side_path(std::string_view name) override { return std::string(name); }
  void operation_begins() override;
  void judge_read(std::size_t page, const PageError* error, std::span<const std::byte> bytes) override;
  void judge_write(std::size_t page, const PageError* error) override;
  void judge_sync(const PageError* error, bool poisoned) override;
  bool judge_open(const PageError* error, bool creating, bool interrupted_create) override;
  bool judge_call(const PageError* error, std::string_view what, Owes owes, Time since) override;
  void judge_flushed(std::size_t page, std::uint64_t lsn) override;
  AllocationOracle& allocation() override { return allocation_[0]; }
  std::size_t durable_commit() override;
  void judge_reopened_map() override;
  bool sync_failed() override { return flush_failed_; }
  void violation(Invariant invariant, const std::string& message) override;
  bool over() override;

  /// Of a level: 0 the workload, 1 a recovery, 2 a nested one.
  [[nodiscard]] AllocationOracle& allocation(std::size_t depth) noexcept { return allocation_[depth]; }
  /// The newest superblock on `media`, and the allocation map that it refers to. The map stays until the next call.
  struct FoundMap {
    ReferenceSuperblock superblock{};
    const ReferenceAllocation* map = nullptr;  ///< null: there is no superblock
  };
  [[nodiscard]] FoundMap find_map(const sim::Media& media, std::uint64_t length);
  /// Whether media faults may hit metadata.
  [[nodiscard]] bool damaging() const noexcept { return damaging_; }
  /// Whether anything besides commits may damage superblocks. An allocator keeps the pages beside them from everybody.
  [[nodiscard]] bool may_lose_both_slots() const noexcept { return damaging_ || !plan_.allocator; }

  /// Takes what a verdict says, if it says anything.
  void report(const Verdict& verdict);
  [[nodiscard]] sim::Trace& trace() noexcept { return *request_.trace; }

  // sim::DiskObserver, for the trunk's disk
  void write_submitted(sim::WriteRecord& record) override;
  void fault_injected(std::uint32_t index, const faults::InjectedFault& fault) override;
  void write_memory_changed(const sim::WriteRecord& record) override;
  void boundary() override;

  /// From here on nothing is injected into the workload's requests: every call must work, or say why not.
  void stop_faults();
  /// Reads all pages of the running file once more, closes every fault, and gives the result.
  [[nodiscard]] RunResult finish();

 private:
  class World;

  void recover(World& world, const sim::SimDisk& origin, sim::Span& span);
  /// What happens to the page file's medium while the power is off.
  void while_off(World& world);
  void forge_map(World& world, sim::FileState& file);
  void final_sweep();
  void note_commit(std::size_t depth, const sim::WriteRecord& record, const sim::SimDisk& disk);
  [[nodiscard]] const ReferenceAllocation& read_map(const ReferenceSuperblock& superblock, const sim::Media& media,
                                                    std::uint64_t length);
  void close_faults(faults::Ledger& ledger, const Branch& branch, bool crashed);
  [[nodiscard]] const sim::FileState* page_file(const sim::SimDisk& disk) const { return disk.file(path_); }
  /// Closes the faults that were injected into the running operation and concern it, as `touches` says, by its result.
  /// True: they explain its error.
  bool explain(const PageError* error, const std::function<bool(const faults::InjectedFault&)>& touches);
  void judge_error(const PageError& error, std::string_view what, bool explained);

  RunRequest request_;
  std::string scenario_;
  SimPlan plan_;
  std::string path_ = "pages";
  sim::Span span_;
  sim::StackPool stacks_;
  std::array<std::unique_ptr<World>, 3> worlds_;  // the trunk's, a recovery's, a nested recovery's
  Oracle oracle_;
  std::array<AllocationOracle, 3> allocation_;
  AllocationReader map_reader_;
  std::vector<std::byte> page_;  // to read superblocks into
  bool damaging_ = false;
  bool slots_hit_ = false;                                    // a fault on the medium hit a superblock
  std::vector<std::vector<std::uint32_t>> operation_faults_;  // by fiber: faults injected since its operation began
  std::vector<std::pair<std::uint32_t, Time>> told_;          // faults that some caller was told of, and when
  StateSet seen_;
  sim::Crash crash_;
  std::uint64_t branches_ = 0;
  std::uint64_t branch_ = 0;   // the one being verified; 0: the trunk
  bool flush_failed_ = false;  // since the file was opened
  RunResult result_;
};

}  // namespace pagedb::scenarios
