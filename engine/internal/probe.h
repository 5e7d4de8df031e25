// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What a file without a sound superblock might be, told from its first bytes. Reads 2 MiB at most and changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb {

/// What the first bytes of a file show. Several may hold.
struct Evidence {
  bool blank = false;  ///< every byte of the file is zero, and there are no more than a create would have left
  std::optional<PageSize> headerless{};   ///< a 1.x page verifies at this page size
  bool headerless_head = false;           ///< page 0 begins like a 1.x page, but none of the first pages verifies
  bool tagged = false;                    ///< a page of a file with a superblock verifies
  std::optional<PageError> unreadable{};  ///< a part of it could not be read, and counts as unknown bytes
};

/// The largest file that an interrupted create can leave: up to the end of the twin, with the largest pages.
inline constexpr std::uint64_t kBlankBytesMax = (std::uint64_t{1} << 20) + PageSize::kMaxBytes;

/// Looks at the first bytes of a file, `front`, which has `file_bytes` in all. `front` is the whole file or
/// kBlankBytesMax bytes of it.
[[nodiscard]] Evidence look_at(std::span<const std::byte> front, std::uint64_t file_bytes) noexcept;

/// Reads the first bytes of `file` and looks at them. Parts that cannot be read (io_error) count as unknown bytes.
/// Other errors: those of transfer, and out_of_memory.
[[nodiscard]] Result<Evidence> probe(IoFile& file, Scheduler& scheduler, std::uint64_t file_bytes) noexcept;

}  // namespace pagedb
