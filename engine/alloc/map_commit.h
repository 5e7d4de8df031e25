// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// MapCommit: an allocation map's share in a superblock commit.
//
//   snapshot (in memory, at one moment) ─► log durable ─► nodes into their other homes ─► root ─► [superblock] ─►
//   release
//
// What the snapshot has freed is given out again at the end only. What changes after the snapshot is the next commit's.
// A commit that fails before its superblock leaves everything dirty; the pages that it had freed stay away from those
// who allocate until one succeeds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/alloc/allocation_map.h"
#include "engine/alloc/change_gate.h"
#include "engine/internal/sync_gate.h"
#include "engine/log.h"

namespace pagedb::detail {

/// See the head of this file.
class MapCommit final : public CommitParticipant {
 public:
  MapCommit(AllocationMap& map, LogBarrier* log) noexcept
      : map_(map), log_(log), shrink_gate_(map.store().scheduler()) {}

  // CommitParticipant
  [[nodiscard]] bool has_changes() const noexcept override {
    return map_.is_dirty() || map_.disk_root() == nullptr || shrink_asked_.load(std::memory_order_acquire);
  }
  [[nodiscard]] Result<AllocationRoot> prepare() noexcept override;
  [[nodiscard]] Result<void> committed() noexcept override;

  /// What happens while a task is in here is in a snapshot as a whole or not at all.
  [[nodiscard]] ChangeGate& changes() noexcept { return changes_; }
  /// Whoever is in `changes` says that the log has a record of it.
  void logged(Lsn lsn) noexcept;

  /// Gives trailing free space back to the file system: a commit with a lower high water, then the cut.
  [[nodiscard]] Result<void> shrink() noexcept;

 private:
  /// A leaf of the snapshot, and its bitmap then.
  struct Snapshot {
    LeafNode* leaf;
    std::uint64_t* bits;
  };
  /// A linked list of the nodes of a level that are to be written.
  struct Level {
    MapNode* first = nullptr;
    MapNode** last = &first;
    void clear() noexcept {
      first = nullptr;
      last = &first;
    }
  };
  static constexpr std::size_t kLevels = 8;
  static constexpr std::size_t kBatch = 64;  // nodes staged at once

  [[nodiscard]] Result<void> take_snapshot() noexcept;
  void snapshot(LeafNode& leaf, std::uint64_t* bits, std::uint64_t& end_of_use) noexcept;
  void add(MapNode& node) noexcept;
  [[nodiscard]] Result<void> write() noexcept;
  [[nodiscard]] Result<void> write_level(unsigned level, std::span<std::byte> staging) noexcept;
  void put(const MapNode& node, std::span<std::byte> page) noexcept;
  void settle_entry(MapNode& node, std::uint64_t generation, std::uint32_t crc32c) noexcept;
  void adopt() noexcept;
  void give_up() noexcept;
  void begin_shrinking() noexcept;
  void hold_tail() noexcept;
  /// Makes every available page of [end, until) committing. Returns `end`, moved behind each of them that is allocated.
  [[nodiscard]] std::uint64_t hold(std::uint64_t end, std::uint64_t until) noexcept;
  [[nodiscard]] bool may_cut() noexcept;
  [[nodiscard]] Result<void> shrink_once() noexcept;

  AllocationMap& map_;
  LogBarrier* log_;
  ChangeGate changes_;
  sync::Atomic<std::uint64_t> logged_{0};

  // The commit under way.
  std::unique_ptr<Snapshot[]> snapshots_;
  std::unique_ptr<std::uint64_t[]> bits_;
  std::size_t count_ = 0;
  Level levels_[kLevels];
  MapNode* root_ = nullptr;
  std::uint64_t high_water_ = 0;

  LeafNode* committing_ = nullptr;  // leaves that have committing pages

  // Shrinking.
  SyncGate shrink_gate_;
  sync::Atomic<bool> shrink_asked_{false};
  bool shrinking_ = false;        // the commit under way does
  std::uint64_t tail_begin_ = 0;  // every leaf in memory from here on that has pages on disk is in its snapshot
  bool tail_held_ = false;
  std::uint64_t tail_end_ = 0;       // from here on nothing is allocated, nor given out
  std::uint64_t tail_frontier_ = 0;  // as it was when the tail was taken hold of
  Result<void> cut_{};
};

}  // namespace pagedb::detail
