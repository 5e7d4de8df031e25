// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle's own reader of the allocation map, written from engine/FORMAT.md and sharing no code with the engine.
//
// A node that does not verify hides what stands below it and nothing else: the rest is decoded, and the damage listed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "scenarios/reference_page.h"

namespace pagedb::scenarios {

/// Pages [begin, end).
struct PageRange {
  std::uint64_t begin = 0, end = 0;
  friend bool operator==(const PageRange&, const PageRange&) = default;
};

/// What FORMAT.md says of where things stand, for one page size.
class ReferenceGeometry {
 public:
  /// One of a node's two homes.
  struct Home {
    unsigned level = 0;
    std::uint64_t index = 0;
    unsigned k = 0;
    friend bool operator==(const Home&, const Home&) = default;
  };

  /// `page_bytes` is a power of two from 4 KiB to 1 MiB.
  explicit ReferenceGeometry(std::uint32_t page_bytes) noexcept;

  [[nodiscard]] std::uint32_t page_bytes() const noexcept { return page_bytes_; }
  /// Pages of a region, which are the bits of a leaf.
  [[nodiscard]] std::uint64_t region_pages() const noexcept { return covers_[0]; }
  [[nodiscard]] std::uint64_t children() const noexcept { return page_bytes_ / 32; }
  [[nodiscard]] unsigned highest_level() const noexcept { return highest_; }
  /// The first page that no file can have: no high water is above it.
  [[nodiscard]] std::uint64_t page_limit() const noexcept { return (std::uint64_t{1} << 63) / page_bytes_ - 1; }
  /// The page of the second superblock.
  [[nodiscard]] std::uint64_t twin() const noexcept { return (std::uint64_t{1} << 20) / page_bytes_; }
  /// Pages that a node of `level`, at most the highest, covers: node i those from i times as many on.
  [[nodiscard]] std::uint64_t covers(unsigned level) const noexcept { return covers_[level]; }

  /// The zone of homes and guards in `region`.
  [[nodiscard]] PageRange zone(std::uint64_t region) const noexcept;
  /// Where generations with g mod 2 = `k` of node `index` of `level` stand.
  [[nodiscard]] std::uint64_t home(unsigned level, std::uint64_t index, unsigned k) const noexcept;
  /// Whose home `page` is; nothing where it is nobody's.
  [[nodiscard]] std::optional<Home> home_at(std::uint64_t page) const noexcept;
  /// Whether `page` is never given out once there is a map.
  [[nodiscard]] bool reserved(std::uint64_t page) const noexcept;
  /// How many pages of `range` are not. Takes time for each region in it.
  [[nodiscard]] std::uint64_t usable(PageRange range) const noexcept;

 private:
  std::uint32_t page_bytes_;
  unsigned highest_ = 0;
  std::array<std::uint64_t, 7> covers_{};  // by level
};

/// What came of reading a page.
enum class PageRead : std::uint8_t {
  ok,
  past_end,    ///< the file has no such whole page
  unreadable,  ///< the device says no
};

/// Reads page `id` into `to`, a whole page.
using ReadPage = std::function<PageRead(std::uint64_t id, std::span<std::byte> to)>;

/// What the map says.
struct ReferenceAllocation {
  /// A node that verifies.
  struct Node {
    std::uint64_t page = 0;  ///< where it stands
    unsigned level = 0;
    std::uint64_t index = 0;
    std::uint64_t generation = 0;
    friend bool operator==(const Node&, const Node&) = default;
  };

  /// A node that does not.
  struct Damage {
    std::uint64_t page = 0;   ///< where it should stand; as the superblock says when that is no root's home
    PageRange pages;          ///< what is allocated of these is not known
    std::uint64_t used = 0;   ///< how many of them are, as the node above says; 0 when it is the root that is damaged
    bool unreadable = false;  ///< the device said no: `io_error`. Else `allocation_damaged`
    std::string_view what;    ///< the first rule that is broken, for people; a literal
  };

  std::uint64_t high_water = 0;      ///< no page from here on is allocated; 0 without a sound root
  std::uint64_t used = 0;            ///< as the root says, those below damaged nodes too; 0 without a sound root
  std::vector<PageRange> allocated;  ///< as far as is known: ascending, apart from each other
  std::vector<Node> nodes;           ///< top down, then by place
  std::vector<Damage> damaged;       ///< by place

  [[nodiscard]] bool sound() const noexcept { return damaged.empty(); }
  [[nodiscard]] bool is_allocated(std::uint64_t page) const noexcept;
  /// False where damage hides whether `page` is allocated.
  [[nodiscard]] bool is_known(std::uint64_t page) const noexcept;
};

/// Reads maps, one after another. Keeps its memory, so that a small map costs little more than the checksums of its
/// nodes.
class AllocationReader {
 public:
  /// Reads the map to which `superblock` refers; an empty one where it refers to none. The answer stays until the next
  /// call.
  const ReferenceAllocation& read(const ReferenceSuperblock& superblock, const ReadPage& read_page);

 private:
  struct Expected {  // a node, as the superblock or its parent's entry has it
    unsigned level = 0;
    std::uint32_t crc = 0;
    std::uint64_t index = 0, generation = 0, used = 0;
  };

  // Each gives the first rule that is broken, or nothing.
  std::string_view check_node(const Expected& node, std::uint64_t home, bool is_root, std::uint32_t file_tag);
  std::string_view check_leaf(const Expected& node, std::uint64_t used);
  std::string_view check_entries(const Expected& node, std::uint64_t used);
  void damaged(std::uint64_t page, PageRange pages, std::uint64_t used, bool unreadable, std::string_view what);

  ReferenceGeometry geometry_{4096};
  ReferenceAllocation found_;
  std::vector<std::byte> page_;
  std::vector<Expected> pending_;  // the next node last
};

}  // namespace pagedb::scenarios
