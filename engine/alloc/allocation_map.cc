// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The tree in memory: reading, making and growing it, and which of its leaves changed.
#include "engine/alloc/allocation_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/check.h"
#include "engine/internal/raise_to.h"

namespace pagedb::detail {

namespace states = page_states;

namespace {

constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};

PageError damaged(std::uint64_t page) noexcept {
  return PageError{.code = ErrorCode::allocation_damaged}.about(PageId{page});
}

/// The states of 64 pages, as two words, for a bit a page that is allocated.
std::uint64_t states_of(std::uint64_t bits, unsigned half) noexcept {
  return states::spread(static_cast<std::uint32_t>(bits >> 32 * half)) * states::kAllocated;
}

}  // namespace

AllocationMap::AllocationMap(AllocationStore& store, std::uint64_t end) noexcept
    : store_(store),
      geometry_(store.page_size()),
      end_(std::min(end, geometry_.page_limit())),
      turn_(store.scheduler()) {
  turn_.give(token_);
}

AllocationMap::~AllocationMap() { delete top_.load(std::memory_order_relaxed); }

// ---- reading and making nodes

Result<void> AllocationMap::open() noexcept {
  auto page = AlignedBuffer::allocate(store_.page_size().bytes());
  if (!page) return failure(page.error());
  page_ = std::move(*page);
  const AllocationRoot root = store_.root();
  if (root == AllocationRoot{}) {
    std::unique_ptr<MapNode> top = make(0, 0);
    if (top == nullptr) return failure(kNoMemory);
    top_.store(top.release(), std::memory_order_release);
    return {};
  }
  unsigned level = 0, which = 0;
  if (!geometry_.root_home(root.page.value, level, which) || root.generation == 0 || (root.generation & 1) != which)
    return failure(damaged(root.page.value));
  const auto top = load({.level = level, .generation = root.generation, .crc32c = root.crc32c, .is_root = true});
  if (!top) return failure(top.error());
  top_.store(*top, std::memory_order_release);
  disk_root_ = *top;
  return {};
}

Result<MapNode*> AllocationMap::load(const NodeExpectation& expected) noexcept {
  const std::uint64_t home = geometry_.home(expected.level, expected.index, expected.generation);
  const auto header = store_.read_node(PageId{home}, page_.span());
  if (!header) {
    switch (header.error().code) {
      case ErrorCode::io_error:
      case ErrorCode::short_transfer:
      case ErrorCode::poisoned:
        return failure(header.error());
      default:
        return failure(damaged(home));
    }
  }
  const std::span<const std::byte> page = page_.span();
  if (!check_node(geometry_, *header, page, expected)) return failure(damaged(home));
  const NodeHeader node = node_header(page);
  if (expected.is_root) {
    high_water_.store(node.high_water, std::memory_order_release);
    constexpr std::uint64_t kChunk = LeafNode::kChunkPages;
    frontier_.store((node.high_water + kChunk - 1) / kChunk * kChunk, std::memory_order_release);
  }
  std::unique_ptr<MapNode> made = make(expected.level, expected.index);
  if (made == nullptr) return failure(kNoMemory);
  made->generation = node.generation;
  made->used = node.used;
  made->crc32c = expected.crc32c;
  const auto body = page.subspan(kNodeBody, body_bytes(geometry_, expected.level));
  if (expected.level == 0) {
    fill(static_cast<LeafNode&>(*made), body);
  } else {
    std::memcpy(static_cast<InnerNode&>(*made).entries.get(), body.data(), body.size());
  }
  return made.release();
}

std::unique_ptr<MapNode> AllocationMap::make(unsigned level, std::uint64_t index) noexcept {
  if (level != 0) {
    std::unique_ptr<MapNode> node = InnerNode::make(geometry_, level, index);
    if (node != nullptr) node->promising.store(true, std::memory_order_relaxed);
    return node;
  }
  std::unique_ptr<LeafNode> leaf = LeafNode::make(geometry_, index);
  if (leaf == nullptr) return nullptr;
  for (std::uint32_t at = 0; at < leaf->words(); at += 2) {
    const std::uint64_t hidden = forbidden(*leaf, at);
    if (hidden == 0) continue;
    for (const unsigned half : {0u, 1u})
      leaf->word(at + half).store(states_of(hidden, half), std::memory_order_relaxed);
  }
  for (std::uint32_t at = 0; at < leaf->words(); ++at) {
    if (const std::uint64_t beyond = past_end(*leaf, at); beyond != 0)
      leaf->word(at).fetch_or(beyond * states::kCommitting, std::memory_order_relaxed);
  }
  open_chunks(*leaf, 0, frontier());
  return leaf;
}

