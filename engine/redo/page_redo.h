// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageRedo: one task's share in redoing a gathering.
//
// The gathering is cut into windows of entries, which tasks take in turn; a group belongs to the window in which it
// begins. A task reads the pages of some groups at once, redoes each group on its page, and writes those that changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "engine/aligned_buffer.h"
#include "engine/page_store.h"
#include "engine/recovery.h"
#include "engine/redo/gathering.h"
#include "engine/sync.h"

namespace pagedb::detail {

/// What the tasks of a recovery share.
struct RedoShared {
  std::size_t window = 1;  ///< entries
  sync::Atomic<std::size_t> next_window{0};
  sync::Atomic<bool> stop{false};
  sync::Atomic<std::uint64_t> page_reads{0};
};

class PageRedo {
 public:
  PageRedo(PageStore& store, RedoApply apply, RedoShared& shared) noexcept
      : store_(store), apply_(apply), shared_(shared), page_bytes_(store.page_size().bytes()) {}

  /// Takes hold of memory for as many pages at once as are worth it with `records` to redo. False: there is none.
  [[nodiscard]] bool reserve(std::size_t records) noexcept;

  /// Redoes windows of `records`, which are sorted, until none is left or a task has failed. `after_pages` is called
  /// after each batch of pages.
  void run(std::span<GatheredRecord> records, FunctionRef<void()> after_pages) noexcept;

  /// How it went.
  [[nodiscard]] const Result<void>& result() const noexcept { return result_; }
  /// Adds what it did to `report`, and forgets it.
  void add_to(RecoveryReport& report) noexcept;

 private:
  // The records of one page.
  struct Group {
    std::span<GatheredRecord> records;
    PageId page;

    // Notes what became of the page, unless something was noted before.
    void damaged(RedoDamage why, ErrorCode error, std::optional<Lsn> found, Lsn needed) noexcept;
  };
  static constexpr std::size_t kMemory = std::size_t{1} << 20;
  static constexpr std::size_t kPagesMin = 8;

  [[nodiscard]] Result<void> redo_window(std::span<GatheredRecord> records, std::size_t begin,
                                         FunctionRef<void()> after_pages) noexcept;
  [[nodiscard]] Result<void> redo_groups(std::size_t count) noexcept;
  [[nodiscard]] bool redo_group(Group& group, PageIo& io) noexcept;

  PageStore& store_;
  RedoApply apply_;
  RedoShared& shared_;
  std::size_t page_bytes_;
  std::size_t pages_ = 0;  // at once
  AlignedBuffer memory_;
  std::unique_ptr<Group[]> groups_;
  std::unique_ptr<PageIo[]> ios_;
  Result<void> result_{};
  RecoveryReport done_{};
};

}  // namespace pagedb::detail
