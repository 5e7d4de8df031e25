// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Guards: what a task holds while it looks at, or changes, a page in a BufferPool.
//
//   SharedGuard      the page stays in its frame and nobody changes it; any number at once
//   ExclusiveGuard   nobody else sees or changes the page
//   OptimisticGuard  holds nothing: it remembers the page's version, and tells afterwards whether it still held
//
// A guard is either empty or holds one page. Moving one leaves the source empty; assigning to one releases what it held
// first; `release` ends it early and may be called again; destroying it releases it. Using an empty guard's page
// aborts. A guard must not outlive its pool (destroying the pool then aborts), and is used by one task at a time. A
// shared guard may be handed to another task; an exclusive one belongs to the task that got it.
//
// A temporary guard lives to the end of its whole expression: in `use(*pool.fetch(a)) || pool.close()` it is still
// alive when the pool is closed. Give guards names and scopes.
//
// Latches are not recursive. A task that waits for a page which it holds exclusively itself would wait for ever, so
// that aborts. A task that holds a page shared must not wait for it at all, not even shared: a writer may have queued
// up between. To hold several pages, take them in one order everywhere (a tree: from the root down).
//
// Complexity: no allocation, no system call while a latch is free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "engine/check.h"
#include "engine/page.h"
#include "engine/pool/frame_table.h"
#include "engine/types.h"

namespace pagedb {

class BufferPool;
class ExclusiveGuard;

/// A page that stays in memory and is not changed by anybody while this guard holds it.
class SharedGuard {
 public:
  /// Holds nothing.
  SharedGuard() = default;
  /// Takes over what `other` holds; `other` is then empty.
  SharedGuard(SharedGuard&& other) noexcept
      : table_(std::exchange(other.table_, nullptr)), frame_(other.frame_), page_(other.page_) {}
  /// Releases what it holds, and takes over what `other` holds; `other` is then empty.
  SharedGuard& operator=(SharedGuard&& other) noexcept {
    if (this == &other) return *this;
    release();
    table_ = std::exchange(other.table_, nullptr);
    frame_ = other.frame_;
    page_ = other.page_;
    return *this;
  }
  ~SharedGuard() { release(); }

  /// Whether it holds a page.
  [[nodiscard]] explicit operator bool() const noexcept { return table_ != nullptr; }
  /// The whole page, header included.
  [[nodiscard]] std::span<const std::byte> page() const noexcept { return {held().page_, table_->page_bytes()}; }
  /// Its number.
  [[nodiscard]] PageId id() const noexcept { return held().table_->page_of(frame_); }
  /// Its LSN.
  [[nodiscard]] Lsn lsn() const noexcept { return page_lsn(page()); }
  /// Where the page is, for a later `fetch` with a hint.
  [[nodiscard]] FrameHint hint() const noexcept { return {held().frame_}; }

  /// Lets the page go.
  void release() noexcept {
    if (table_ != nullptr) std::exchange(table_, nullptr)->unlatch_shared(frame_);
  }

  /// Turns this guard into an exclusive one if no other task holds or wants the page just now; then this guard is
  /// empty. Otherwise returns an empty guard and this one stays as it was: release it and `fetch_exclusive`, as two
  /// tasks that both wait to upgrade would wait for ever. Never waits. Also empty when the page must not be written
  /// (`fetch_exclusive` says why).
  [[nodiscard]] ExclusiveGuard try_upgrade() noexcept;

 private:
  friend class BufferPool;
  friend class ExclusiveGuard;
  friend class OptimisticGuard;
  SharedGuard(detail::FrameTable& table, std::uint32_t frame) noexcept
      : SharedGuard(table, frame, table.memory_of(frame)) {}
  SharedGuard(detail::FrameTable& table, std::uint32_t frame, const std::byte* page) noexcept
      : table_(&table), frame_(frame), page_(page) {}
  [[nodiscard]] const SharedGuard& held() const noexcept {
    PAGEDB_CHECK(table_ != nullptr, "an empty guard has no page");
    return *this;
  }

  detail::FrameTable* table_ = nullptr;
  std::uint32_t frame_ = 0;
  const std::byte* page_ = nullptr;
};

/// A page that nobody else sees or changes while this guard holds it.
class ExclusiveGuard {
 public:
  /// Holds nothing.
  ExclusiveGuard() = default;
  /// Takes over what `other` holds; `other` is then empty.
  ExclusiveGuard(ExclusiveGuard&& other) noexcept
      : table_(std::exchange(other.table_, nullptr)), frame_(other.frame_), changing_(other.changing_) {}
  /// Releases what it holds, and takes over what `other` holds; `other` is then empty.
  ExclusiveGuard& operator=(ExclusiveGuard&& other) noexcept {
    if (this == &other) return *this;
    release();
    table_ = std::exchange(other.table_, nullptr);
    frame_ = other.frame_;
    changing_ = other.changing_;
    return *this;
  }
  ~ExclusiveGuard() { release(); }