void AllocationMap::fill(LeafNode& leaf, std::span<const std::byte> bitmap) noexcept {
  for (std::uint32_t at = 0; at < leaf.words(); at += 2) {
    std::uint64_t bits;
    std::memcpy(&bits, bitmap.data() + std::size_t{at} * 4, sizeof bits);
    if (bits == 0) continue;
    for (const unsigned half : {0u, 1u}) {
      sync::Atomic<std::uint64_t>& word = leaf.word(at + half);
      word.store(word.load(std::memory_order_relaxed) | states_of(bits, half), std::memory_order_relaxed);
    }
  }
}

Result<void> AllocationMap::grow() noexcept {
  MapNode& old = top();
  PAGEDB_CHECK(old.level < geometry_.top_level(), "the tree is high enough for every page number");
  std::unique_ptr<InnerNode> node = InnerNode::make(geometry_, old.level + 1, 0);
  if (node == nullptr) return failure(kNoMemory);
  node->promising.store(true, std::memory_order_relaxed);
  node->used = old.used;
  if (old.generation != 0) node->entries[0] = {.generation = old.generation, .used = old.used, .crc32c = old.crc32c};
  InnerNode* const top = node.release();
  top->adopt(0, std::unique_ptr<MapNode>(&old));
  top_.store(top, std::memory_order_release);
  return {};
}

Result<MapNode*> AllocationMap::child(InnerNode& parent, std::uint32_t at, bool make_it) noexcept {
  if (MapNode* const there = parent.child(at)) return there;
  const NodeEntry& entry = parent.entries[at];
  const unsigned level = parent.level - 1;
  const std::uint64_t index = (parent.index << geometry_.fan_shift()) + at;
  std::unique_ptr<MapNode> node;
  if (entry.generation != 0) {
    const auto loaded = load({.level = level,
                              .index = index,
                              .generation = entry.generation,
                              .crc32c = entry.crc32c,
                              .used = entry.used,
                              .high_water = recorded_high_water()});
    if (!loaded) {
      parent.skipped[at] = true;
      return failure(loaded.error());
    }
    parent.skipped[at] = false;
    node.reset(*loaded);
  } else {
    if (!make_it) return nullptr;
    node = make(level, index);
    if (node == nullptr) return failure(kNoMemory);
  }
  MapNode* const made = node.get();
  parent.adopt(at, std::move(node));
  // Whoever loads it need not be a search: those have passed it by, or would.
  if (made->promising.load(std::memory_order_relaxed)) promise(parent);
  return made;
}

Result<LeafNode*> AllocationMap::leaf(std::uint64_t page, bool make_it) noexcept {
  while (page >> geometry_.cover_shift(top().level) != 0) {
    if (!make_it) return nullptr;
    if (const auto grown = grow(); !grown) return failure(grown.error());
  }
  MapNode* node = &top();
  while (node->level != 0) {
    InnerNode& inner = static_cast<InnerNode&>(*node);
    const auto next = child(inner, place_of(page, inner.level), make_it);
    if (!next) return failure(next.error());
    if (*next == nullptr) return nullptr;
    node = *next;
  }
  return static_cast<LeafNode*>(node);
}

void AllocationMap::for_each_leaf(std::uint64_t begin, std::uint64_t end, FunctionRef<void(LeafNode&)> visit) noexcept {
  const auto walk = [&](const auto& self, MapNode& node) -> void {
    if (geometry_.begin(node.level, node.index) >= end || geometry_.end(node.level, node.index) <= begin) return;
    if (node.level == 0) return visit(static_cast<LeafNode&>(node));
    InnerNode& inner = static_cast<InnerNode&>(node);
    for (std::uint32_t at = 0; at < inner.children(); ++at) {
      if (MapNode* const below = inner.child(at)) self(self, *below);
    }
  };
  walk(walk, top());
}

// ---- what changed

void AllocationMap::raise_high_water(std::uint64_t page) noexcept { raise_to(high_water_, page); }

void AllocationMap::set_dirty(LeafNode& leaf) noexcept {
  // Who finds the flag set goes away, and may sync: whoever wants the list waits until the leaf is on it.
  listing_.fetch_add(1, std::memory_order_seq_cst);
  if (!leaf.dirty.exchange(true, std::memory_order_seq_cst)) push_dirty(leaf);
  listing_.fetch_sub(1, std::memory_order_seq_cst);
}

void AllocationMap::push_dirty(LeafNode& leaf) noexcept {
  LeafNode* head = dirty_.load(std::memory_order_relaxed);
  do {
    leaf.next_dirty = head;
  } while (!dirty_.compare_exchange_strong(head, &leaf, std::memory_order_seq_cst));
}

}  // namespace pagedb::detail
