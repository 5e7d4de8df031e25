// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Reading the two superblock slots of a file, and the one rule by which a superblock is committed.
#pragma once

#include <cstdint>
#include <utility>

#include "engine/aligned_buffer.h"
#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/io/backend.h"
#include "engine/scheduler.h"
#include "engine/superblock.h"

namespace pagedb {

/// What stands in a slot.
struct SlotContent {
  /// How far it can be trusted.
  enum class Kind : std::uint8_t {
    nothing,  ///< past the end of the file, or zero
    foreign,  ///< bytes that do not claim to be a superblock
    damaged,  ///< bytes that claim to be a superblock and do not verify
    sound,    ///< `superblock` holds
    unknown,  ///< a sound superblock of a format that this library does not know: `format_version`
  };
  Kind kind = Kind::nothing;
  Superblock superblock{};
  std::uint64_t format_version = 0;
};

/// Reads what stands in `slot` of a file of `file_bytes`. Bytes are never an error; a device that cannot read them is:
/// a slot that cannot be read could be the newer one.
[[nodiscard]] Result<SlotContent> read_slot(IoFile& file, Scheduler& scheduler, std::uint64_t file_bytes,
                                            SuperblockSlot slot) noexcept;

/// Makes everything written to a file so far durable.
using Barrier = FunctionRef<Result<void>()>;

/// Writes superblocks to the slots of a file, each one durable before it returns. Holds the one buffer that takes.
class SlotWriter {
 public:
  /// A writer for superblocks of pages of `size`. Errors: out_of_memory.
  [[nodiscard]] static Result<SlotWriter> make(IoFile& file, Scheduler& scheduler, PageSize size) noexcept;

  /// Writes `superblock` into `slot`, then calls `barrier`.
  [[nodiscard]] Result<void> write(const Superblock& superblock, SuperblockSlot slot, Barrier barrier) noexcept;

  /// Commits `superblock`: barrier (for what it refers to), the slot `start`, barrier, the other slot, barrier. Ok:
  /// durable in both slots, so that the loss of either one later cannot bring back what was before; `start` is then the
  /// slot that was written last. An error: either superblock may be found at the next open, the old one or the new one;
  /// `start` is then where the next commit has to begin, the slot in which anything may stand, because the other one is
  /// sound.
  [[nodiscard]] Result<void> commit(const Superblock& superblock, SuperblockSlot& start, Barrier barrier) noexcept;

 private:
  SlotWriter(IoFile& file, Scheduler& scheduler, AlignedBuffer page) noexcept
      : file_(&file), scheduler_(&scheduler), page_(std::move(page)) {}

  IoFile* file_;
  Scheduler* scheduler_;
  AlignedBuffer page_;
};

/// Reads the `bytes` bytes at `offset`, which lie within the file, into the front of `into`. `into` has room for as
/// many bytes rounded up to the file's offset_align.
[[nodiscard]] Result<void> read_bytes(IoFile& file, Scheduler& scheduler, std::uint64_t offset, std::size_t bytes,
                                      std::span<std::byte> into) noexcept;

/// `bytes` rounded up to a length that `file` can transfer.
[[nodiscard]] std::size_t round_up(const IoFile& file, std::size_t bytes) noexcept;

}  // namespace pagedb
