// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What a map says of itself: counts, the ends of what is in use, and what is allocated next.
#include <algorithm>
#include <bit>

#include "engine/alloc/allocation_map.h"

namespace pagedb::detail {

namespace states = page_states;

std::uint64_t AllocationMap::used_of(LeafNode& leaf) noexcept {
  std::uint64_t count = 0;
  for (std::uint32_t at = 0; at < leaf.words(); ++at) {
    const std::uint64_t word = leaf.word(at).load(std::memory_order_relaxed);
    if (word != 0) count += static_cast<unsigned>(std::popcount(states::allocated(word)));
  }
  for (std::uint32_t at = 0; at < leaf.words(); at += 2)
    count -= static_cast<unsigned>(std::popcount(forbidden(leaf, at)));
  return count;
}

std::uint64_t AllocationMap::used() noexcept {
  std::uint64_t count = top().used;
  for (LeafNode* leaf = dirty_leaves(); leaf != nullptr; leaf = leaf->next_dirty) count += used_of(*leaf) - leaf->used;
  return count;
}

std::uint64_t AllocationMap::end_of_use(LeafNode& leaf, bool freed) noexcept {
  for (std::uint32_t at = leaf.words(); at > 0; at -= 2) {
    const std::uint64_t hidden = forbidden(leaf, at - 2);
    std::uint64_t bits = 0;
    for (const unsigned half : {0u, 1u}) {
      const std::uint64_t word = leaf.word(at - 2 + half).load(std::memory_order_relaxed);
      const std::uint64_t in_use = freed ? states::allocated(word) | states::freed(word) : states::allocated(word);
      bits |= std::uint64_t{states::compress(in_use)} << 32 * half;
    }
    bits &= ~hidden;
    if (bits != 0) return page_of(leaf, at - 2) + static_cast<unsigned>(std::bit_width(bits));
  }
  return page_of(leaf, 0);
}

std::uint64_t AllocationMap::high_water() noexcept {
  std::uint64_t highest = recorded_high_water();
  for (LeafNode* leaf = dirty_leaves(); leaf != nullptr; leaf = leaf->next_dirty) {
    const std::uint64_t end = end_of_use(*leaf, true);
    if (end != page_of(*leaf, 0)) highest = std::max(highest, end);
  }
  return highest;
}

Result<std::uint64_t> AllocationMap::end_of_use() noexcept { return end_of_use(top()); }

Result<std::uint64_t> AllocationMap::end_of_use(MapNode& node) noexcept {
  if (node.level == 0) {
    LeafNode& leaf = static_cast<LeafNode&>(node);
    const std::uint64_t end = end_of_use(leaf, false);
    return end == page_of(leaf, 0) ? 0 : end;
  }
  InnerNode& inner = static_cast<InnerNode&>(node);
  for (std::uint32_t at = inner.children(); at-- > 0;) {
    if (inner.child(at) == nullptr && inner.entries[at].generation == 0) continue;
    const auto below = child(inner, at, false);
    if (!below) return failure(below.error());
    const auto end = end_of_use(**below);
    if (!end || *end != 0) return end;
  }
  return 0;
}

Result<std::uint64_t> AllocationMap::next_allocated(std::uint64_t page) noexcept {
  if (page >= geometry_.page_limit()) return kNone;
  return next_allocated(top(), page);
}

Result<std::uint64_t> AllocationMap::next_allocated(MapNode& node, std::uint64_t page) noexcept {
  if (geometry_.end(node.level, node.index) <= page) return kNone;
  if (node.level == 0) {
    LeafNode& leaf = static_cast<LeafNode&>(node);
    const std::uint64_t first = page_of(leaf, 0);
    for (std::uint32_t at = page <= first ? 0 : word_of(page) & ~1u; at < leaf.words(); at += 2) {
      const std::uint64_t low = leaf.word(at).load(std::memory_order_relaxed),
                          high = leaf.word(at + 1).load(std::memory_order_relaxed);
      std::uint64_t bits =
          states::compress(states::allocated(low)) | std::uint64_t{states::compress(states::allocated(high))} << 32;
      if (bits == 0) continue;
      bits &= ~forbidden(leaf, at);
      if (page_of(leaf, at) < page) bits &= ~std::uint64_t{0} << (page - page_of(leaf, at));
      if (bits != 0) return page_of(leaf, at) + static_cast<unsigned>(std::countr_zero(bits));
    }
    return kNone;
  }
  InnerNode& inner = static_cast<InnerNode&>(node);
  const std::uint64_t begin = geometry_.begin(inner.level, inner.index);
  for (std::uint32_t at = page <= begin ? 0 : place_of(page, inner.level); at < inner.children(); ++at) {
    if (inner.child(at) == nullptr && inner.entries[at].generation == 0) continue;
    const auto below = child(inner, at, false);
    if (!below) return failure(below.error());
    const auto next = next_allocated(**below, page);
    if (!next || *next != kNone) return next;
  }
  return kNone;
}

std::size_t AllocationMap::memory_bytes() noexcept {
  std::size_t bytes = sizeof *this + page_.span().size();
  const auto walk = [&](const auto& self, MapNode& node) -> void {
    if (node.level == 0) {
      bytes += static_cast<LeafNode&>(node).memory_bytes();
      return;
    }
    InnerNode& inner = static_cast<InnerNode&>(node);
    bytes += inner.memory_bytes();
    for (std::uint32_t at = 0; at < inner.children(); ++at) {
      if (MapNode* const below = inner.child(at)) self(self, *below);
    }
  };
  walk(walk, top());
  return bytes;
}

}  // namespace pagedb::detail
