// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Encoding and checking of allocation map nodes.
#include "engine/alloc/node_page.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/internal/all_zero.h"

namespace pagedb::detail {
namespace {

bool check_leaf(const MapGeometry& geometry, std::span<const std::byte> body, std::uint64_t first, std::uint64_t used,
                std::uint64_t high_water) noexcept {
  std::uint64_t count = 0;
  for (std::size_t at = 0; at < body.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, body.data() + at, sizeof word);
    if (word == 0) continue;
    if ((word & forbidden_pages(geometry, first + at * 8, high_water)) != 0) return false;
    count += static_cast<unsigned>(std::popcount(word));
  }
  return count == used;
}

bool check_entries(const MapGeometry& geometry, std::span<const std::byte> body, const NodeHeader& node,
                   std::uint64_t high_water) noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t child = 0; child < geometry.children(); ++child) {
    NodeEntry entry;
    std::memcpy(&entry, body.data() + child * sizeof entry, sizeof entry);
    if (entry == NodeEntry{}) continue;
    const std::uint64_t index = (node.index << geometry.fan_shift()) + child;
    const std::uint64_t begin = geometry.begin(node.level - 1, index);
    if (begin >= high_water || entry.generation == 0 || entry.used == 0 || entry.zero != 0) return false;
    const std::uint64_t end = std::min(geometry.end(node.level - 1, index), high_water);
    if (entry.used > geometry.usable(begin, end)) return false;
    sum += entry.used;  // cannot overflow: the children's pages are apart
  }
  return sum == node.used;
}

}  // namespace

std::uint64_t forbidden_pages(const MapGeometry& geometry, std::uint64_t page, std::uint64_t end) noexcept {
  if (page >= end) return ~std::uint64_t{0};
  std::uint64_t mask = end - page < 64 ? ~std::uint64_t{0} << (end - page) : 0;
  // Reserved pages stand at a region's begin, or, in the first one, up to the zone's end.
  const std::uint64_t in_region = page & (geometry.region_pages() - 1);
  if (in_region >= geometry.zone(0) + geometry.zone_pages(0)) return mask;
  for (unsigned bit = 0; bit < 64; ++bit) mask |= std::uint64_t{geometry.reserved(page + bit)} << bit;
  return mask;
}

NodeHeader node_header(std::span<const std::byte> page) noexcept {
  NodeHeader header;
  std::memcpy(&header, page.data() + kPageHeaderBytes, sizeof header);
  return header;
}

void write_node(const MapGeometry& geometry, const NodeHeader& header, std::span<std::byte> page) noexcept {
  const std::size_t end = kNodeBody + body_bytes(geometry, header.level);
  std::memset(page.data(), 0, kNodeBody);
  std::memset(page.data() + end, 0, page.size() - end);
  std::memcpy(page.data() + kPageHeaderBytes, &header, sizeof header);
}

bool check_node(const MapGeometry& geometry, const PageHeader& page_header, std::span<const std::byte> page,
                const NodeExpectation& expected) noexcept {
  if ((page_header.flags & page_flags::kMetadata) == 0 || page_header.lsn != 0) return false;
  const NodeHeader node = node_header(page);
  if (node.magic != kNodeMagic || node.level != expected.level || node.index != expected.index ||
      node.generation != expected.generation || page_header.crc32c != expected.crc32c || node.zero != 0) {
    return false;
  }
  const std::size_t head_end = kPageHeaderBytes + sizeof(NodeHeader);
  const std::size_t end = kNodeBody + body_bytes(geometry, node.level);
  if (!all_zero(page.subspan(head_end, kNodeBody - head_end)) || !all_zero(page.subspan(end))) return false;
  std::uint64_t high_water = expected.high_water;
  if (expected.is_root) {
    high_water = node.high_water;
    const std::uint64_t covers = geometry.end(node.level, node.index);
    if (high_water > covers) return false;
  } else if (node.high_water != 0 || node.used != expected.used) {
    return false;
  }
  const auto body = page.subspan(kNodeBody, end - kNodeBody);
  if (node.level == 0) return check_leaf(geometry, body, geometry.begin(0, node.index), node.used, high_water);
  return check_entries(geometry, body, node, high_water);
}

}  // namespace pagedb::detail