  /// Whether it holds a page.
  [[nodiscard]] explicit operator bool() const noexcept { return table_ != nullptr; }
  /// The whole page, to read. Does not make it dirty.
  [[nodiscard]] std::span<const std::byte> page() const noexcept {
    return {table().memory_of(frame_), table_->page_bytes()};
  }
  /// The whole page, to change: it is dirty from now on, and optimistic readers of it fail until this guard is
  /// released. The payload is the caller's, the header's other fields than the LSN are set when the page is written.
  [[nodiscard]] std::span<std::byte> write() noexcept {
    if (!changing_) {
      table().begin_change(frame_);
      changing_ = true;
    }
    return {table_->memory_of(frame_), table_->page_bytes()};
  }
  /// Its number.
  [[nodiscard]] PageId id() const noexcept { return table().page_of(frame_); }
  /// Its LSN.
  [[nodiscard]] Lsn lsn() const noexcept { return page_lsn(page()); }
  /// Sets the LSN of the log record that explains the change (see `write`). It must not go back, except that a page
  /// fresh from `new_page` starts at 0.
  void set_lsn(Lsn lsn) noexcept;
  /// Whether the log record of the next change must hold a full image of the page: it is the first change since a
  /// checkpoint began, and a torn write of the page could not be repaired from the records after that checkpoint. Ask
  /// before appending the record, under this guard. Always true for a page whose LSN is 0, and until the pool's first
  /// checkpoint has begun: what the log holds of a page is not known before that.
  [[nodiscard]] bool full_image_due() const noexcept;
  /// Where the page is, for a later `fetch` with a hint.
  [[nodiscard]] FrameHint hint() const noexcept {
    static_cast<void>(table());
    return {frame_};
  }

  /// Lets the page go, changed or not.
  void release() noexcept {
    if (table_ != nullptr) std::exchange(table_, nullptr)->unlatch_exclusive(frame_, std::exchange(changing_, false));
  }

  /// Goes on with a shared guard; nobody changes the page in between. This guard is then empty.
  [[nodiscard]] SharedGuard downgrade() noexcept;

 private:
  friend class BufferPool;
  friend class SharedGuard;
  friend class OptimisticGuard;
  ExclusiveGuard(detail::FrameTable& table, std::uint32_t frame) noexcept : table_(&table), frame_(frame) {}
  [[nodiscard]] detail::FrameTable& table() const noexcept {
    PAGEDB_CHECK(table_ != nullptr, "an empty guard has no page");
    return *table_;
  }

  detail::FrameTable* table_ = nullptr;
  std::uint32_t frame_ = 0;
  bool changing_ = false;
};

/// A page's version, remembered. Holds neither latch nor pin, and writes to no memory that tasks share: the page may
/// change or leave at any time, and what was copied counts only where `copy` or `valid` said so afterwards. On a
/// conflict start again from `fetch_optimistic`, or take a shared guard.
class OptimisticGuard {
 public:
  /// Remembers nothing.
  OptimisticGuard() = default;
  /// Remembers the same.
  OptimisticGuard(const OptimisticGuard& other) noexcept
      : table_(other.table_), frame_(other.frame_), version_(other.version_) {}
  /// Remembers the same. By members: a copy in wider words would wait for the narrower stores that it reads.
  OptimisticGuard& operator=(const OptimisticGuard& other) noexcept {
    table_ = other.table_;
    frame_ = other.frame_;
    version_ = other.version_;
    return *this;
  }
  ~OptimisticGuard() = default;

  /// Whether it remembers a page.
  [[nodiscard]] explicit operator bool() const noexcept { return table_ != nullptr; }
  /// Copies `to.size()` bytes of the page from byte `offset` on. True: they are the page's as it was when this guard
  /// was got. False: the page has changed or left; what is in `to` means nothing.
  [[nodiscard]] bool copy(std::size_t offset, std::span<std::byte> to) const noexcept {
    PAGEDB_CHECK(table_ != nullptr, "an empty guard has no page");
    PAGEDB_CHECK(offset <= table_->page_bytes() && to.size() <= table_->page_bytes() - offset, "beyond the page");
    sync::racy_copy(to.data(), table_->memory_of(frame_) + offset, to.size());
    return table_->unchanged_since(frame_, version_);
  }
  /// Whether the page is still as it was when this guard was got, and with it everything that was copied.
  [[nodiscard]] bool valid() const noexcept {
    PAGEDB_CHECK(table_ != nullptr, "an empty guard has no page");
    return table_->unchanged_since(frame_, version_);
  }
  /// Where the page is, for a later `fetch` with a hint.
  [[nodiscard]] FrameHint hint() const noexcept { return {frame_}; }

  /// A shared guard of the same page, unchanged since; or an empty one. Never waits.
  [[nodiscard]] SharedGuard try_shared() const noexcept;
  /// An exclusive guard of the same page, unchanged since; or an empty one. Never waits.
  [[nodiscard]] ExclusiveGuard try_exclusive() const noexcept;

 private:
  friend class BufferPool;
  OptimisticGuard(detail::FrameTable& table, std::uint32_t frame, std::uint64_t version) noexcept
      : table_(&table), frame_(frame), version_(version) {}

  detail::FrameTable* table_ = nullptr;
  std::uint32_t frame_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace pagedb
