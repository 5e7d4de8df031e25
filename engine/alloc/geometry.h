// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// MapGeometry: where the nodes of an allocation map stand, and which pages that takes from the users. All of it is
// computed from the page size (engine/FORMAT.md, Allocation map).
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/superblock.h"
#include "engine/types.h"

namespace pagedb::detail {

/// See the head of this file. Page numbers are plain integers here.
class MapGeometry {
 public:
  explicit constexpr MapGeometry(PageSize size) noexcept
      : region_shift_(size.shift() + 2),
        fan_shift_(size.shift() - 5),
        page_limit_((std::uint64_t{1} << (63 - size.shift())) - 1),
        twin_(kTwinOffset >> size.shift()) {
    while (region_shift_ + fan_shift_ * top_level_ < 63 - size.shift()) ++top_level_;
    first_zone_pages_ = 4 * (top_level_ + 1) + 1;
  }

  /// Pages in a region.
  [[nodiscard]] constexpr std::uint64_t region_pages() const noexcept { return std::uint64_t{1} << region_shift_; }
  [[nodiscard]] constexpr unsigned region_shift() const noexcept { return region_shift_; }
  /// Children of a node above the leaves.
  [[nodiscard]] constexpr std::uint32_t children() const noexcept { return std::uint32_t{1} << fan_shift_; }
  [[nodiscard]] constexpr unsigned fan_shift() const noexcept { return fan_shift_; }
  /// The highest level.
  [[nodiscard]] constexpr unsigned top_level() const noexcept { return top_level_; }
  /// The first page number that no file can have.
  [[nodiscard]] constexpr std::uint64_t page_limit() const noexcept { return page_limit_; }
  /// Base-2 logarithm of the pages below a node of `level`.
  [[nodiscard]] constexpr unsigned cover_shift(unsigned level) const noexcept {
    return region_shift_ + fan_shift_ * level;
  }
  /// First page below node `index` of `level`, and one past the last.
  [[nodiscard]] constexpr std::uint64_t begin(unsigned level, std::uint64_t index) const noexcept {
    return index << cover_shift(level);
  }
  [[nodiscard]] constexpr std::uint64_t end(unsigned level, std::uint64_t index) const noexcept {
    return std::min((index + 1) << cover_shift(level), page_limit_);
  }

  /// The page in which generation `generation` of node `index` of `level` stands.
  [[nodiscard]] constexpr std::uint64_t home(unsigned level, std::uint64_t index,
                                             std::uint64_t generation) const noexcept {
    return zone(index << (fan_shift_ * level)) + 1 + 4 * level + 2 * (generation & 1);
  }
  /// The level of which page `page` is a home of node 0, as `level`, and which of the two it is, as `which`. False: of
  /// none.
  [[nodiscard]] constexpr bool root_home(std::uint64_t page, unsigned& level, unsigned& which) const noexcept {
    if (page <= zone(0) || page >= zone(0) + zone_pages(0) || (page - zone(0)) % 2 == 0) return false;
    level = static_cast<unsigned>((page - zone(0)) / 4);
    which = static_cast<unsigned>((page - zone(0)) / 2 % 2);
    return true;
  }

  /// Whether page `page` is kept from the users.
  [[nodiscard]] constexpr bool reserved(std::uint64_t page) const noexcept {
    const std::uint64_t region = page >> region_shift_;
    if (region == 0) {
      return page <= 1 || page - (twin_ - 1) <= 1 + first_zone_pages_;  // the zone follows the twin
    }
    const std::uint64_t offset = page & (region_pages() - 1);
    return offset < 5 || (offset < first_zone_pages_ && offset < zone_pages(region));
  }
  /// Whether users can have page `page`.
  [[nodiscard]] constexpr bool is_usable(std::uint64_t page) const noexcept {
    return page < page_limit_ && !reserved(page);
  }
  /// How many of the pages before page `page` are.
  [[nodiscard]] constexpr std::uint64_t reserved_before(std::uint64_t page) const noexcept {
    const std::uint64_t region = page >> region_shift_;
    if (region == 0) {
      std::uint64_t count = std::min<std::uint64_t>(page, 2);                                                // 0 and 1
      for (std::uint64_t at = std::max<std::uint64_t>(twin_ - 1, 2); at <= twin_; ++at) count += page > at;  // the twin
      return count + std::min(page - std::min(page, zone(0)), zone_pages(0));
    }
    std::uint64_t count = reserved_before(region_pages() - 1) + 5 * (region - 1);
    for (unsigned level = 1; level <= top_level_; ++level) count += 4 * ((region - 1) >> (fan_shift_ * level));
    return count + std::min(page & (region_pages() - 1), zone_pages(region));
  }
  /// How many pages of [begin, end) users can have.
  [[nodiscard]] constexpr std::uint64_t usable(std::uint64_t begin, std::uint64_t end) const noexcept {
    if (begin >= end) return 0;
    return (end - reserved_before(end)) - (begin - reserved_before(begin));
  }

  /// Where the zone of region `region` begins, and how many pages it has.
  [[nodiscard]] constexpr std::uint64_t zone(std::uint64_t region) const noexcept {
    return region == 0 ? twin_ + 1 : region << region_shift_;
  }
  [[nodiscard]] constexpr std::uint64_t zone_pages(std::uint64_t region) const noexcept {
    if (region == 0) return first_zone_pages_;
    unsigned levels = 1;
    while (levels <= top_level_ && (region & ((std::uint64_t{1} << (fan_shift_ * levels)) - 1)) == 0) ++levels;
    return 4 * levels + 1;
  }

 private:
  unsigned region_shift_;
  unsigned fan_shift_;
  std::uint64_t page_limit_;
  std::uint64_t twin_;
  unsigned top_level_ = 0;
  std::uint64_t first_zone_pages_ = 0;
};

}  // namespace pagedb::detail
