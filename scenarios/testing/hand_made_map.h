// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Allocation maps made by hand from engine/FORMAT.md, right ones and wrong ones: tests judge the oracle's reader by
// them without trusting it. Tests only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "scenarios/reference_allocation.h"
#include "scenarios/testing/hand_made.h"

namespace pagedb::scenarios {

/// A map made by hand, in a file that is made of nothing else.
struct HandMap {
  using Change = std::function<void(std::span<std::byte>)>;

  std::uint32_t size = 4096;          // of a page
  std::set<std::uint64_t> allocated;  // pages
  std::uint64_t high_water = 400;
  std::uint64_t generation = 7;  // of the root; those of other nodes follow from it and differ
  std::map<std::pair<unsigned, std::uint64_t>, Change> changes;  // what is wrong in which (level, index), then sealed
  std::set<std::uint64_t> unreadable;
  std::uint64_t length = ~std::uint64_t{0};  // pages in the file

  std::map<std::uint64_t, std::vector<std::byte>> pages;
  ReferenceSuperblock superblock;

  struct Entry {
    std::uint64_t generation = 0, used = 0;
    std::uint32_t crc = 0;
  };

  [[nodiscard]] std::uint64_t covers(unsigned level) const {
    std::uint64_t pages_below = 4ull * size;
    while (level-- > 0) pages_below *= size / 32;
    return pages_below;
  }
  [[nodiscard]] std::uint64_t home(unsigned level, std::uint64_t index, std::uint64_t of_generation) const {
    const std::uint64_t zone = index == 0 ? (1u << 20) / size + 1 : index * covers(level);
    return zone + 1 + 4 * level + 2 * (of_generation % 2);
  }
  [[nodiscard]] std::uint64_t home(unsigned level, std::uint64_t index) const {
    return home(level, index, generation + 3 * (superblock_level - level) + index);
  }

  Entry node(unsigned level, std::uint64_t index) {
    Entry entry{.generation = generation + 3 * (superblock_level - level) + index};
    const std::uint64_t first = index * covers(level), id = home(level, index);
    const bool root = level == superblock_level;
    std::vector<std::byte> page(size);
    if (level == 0) {
      for (auto at = allocated.lower_bound(first); at != allocated.end() && *at < first + covers(0); ++at) {
        page[128 + (*at - first) / 8] |= static_cast<std::byte>(1u << (*at - first) % 8);
        ++entry.used;
      }
    } else {
      for (std::uint64_t child = 0; child < size / 32; ++child) {
        const std::uint64_t begin = first + child * covers(level - 1);
        const auto some = allocated.lower_bound(begin);
        if (some == allocated.end() || *some >= begin + covers(level - 1)) continue;
        const Entry below = node(level - 1, index * (size / 32) + child);
        put(std::span(page), 128 + 24 * child, below.generation);
        put(std::span(page), 128 + 24 * child + 8, below.used);
        put(std::span(page), 128 + 24 * child + 16, below.crc);
        entry.used += below.used;
      }
    }
    put(std::span(page), 32, std::uint64_t{0x50414D434F4C4C41});  // "ALLOCMAP"
    put(std::span(page), 40, level);
    put(std::span(page), 48, index);
    put(std::span(page), 56, entry.generation);
    put(std::span(page), 64, entry.used);
    if (root) put(std::span(page), 72, high_water);
    head_by_hand(page, id, 0, 3, kHandTag);
    if (const auto change = changes.find({level, index}); change != changes.end()) {
      change->second(page);
      seal_by_hand(page);
    }
    std::memcpy(&entry.crc, page.data() + 24, 4);
    pages[id] = std::move(page);
    return entry;
  }

  unsigned superblock_level = 0;

  /// Makes the map, with a root of `level`.
  HandMap& make(unsigned level) {
    superblock_level = level;
    pages.clear();
    const Entry root = node(level, 0);
    superblock = {.page_size = size,
                  .file_tag = kHandTag,
                  .generation = 1,
                  .redo_from = 0,
                  .root_page = home(level, 0),
                  .root_generation = root.generation,
                  .root_crc32c = root.crc};
    return *this;
  }

  [[nodiscard]] ReferenceAllocation read() const {
    AllocationReader reader;
    return read(reader);
  }
  const ReferenceAllocation& read(AllocationReader& reader) const {
    return reader.read(superblock, [this](std::uint64_t id, std::span<std::byte> to) {
      if (unreadable.contains(id)) return PageRead::unreadable;
      if (id >= length) return PageRead::past_end;
      const auto found = pages.find(id);
      if (found == pages.end()) {
        std::ranges::fill(to, std::byte{});
      } else {
        std::ranges::copy(found->second, to.begin());
      }
      return PageRead::ok;
    });
  }
};

/// Three runs in one region.
inline HandMap one_leaf() {
  HandMap map;
  map.allocated = {2, 3, 4, 63, 64, 65, 254, 286, 399};
  return map;
}

/// Leaves 0, 1, 3 and 128 below two nodes of level 1; 2 is empty.
inline HandMap three_levels() {
  HandMap map;
  map.allocated = {100, 16384 + 9, 16384 + 10, 3 * 16384 + 9, 3 * 16384 + 16383, 128 * 16384 + 13, 128 * 16384 + 14};
  map.high_water = 128 * 16384 + 15;
  return map;
}

/// The one damage of a map that has no other.
inline ReferenceAllocation::Damage only_damage(const ReferenceAllocation& found) {
  EXPECT_EQ(found.damaged.size(), 1u);
  return found.damaged.empty() ? ReferenceAllocation::Damage{} : found.damaged.front();
}

}  // namespace pagedb::scenarios
