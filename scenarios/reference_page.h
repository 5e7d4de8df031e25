// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle's own reader of the on-disk format, written from engine/FORMAT.md and sharing no code with the engine: its
// own CRC32C, page and superblock decoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pagedb::scenarios {

/// CRC32C (Castagnoli) of `bytes`, continued from `crc` (0 to start). Uses the SSE4.2 instruction where the CPU has it.
[[nodiscard]] std::uint32_t reference_crc32c(std::uint32_t crc, std::span<const std::byte> bytes) noexcept;

/// The facts of a page that verifies.
struct ReferencePage {
  std::uint64_t page_id = 0;
  std::uint64_t lsn = 0;
  std::uint16_t flags = 0;
  std::uint32_t reserved = 0;
};

/// Decodes a whole page: magic, version and checksum must be right. Says nothing of where the page belongs.
[[nodiscard]] std::optional<ReferencePage> decode_page(std::span<const std::byte> page) noexcept;

/// The facts of a superblock that verifies.
struct ReferenceSuperblock {
  std::uint32_t page_size = 0;
  std::uint32_t file_tag = 0;  // what the file's pages carry as `reserved`
  std::uint64_t generation = 0;
  std::uint64_t redo_from = 0;  // the LSN from which recovery reads the log
  // The root of the allocation map, all 0 while there is none. As it stands there: whether it makes sense says the
  // reader of the map, since the superblock is sound either way.
  std::uint64_t root_page = 0, root_generation = 0;
  std::uint32_t root_crc32c = 0;
};

/// Where superblocks stand, in bytes.
inline constexpr std::uint64_t kSuperblockOffsets[] = {0, 1u << 20};

/// Whether `bytes`, at least one, are all zero.
[[nodiscard]] bool all_zero(std::span<const std::byte> bytes) noexcept;

/// Decodes a superblock that stands at byte `offset` of its file.
[[nodiscard]] std::optional<ReferenceSuperblock> decode_superblock_page(std::span<const std::byte> page,
                                                                        std::uint64_t offset) noexcept;

}  // namespace pagedb::scenarios
