// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The seam between an allocation map and the file that holds it. PageFile's side of it is internal/page_file_state.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/page_store.h"
#include "engine/scheduler.h"
#include "engine/superblock.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace pagedb::detail {

/// What becomes durable with a superblock. Called by whoever commits, one call at a time.
class CommitParticipant {
 public:
  virtual ~CommitParticipant() = default;
  /// Whether the next commit has something to take along.
  [[nodiscard]] virtual bool has_changes() const noexcept = 0;
  /// Writes what the superblock will refer to, and returns the reference. Before this is called the last root that was
  /// returned (or that open found) is known to stand durably in both slots, so that what it does not refer to may be
  /// overwritten. An error: nothing was committed, and the next call tries again.
  [[nodiscard]] virtual Result<AllocationRoot> prepare() noexcept = 0;
  /// The last root that was returned stands durably in both slots. An error: what came after that has poisoned the
  /// file, and everybody whose commit this was hears of it.
  [[nodiscard]] virtual Result<void> committed() noexcept = 0;
};

/// The file of an allocation map.
class AllocationStore {
 public:
  virtual ~AllocationStore() = default;

  [[nodiscard]] virtual Scheduler& scheduler() noexcept = 0;
  [[nodiscard]] virtual PageSize page_size() const noexcept = 0;
  /// Whether an earlier sync failed. A reference, as it is asked at each allocation.
  [[nodiscard]] virtual const sync::Atomic<bool>& poisoned() const noexcept = 0;
  [[nodiscard]] virtual bool writable() const noexcept = 0;
  /// The root that the superblock names.
  [[nodiscard]] virtual AllocationRoot root() const noexcept = 0;

  /// Makes `participant` part of every commit from now on, and reserves the pages of the map.
  virtual void attach(CommitParticipant& participant) noexcept = 0;
  /// No more; no commit is under way.
  virtual void detach() noexcept = 0;

  /// Reads and verifies a metadata page.
  [[nodiscard]] virtual Result<PageHeader> read_node(PageId id, std::span<std::byte> page) noexcept = 0;
  /// Seals and writes metadata pages.
  [[nodiscard]] virtual Result<void> write_nodes(std::span<PageIo> batch) noexcept = 0;
  /// A superblock commit that began after this call did.
  [[nodiscard]] virtual Result<void> commit() noexcept = 0;
  /// Cuts the file to `pages`, durably.
  [[nodiscard]] virtual Result<void> cut(std::uint64_t pages) noexcept = 0;
};

}  // namespace pagedb::detail
