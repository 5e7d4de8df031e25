// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Branch: a crashed world in which a recovery runs, and what the oracle makes of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/page_file.h"
#include "engine/scheduler.h"
#include "scenarios/oracle.h"
#include "scenarios/reference_allocation.h"
#include "scenarios/subject.h"
#include "sim/choices.h"
#include "sim/sim_disk.h"

namespace pagedb::scenarios {

class SimRun;

/// What became of a page, or of the superblocks. Later ones are graver.
enum class Outcome : std::uint8_t { legal, repaired, excused, detected, silent };

/// The world that a recovery sees. Made by SimRun, handed to the scenario's recovery, read by SimRun afterwards.
class Branch {
 public:
  Branch(SimRun& run, Scheduler& scheduler, sim::SimDisk& disk, std::span<PageIo> batch, std::vector<Outcome>& outcomes,
         sim::Span& span)
      : run_(run), scheduler_(scheduler), disk_(disk), batch_(batch), outcomes_(outcomes), span_(span) {}

  [[nodiscard]] Scheduler& scheduler() noexcept { return scheduler_; }
  [[nodiscard]] sim::SimDisk& disk() noexcept { return disk_; }
  [[nodiscard]] Oracle& oracle() noexcept;
  [[nodiscard]] SimRun& run() noexcept { return run_; }
  /// Whose decisions the recovery's are.
  [[nodiscard]] sim::Span& span() noexcept { return span_; }
  /// 0: the running file, at the end; 1: a recovery; 2: a nested one.
  [[nodiscard]] std::size_t depth() const noexcept { return disk_.setup().depth; }

  /// Opens the page file and judges how that ended; null when there is nothing to go on with.
  [[nodiscard]] std::unique_ptr<Subject> open();
  /// Reads every page of `file` through one batch and judges each.
  void verify(Subject& file);
  /// Judges what the superblocks say of where redo begins, and returns it. From then on pages are judged by a log that
  /// begins there.
  [[nodiscard]] std::uint64_t redo_from();
  /// The recovery says that page index `page` has lost a write.
  void lost_write(std::size_t page) { lost_.push_back(page); }
  /// From now on pages that `map` does not have in use are judged as nobody's.
  void promised_by(const ReferenceAllocation& map) { map_ = map; }
  /// Takes what was found of the file's own metadata.
  void note_metadata(const Verdict& verdict);
  /// What the crash left; null: no such file.
  [[nodiscard]] const sim::Media* media() const noexcept { return media_; }
  [[nodiscard]] std::uint64_t length() const noexcept { return length_; }
  /// Takes a violation that the scenario itself saw.
  void report(Invariant invariant, const std::string& message);

  /// What the crash left of the page file, before any recovery touched it.
  void found(const sim::Media& media, std::uint64_t length) noexcept {
    media_ = &media;
    length_ = length;
  }
  [[nodiscard]] Outcome page(std::size_t index) const noexcept { return outcomes_[index]; }
  [[nodiscard]] Outcome superblock() const noexcept { return superblock_; }
  [[nodiscard]] Outcome worst() const noexcept { return worst_; }
  [[nodiscard]] const sim::SimDisk& disk() const noexcept { return disk_; }
  void condemn() noexcept { worst_ = Outcome::silent; }

 private:
  void note(std::size_t page, const Verdict& verdict);

  SimRun& run_;
  Scheduler& scheduler_;
  sim::SimDisk& disk_;
  std::span<PageIo> batch_;
  std::vector<Outcome>& outcomes_;
  sim::Span& span_;
  std::optional<ReferenceAllocation> map_;
  std::vector<std::size_t> lost_;
  const sim::Media* media_ = nullptr;  // null: the directory entry is gone
  std::uint64_t length_ = 0;
  std::optional<std::uint64_t> redo_from_;
  Outcome superblock_ = Outcome::legal;
  Outcome worst_ = Outcome::legal;
};

}  // namespace pagedb::scenarios
