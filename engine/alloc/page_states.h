// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The state of a page in two bits, 32 pages a word, so that each change of one is one compare-and-swap.
//
//            allocate                free                  snapshot            commit
//   available ───────► allocated ──────────► freed ───────────────► committing ───────► available
//      00                 11                  01                       10                  00
//
// Only 11 is stored on disk as allocated. What is freed is given out again once the snapshot that has it free is
// committed. Reserved pages are 11 in memory and 0 on disk.
#pragma once

#include <bit>
#include <cstdint>

namespace pagedb::detail::page_states {

inline constexpr unsigned kPagesPerWord = 32;
inline constexpr std::uint64_t kLow = 0x5555555555555555;  ///< the low bit of each pair

inline constexpr std::uint64_t kAvailable = 0;
inline constexpr std::uint64_t kFreed = 1;
inline constexpr std::uint64_t kCommitting = 2;
inline constexpr std::uint64_t kAllocated = 3;

/// The state of page `page` (0 to 31) in `word`.
[[nodiscard]] constexpr std::uint64_t of(std::uint64_t word, unsigned page) noexcept { return word >> 2 * page & 3; }
/// `word` with page `page` in state `state`.
[[nodiscard]] constexpr std::uint64_t with(std::uint64_t word, unsigned page, std::uint64_t state) noexcept {
  return (word & ~(std::uint64_t{3} << 2 * page)) | state << 2 * page;
}

// Masks: the low bit of each pair that is in the state.
[[nodiscard]] constexpr std::uint64_t available(std::uint64_t word) noexcept { return ~(word | word >> 1) & kLow; }
[[nodiscard]] constexpr std::uint64_t allocated(std::uint64_t word) noexcept { return word & word >> 1 & kLow; }
[[nodiscard]] constexpr std::uint64_t freed(std::uint64_t word) noexcept { return word & ~(word >> 1) & kLow; }
[[nodiscard]] constexpr std::uint64_t committing(std::uint64_t word) noexcept { return word >> 1 & ~word & kLow; }

/// What a mask of low bits says, a bit a page.
[[nodiscard]] constexpr std::uint32_t compress(std::uint64_t mask) noexcept {
  mask = (mask | mask >> 1) & 0x3333333333333333;
  mask = (mask | mask >> 2) & 0x0F0F0F0F0F0F0F0F;
  mask = (mask | mask >> 4) & 0x00FF00FF00FF00FF;
  mask = (mask | mask >> 8) & 0x0000FFFF0000FFFF;
  mask = (mask | mask >> 16) & 0x00000000FFFFFFFF;
  return static_cast<std::uint32_t>(mask);
}
/// The mask of low bits for a bit a page.
[[nodiscard]] constexpr std::uint64_t spread(std::uint32_t pages) noexcept {
  std::uint64_t mask = pages;
  mask = (mask | mask << 16) & 0x0000FFFF0000FFFF;
  mask = (mask | mask << 8) & 0x00FF00FF00FF00FF;
  mask = (mask | mask << 4) & 0x0F0F0F0F0F0F0F0F;
  mask = (mask | mask << 2) & 0x3333333333333333;
  mask = (mask | mask << 1) & kLow;
  return mask;
}

/// `word` with every freed page committing.
[[nodiscard]] constexpr std::uint64_t commit_freed(std::uint64_t word) noexcept { return word ^ freed(word) * 3; }

}  // namespace pagedb::detail::page_states
