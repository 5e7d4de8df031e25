// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What an open PageFile consists of. Made by page_file_open.cc, used by page_file.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "engine/alloc/geometry.h"
#include "engine/internal/page_file_map.h"
#include "engine/internal/superblock_io.h"
#include "engine/internal/sync_gate.h"
#include "engine/io/backend.h"
#include "engine/page_file.h"
#include "engine/superblock.h"
#include "engine/sync.h"

namespace pagedb {

struct PageFile::State {
  /// What opening found the file to be. One of the first three is set.
  struct Shape {
    std::optional<Superblock> superblock{};
    std::optional<PageSize> headerless{};  // page size of a 1.x file
    std::optional<PageSize> empty{};       // page size to show for an interrupted create that stays one
    OpenReport report{};
  };

  /// The open file, with its length as it is now.
  [[nodiscard]] static Result<std::unique_ptr<PageFile>> finish(Scheduler& scheduler, std::unique_ptr<IoFile> file,
                                                                Access access, const Shape& shape) noexcept;

  State(Scheduler& engine_scheduler, std::unique_ptr<IoFile> io_file) noexcept
      : scheduler(engine_scheduler),
        file(std::move(io_file)),
        limits(file->limits()),
        gate(engine_scheduler),
        commit_gate(engine_scheduler),
        map_file(*this) {}

  /// What page `page_id` of this file is sealed with and verified against.
  [[nodiscard]] PageIdentity identity(PageId page_id) const noexcept {
    return {.id = page_id, .file_tag = tag, .has_file_tag = has_superblock};
  }

  /// Whether the library keeps page `page_id` for itself.
  [[nodiscard]] bool reserves(PageId page_id) const noexcept {
    if (!has_superblock) return false;
    if (has_map.load(std::memory_order_acquire)) return geometry.reserved(page_id.value);
    return page_id == slot_page(SuperblockSlot::first, size) || page_id == slot_page(SuperblockSlot::twin, size);
  }

  /// Why nothing may be made durable now; nothing when it may.
  [[nodiscard]] std::optional<PageError> refuse_sync() const noexcept;
  /// Whose page a transfer is for: reserved ones are the library's.
  enum class Owner : std::uint8_t { user, library };
  /// Why page `page_id` must not be read or written; nothing when it may.
  [[nodiscard]] std::optional<PageError> refuse(IoOp op, PageId page_id, Owner owner) const noexcept;
  /// Why a transfer of page `page_id` must not be tried; nothing when it may.
  [[nodiscard]] std::optional<PageError> refuse(IoOp op, PageId page_id, std::span<std::byte> page,
                                                Owner owner) const noexcept;
  /// The transfer of a page that was not refused.
  [[nodiscard]] IoRequest request(IoOp op, PageId page_id, std::span<std::byte> page) const noexcept;
  /// Takes note that page `page_id` was written: the file reaches at least to its end.
  void wrote(PageId page_id) noexcept;
  /// Reads and verifies one page.
  [[nodiscard]] Result<PageHeader> read_page(PageId page_id, std::span<std::byte> page, Owner owner) noexcept;
  /// Both directions of a batch.
  [[nodiscard]] Result<void> run_batch(IoOp op, std::span<PageIo> batch, PageDone done, Owner owner) noexcept;
  /// Makes what was written durable, in turn with everybody else who wants that. A failure poisons the file.
  [[nodiscard]] Result<void> sync() noexcept;
  /// Commits the superblock with the highest redo_from that anybody wanted so far, and what the participant has to add.
  /// One call at a time.
  [[nodiscard]] Result<void> commit() noexcept;
  /// The part of it that all commits share: gives `next` a generation, and stores it in both slots.
  [[nodiscard]] Result<void> store(SlotWriter& writer, Superblock next) noexcept;

  // Constant once open.
  Scheduler& scheduler;
  const std::unique_ptr<IoFile> file;
  const IoLimits limits;
  PageSize size{};
  bool writable = false;
  bool has_superblock = false;  // false: a headerless file, which reserves no page and tags none
  std::uint32_t tag = 0;
  FileId id{};
  detail::MapGeometry geometry{PageSize{}};
  OpenReport report{};

  // Shared by every task that uses the file.
  sync::Atomic<std::uint64_t> page_count{0};
  sync::Atomic<bool> poisoned{false};
  SyncGate gate;

  // The superblock that the last commit to return Ok stored, or open found.
  sync::Atomic<std::uint64_t> generation{0};
  sync::Atomic<std::uint64_t> redo_from{0};

  // Committing. The gate lets one task at a time through, and those who wait share the next commit.
  SyncGate commit_gate;
  sync::Atomic<std::uint64_t> wanted_redo_from{0};  // the highest that anybody asked for
  Superblock attempted{};                           // what the last attempt wrote, or may have written; the gate's
  SuperblockSlot start = SuperblockSlot::first;     // the slot that the next attempt has to begin with; the gate's
  // Whether `attempted` is known to be durable in both slots; the gate's. Until then what an older superblock refers to
  // must stay.
  bool settled = false;

  // The allocation map.
  detail::PageFileMap map_file;
  detail::CommitParticipant* participant = nullptr;  // set while nothing is committed
  sync::Atomic<bool> has_map{false};                 // its pages are reserved
};

}  // namespace pagedb
