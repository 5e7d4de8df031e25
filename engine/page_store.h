// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageStore: what a buffer pool needs of whatever holds its pages. PageFile is one.
//
// Contract: a page that is written is sealed, a page that is read is verified. A write is durable after a later `sync`
// returned Ok; a failed sync poisons the store for every user of it. Every member may be called by several tasks at
// once; transfers of one page are ordered by the caller. Memory is aligned as `limits().memory_align` says.
#pragma once

#include <cstdint>
#include <span>

#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/io/backend.h"
#include "engine/page.h"
#include "engine/types.h"

namespace pagedb {

/// One page of a batch. For a write, `page` is sealed in place.
struct PageIo {
  PageId id{};                  ///< which page
  std::span<std::byte> page{};  ///< page_size() bytes
  Result<void> result{};        ///< how it ended, set by the batch call
};

/// Receives each page of a batch as soon as its result is known, while others are still on their way; once a page, in
/// any order, on the task that called. It must not start other I/O on the same store.
using PageDone = FunctionRef<void(PageIo&)>;

/// Numbered, checksummed pages. See the head of this file.
class PageStore {
 public:
  virtual ~PageStore() = default;

  /// Reads page `id` into `page` (page_size() bytes) and verifies it. On an error the contents of `page` mean nothing.
  [[nodiscard]] virtual Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept = 0;

  /// Reads and verifies many pages at the device's depth. Each entry gets its own result, and is given to `done` when
  /// it has it. Ok when all are; else the first error in span order.
  [[nodiscard]] virtual Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept = 0;

  /// Seals and writes many pages at the device's depth, in no promised order. Ids must differ. Each entry gets its own
  /// result, and is given to `done` when it has it. Ok when all are; else the first error in span order.
  [[nodiscard]] virtual Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept = 0;

  /// Makes every write that returned before this call durable. An error poisons the store.
  [[nodiscard]] virtual Result<void> sync() noexcept = 0;

  /// Makes every write that returned before this call durable, then `redo_from`, the LSN from which recovery reads the
  /// log. Ok: both are, and the log below `redo_from` is not needed any more. An error: either value may be found by
  /// the next opener, and the log must be kept.
  [[nodiscard]] virtual Result<void> commit_redo_from(Lsn redo_from) noexcept = 0;

  /// Why page `id` must not be written (poisoned, read_only, page_id_overflow, reserved_page); Ok when it may.
  [[nodiscard]] virtual Result<void> may_write(PageId id) const noexcept = 0;

  /// Whether an earlier sync failed: read, write and sync answer `poisoned` from then on.
  [[nodiscard]] virtual bool poisoned() const noexcept = 0;

  /// Size of a page.
  [[nodiscard]] virtual PageSize page_size() const noexcept = 0;

  /// What the device asks of memory, offsets and depth.
  [[nodiscard]] virtual IoLimits limits() const noexcept = 0;
};

}  // namespace pagedb
