// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The words everything else is written in: PageId, Lsn, FileId, PageSize.
//
// Strong types, so that a page number is never taken for a log position. All are trivially copyable and
// safe to use from any thread.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace pagedb {

/// Number of a page in its file. Page n stands at byte n x page size.
struct PageId {
  std::uint64_t value = 0;  ///< the number itself
  /// Orders by number.
  friend constexpr auto operator<=>(PageId, PageId) = default;
};

/// Log sequence number: a position in the caller's log. The engine only compares them. 0 means "never logged".
struct Lsn {
  std::uint64_t value = 0;  ///< the position itself
  /// Orders by position.
  friend constexpr auto operator<=>(Lsn, Lsn) = default;
};

/// The 128-bit identity that a file gets when it is created. Its first four bytes, little-endian, are the tag on each
/// of its pages.
using FileId = std::array<std::byte, 16>;

/// A page size that has been validated once: a power of two from 4 KiB to 1 MiB.
class PageSize {
 public:
  static constexpr std::uint64_t kMinBytes = 4096;         ///< smallest page, 4 KiB
  static constexpr std::uint64_t kMaxBytes = 1024 * 1024;  ///< largest page, 1 MiB

  /// The usual size, 4 KiB.
  constexpr PageSize() = default;

  /// The page size of `bytes` bytes, or nothing when that is no power of two between 4 KiB and 1 MiB.
  [[nodiscard]] static constexpr std::optional<PageSize> of(std::uint64_t bytes) noexcept {
    if (bytes < kMinBytes || bytes > kMaxBytes || (bytes & (bytes - 1)) != 0) return std::nullopt;
    return PageSize(static_cast<std::uint32_t>(bytes));
  }

  /// Bytes in a page.
  [[nodiscard]] constexpr std::uint32_t bytes() const noexcept { return bytes_; }
  /// Base-2 logarithm of bytes(), so that an offset is `id << shift()`.
  [[nodiscard]] constexpr unsigned shift() const noexcept { return static_cast<unsigned>(std::countr_zero(bytes_)); }
  /// Equal when the sizes are equal.
  friend constexpr bool operator==(PageSize, PageSize) = default;

 private:
  constexpr explicit PageSize(std::uint32_t bytes) : bytes_(bytes) {}
  std::uint32_t bytes_ = kMinBytes;
};

}  // namespace pagedb
