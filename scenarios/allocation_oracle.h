// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// AllocationOracle: what was asked of a page allocator, what was acknowledged, and therefore what may be found.
//
// Each superblock that names a new root is a *commit*: when it is submitted, the map it refers to is read from the
// medium (scenarios/reference_allocation.h) and compared with what was asked. Legal there: what every operation left
// that had returned before the oldest sync under way began, and of the operations since each by itself, or, within a
// Change, all or none. Legal after a crash: the map of the commit that the last acknowledged sync made durable, or of a
// later one, exactly. A page that is given out must be in use in no map that a crash could still bring back.
//
// One oracle a level: the workload's, a recovery's. A recovery's starts from what it found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scenarios/oracle.h"
#include "scenarios/page_set.h"
#include "scenarios/reference_allocation.h"
#include "sim/media.h"

namespace pagedb::scenarios {

class AllocationOracle {
 public:
  /// Whether commits are seen, that is `submitted` is called: on a real disk they are not.
  enum class Commits : std::uint8_t { seen, unseen };
  explicit AllocationOracle(std::uint32_t page_bytes, Commits commits = Commits::seen)
      : geometry_(page_bytes), sees_commits_(commits == Commits::seen) {
    restart({}, {});
    open_ = true;
  }

  [[nodiscard]] const ReferenceGeometry& geometry() const noexcept { return geometry_; }

  /// Begins again, with one commit: `root` (its allocation fields), and the map it refers to.
  void restart(const ReferenceSuperblock& root, const ReferenceAllocation& map);
  /// A recovery's: the file was opened. That made what it found durable. Before, a crash may undo it: opening writes
  /// both slots, and what the crash leaves of a slot may be damaged, or whole again where only its end was torn before.
  void opened() noexcept { open_ = true; }
  [[nodiscard]] bool is_open() const noexcept { return open_; }

  // What the workload does. Names of operations under way are numbers.

  /// An allocation of `count` pages begins, in `change` (0: none).
  [[nodiscard]] std::size_t allocate_begins(std::uint64_t count, std::size_t change = 0);
  /// It has returned the pages from `first` on. `durable`: see `durable_commit`.
  [[nodiscard]] Verdict allocated(std::size_t operation, std::uint64_t first, std::size_t durable);
  /// It has failed.
  void not_allocated(std::size_t operation);
  /// The pages of `range`, which the caller owns, are about to be freed.
  [[nodiscard]] std::size_t free_begins(PageRange range, std::size_t change = 0);
  void freed(std::size_t operation, bool ok);
  [[nodiscard]] std::size_t change_begins() {
    changes_.push_back({++clock_, kOpen});
    return changes_.size();
  }
  void change_ends(std::size_t change) { changes_[change - 1].ended = ++clock_; }
  /// A sync begins; it has returned.
  [[nodiscard]] std::size_t sync_begins();
  Verdict sync_ended(std::size_t sync, bool ok);
  /// The file was opened again, and its superblock (`root`) counts from now on.
  [[nodiscard]] Verdict reopened(const ReferenceSuperblock& root, const ReferenceAllocation& map);

  /// Pages that were given out and not taken back.
  [[nodiscard]] const PageSet& owned() const noexcept { return owned_; }
  /// Whether a page is in use in a map that may come back, that of commit `from` or a later one.
  [[nodiscard]] bool may_return(std::uint64_t page, std::size_t from) const noexcept;
  /// Whether a free of page `page` is under way.
  [[nodiscard]] bool being_freed(std::uint64_t page) const noexcept;
  /// Whether page `page` is certainly available: nobody has it, no commit since the last acknowledged one has it in
  /// use, and it was not freed since then.
  [[nodiscard]] bool certainly_free(std::uint64_t page) const noexcept;

  // What the disk tells.

