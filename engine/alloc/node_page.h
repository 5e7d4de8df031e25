// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Nodes of an allocation map as they stand on disk (engine/FORMAT.md, Allocation map): writing them, and believing
// nothing of what is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/alloc/geometry.h"
#include "engine/page.h"

namespace pagedb::detail {

/// What a node's payload begins with, little-endian.
struct NodeHeader {
  std::uint64_t magic = 0;       ///< kNodeMagic
  std::uint32_t level = 0;       ///< 0: a leaf
  std::uint32_t zero = 0;        ///< always 0
  std::uint64_t index = 0;       ///< which of its level
  std::uint64_t generation = 0;  ///< 1 or more
  std::uint64_t used = 0;        ///< pages below it that are allocated
  std::uint64_t high_water = 0;  ///< in the root only
};
static_assert(sizeof(NodeHeader) == 48 && alignof(NodeHeader) == 8);
static_assert(offsetof(NodeHeader, magic) == 0 && offsetof(NodeHeader, level) == 8 && offsetof(NodeHeader, zero) == 12);
static_assert(offsetof(NodeHeader, index) == 16 && offsetof(NodeHeader, generation) == 24);
static_assert(offsetof(NodeHeader, used) == 32 && offsetof(NodeHeader, high_water) == 40);

/// What a node says of a child. All zero: there is none, and nothing below it is allocated.
struct NodeEntry {
  std::uint64_t generation = 0;
  std::uint64_t used = 0;
  std::uint32_t crc32c = 0;
  std::uint32_t zero = 0;
  friend bool operator==(const NodeEntry&, const NodeEntry&) = default;
};
static_assert(sizeof(NodeEntry) == 24 && alignof(NodeEntry) == 8);
static_assert(offsetof(NodeEntry, generation) == 0 && offsetof(NodeEntry, used) == 8);
static_assert(offsetof(NodeEntry, crc32c) == 16 && offsetof(NodeEntry, zero) == 20);

inline constexpr std::uint64_t kNodeMagic = 0x50414D434F4C4C41;  ///< the bytes "ALLOCMAP"
inline constexpr std::size_t kNodeBody = 128;                    ///< where bitmap or entries begin in the page

/// Bytes of a node's body.
[[nodiscard]] constexpr std::size_t body_bytes(const MapGeometry& geometry, unsigned level) noexcept {
  return level == 0 ? geometry.region_pages() / 8 : geometry.children() * sizeof(NodeEntry);
}
static_assert(kNodeBody + body_bytes(MapGeometry(PageSize{}), 1) <= PageSize::kMinBytes);

/// Puts `header` and zeros around the body into `page`; the body is the caller's.
void write_node(const MapGeometry& geometry, const NodeHeader& header, std::span<std::byte> page) noexcept;

/// What a node has to be, as its place in the tree and what refers to it say.
struct NodeExpectation {
  unsigned level = 0;
  std::uint64_t index = 0;
  std::uint64_t generation = 0;
  std::uint32_t crc32c = 0;
  std::uint64_t used = 0;  ///< as the parent says; not for the root
  bool is_root = false;
  std::uint64_t high_water = 0;  ///< of the map; not for the root, which says it
};

/// Checks a page that verified as a metadata page: rules 3 to 6 of FORMAT.md. False: it is not the node that is
/// expected, or contradicts itself. Time: one pass over the page.
[[nodiscard]] bool check_node(const MapGeometry& geometry, const PageHeader& page_header,
                              std::span<const std::byte> page, const NodeExpectation& expected) noexcept;

/// Of the 64 pages from `page` (a multiple of 64) on, a bit for each that users cannot have: reserved ones, and those
/// at or past `end`.
[[nodiscard]] std::uint64_t forbidden_pages(const MapGeometry& geometry, std::uint64_t page,
                                            std::uint64_t end) noexcept;

/// The node's own header.
[[nodiscard]] NodeHeader node_header(std::span<const std::byte> page) noexcept;

}  // namespace pagedb::detail