  /// A superblock is submitted. `map` is what it refers to, as the medium has it at this moment.
  [[nodiscard]] bool is_new(const ReferenceSuperblock& superblock) const noexcept;
  /// Whether it names a commit from before the last acknowledged one, that counted then.
  [[nodiscard]] bool is_past(const ReferenceSuperblock& superblock) const noexcept {
    const auto index = commit_of(superblock);
    return index && *index < acked_ && !commits_[*index].abandoned;
  }
  [[nodiscard]] Verdict submitted(const ReferenceSuperblock& superblock, const ReferenceAllocation& map);
  /// Whether damage hid a part of the map that all began with. It may come to light again: bits that are only wrong for
  /// being past high water are right once that is above them.
  [[nodiscard]] bool began_unseen() const noexcept { return commits_.front().unseen; }
  /// The same where damage hides the map: all that is known is that there was such a commit.
  void submitted_unseen(const ReferenceSuperblock& superblock);

  // Judging.

  /// The commit that a superblock belongs to; none: it is unknown.
  [[nodiscard]] std::optional<std::size_t> commit_of(const ReferenceSuperblock& superblock) const noexcept;
  /// The oldest commit that may be found: what the last acknowledged sync made durable.
  [[nodiscard]] std::size_t acknowledged() const noexcept { return acked_; }
  [[nodiscard]] std::size_t last_commit() const noexcept { return commits_.size() - 1; }
  /// Judges what a crash left: the superblock that counts, and its map. `damaging`: media faults may have hit either.
  [[nodiscard]] Verdict judge_found(const ReferenceSuperblock& superblock, const ReferenceAllocation& map,
                                    bool damaging) const;
  /// Judges the map of a file that was opened again, with nothing lost in between: it has what the last acknowledged
  /// sync had to cover, and of what came after that anything.
  [[nodiscard]] Verdict judge_current(const ReferenceAllocation& map) const;
  /// Identity of what must survive.
  [[nodiscard]] sim::StateHash obligations(std::size_t level) const noexcept {
    const Commit& commit = commits_[acked_];
    return sim::hash_term((0xA110C + level) << 1 | open_, commit.root_generation, commit.root_crc32c);
  }

 private:
  static constexpr std::uint64_t kOpen = ~std::uint64_t{0};

  struct Operation {
    std::uint64_t began, ended = kOpen;
    PageRange pages{};  // of an allocation: once it has returned
    std::uint64_t count = 0;
    std::size_t change = 0;
    bool value = false;  // in use afterwards
    bool failed = false;
  };
  struct Period {
    std::uint64_t began, ended;
  };
  struct Sync : Period {
    std::size_t commits;  // how many there were when it began
  };
  struct Commit {
    std::uint64_t root_page, root_generation;
    std::uint32_t root_crc32c;
    std::uint64_t high_water;
    PageSet pages;
    bool unseen = false;     // its map was damaged before it could be looked at
    bool abandoned = false;  // the file was opened with an older one: may still be found, but nothing builds on it
  };

  [[nodiscard]] Verdict broken(const std::string& what) const;
  [[nodiscard]] static Commit commit(const ReferenceSuperblock& root, const ReferenceAllocation& map);
  [[nodiscard]] std::optional<std::string> compare(const PageSet& found, std::uint64_t since) const;
  [[nodiscard]] std::optional<std::string> compare_changes(const PageSet& found, std::uint64_t since) const;

  ReferenceGeometry geometry_;
  bool sees_commits_;
  std::uint64_t clock_ = 0;
  PageSet base_;  // before all operations
  PageSet owned_;
  std::vector<Operation> operations_;
  std::vector<Period> changes_;
  std::vector<Sync> syncs_;
  std::vector<Commit> commits_;
  bool open_ = false;
  std::size_t acked_ = 0;
  std::size_t current_ = 0;  // what the running file builds on: the last commit, unless it was opened with an older one
  std::uint64_t synced_since_ = 0;  // when the last acknowledged sync began
};

}  // namespace pagedb::scenarios
