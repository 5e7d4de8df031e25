// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Finding room in the tree: which chunks are open, whose they become, and runs.
#include <algorithm>
#include <bit>

#include "engine/alloc/allocation_map.h"

namespace pagedb::detail {

namespace states = page_states;

// ---- what is open

void AllocationMap::open_chunks(LeafNode& leaf, std::uint64_t begin, std::uint64_t end) noexcept {
  const std::uint64_t first = page_of(leaf, 0);
  end = std::min(end, end_);
  bool any = false;
  for (std::uint32_t chunk = 0; chunk < leaf.chunks(); ++chunk) {
    const std::uint64_t page = first + std::uint64_t{chunk} * LeafNode::kChunkPages;
    if (page < begin || page >= end) continue;
    leaf.open_word(chunk / 64).fetch_or(std::uint64_t{1} << chunk % 64, std::memory_order_seq_cst);
    any = true;
  }
  if (any) leaf.promising.store(true, std::memory_order_seq_cst);
}

void AllocationMap::reopen(LeafNode& leaf, std::uint32_t at) noexcept {
  const std::uint32_t chunk = at / LeafNode::kWordsPerChunk;
  sync::Atomic<std::uint64_t>& word = leaf.open_word(chunk / 64);
  const std::uint64_t bit = std::uint64_t{1} << chunk % 64;
  // It may be set and nobody looking: a leaf that was just loaded is open as a whole, below nodes that found it full.
  if ((word.load(std::memory_order_seq_cst) & bit) == 0) word.fetch_or(bit, std::memory_order_seq_cst);
  // A search clears the flag of a node before it looks below: see find_open.
  promise(leaf);
}

void AllocationMap::advance_frontier(std::uint64_t page) noexcept {
  constexpr std::uint64_t kChunk = LeafNode::kChunkPages;
  const std::uint64_t from = frontier();
  const std::uint64_t to = (page + kChunk - 1) / kChunk * kChunk;
  if (to <= from) return;
  frontier_.store(to, std::memory_order_release);
  // What is not in memory yet is found from the nodes above it.
  const auto open = [&](const auto& self, MapNode& node) -> void {
    if (geometry_.begin(node.level, node.index) >= to || geometry_.end(node.level, node.index) <= from) return;
    node.promising.store(true, std::memory_order_seq_cst);
    if (node.level == 0) return open_chunks(static_cast<LeafNode&>(node), from, to);
    InnerNode& inner = static_cast<InnerNode&>(node);
    for (std::uint32_t at = 0; at < inner.children(); ++at) {
      if (MapNode* const below = inner.child(at)) self(self, *below);
    }
  };
  open(open, top());
}

void AllocationMap::lower_frontier(std::uint64_t frontier) noexcept {
  frontier_.store(frontier, std::memory_order_release);
  // A chunk that stayed open would be given out before the pages between.
  for_each_leaf(frontier, geometry_.page_limit(), [&](LeafNode& leaf) {
    for (std::uint32_t chunk = 0; chunk < leaf.chunks(); ++chunk) {
      if (page_of(leaf, chunk * LeafNode::kWordsPerChunk) >= frontier)
        leaf.open_word(chunk / 64).fetch_and(~(std::uint64_t{1} << chunk % 64), std::memory_order_seq_cst);
    }
  });
  for (Lane& lane : lanes_) {
    LeafNode* const leaf = lane.leaf.load(std::memory_order_acquire);
    if (leaf != nullptr && page_of(*leaf, lane.word.load(std::memory_order_relaxed)) >= frontier)
      lane.leaf.store(nullptr, std::memory_order_release);
  }
}

bool AllocationMap::has_room(const InnerNode& parent, std::uint32_t at, std::uint64_t pages) const noexcept {
  const unsigned level = parent.level - 1;
  const std::uint64_t index = (parent.index << geometry_.fan_shift()) + at;
  const std::uint64_t begin = geometry_.begin(level, index);
  if (begin >= end_) return false;
  // Not cut off at the end: what is allocated past it is counted too.
  const std::uint64_t end = std::min(geometry_.end(level, index), frontier());
  return !parent.skipped[at] && parent.entries[at].used + pages <= geometry_.usable(begin, std::max(begin, end));
}

LeafNode* AllocationMap::find_open(MapNode& node, std::uint32_t& chunk, Result<void>& error) noexcept {
  // Cleared first: what becomes available from here on sets it again.
  node.promising.store(false, std::memory_order_seq_cst);
  if (node.level == 0) {
    LeafNode& leaf = static_cast<LeafNode&>(node);
    for (std::uint32_t at = 0; at < leaf.open_words(); ++at) {
      const std::uint64_t open = leaf.open_word(at).load(std::memory_order_seq_cst);
      if (open == 0) continue;
      const unsigned bit = static_cast<unsigned>(std::countr_zero(open));
      leaf.open_word(at).fetch_and(~(std::uint64_t{1} << bit), std::memory_order_seq_cst);
      leaf.promising.store(true, std::memory_order_seq_cst);
      chunk = at * 64 + bit;
      return &leaf;
    }
    return nullptr;
  }
  InnerNode& inner = static_cast<InnerNode&>(node);
  const std::uint64_t until = std::min(frontier(), end_);
  for (std::uint32_t at = 0; at < inner.children(); ++at) {
    if (geometry_.begin(inner.level - 1, (inner.index << geometry_.fan_shift()) + at) >= until) break;
    MapNode* below = inner.child(at);
    if (below == nullptr) {
      if (!has_room(inner, at, 1)) continue;
      const auto loaded = child(inner, at, true);
      if (!loaded) {
        error = failure(loaded.error());
        continue;
      }
      below = *loaded;
    } else if (!below->promising.load(std::memory_order_seq_cst)) {
      continue;
    }
    if (LeafNode* const leaf = find_open(*below, chunk, error)) {
      node.promising.store(true, std::memory_order_seq_cst);
      return leaf;
    }
  }
  return nullptr;
}

void AllocationMap::promise(MapNode& from) noexcept {
  for (MapNode* node = &from; node != nullptr; node = node->parent.load(std::memory_order_acquire)) {
    if (!node->promising.load(std::memory_order_seq_cst)) node->promising.store(true, std::memory_order_seq_cst);
  }
}

bool AllocationMap::try_skipped_again(MapNode& node) noexcept {
  if (node.level == 0) return false;
  InnerNode& inner = static_cast<InnerNode&>(node);
  bool any = false;
  for (std::uint32_t at = 0; at < inner.children(); ++at) {
    if (MapNode* const below = inner.child(at)) {
      any |= try_skipped_again(*below);
    } else if (inner.skipped[at]) {
      inner.skipped[at] = false;
      promise(inner);
      any = true;
    }
  }
  return any;
}

std::uint64_t AllocationMap::end_of_unread(std::uint64_t page) noexcept {
  const MapNode* node = &top();
  while (node->level != 0) {
    const unsigned level = node->level - 1;
    const MapNode* const below = static_cast<const InnerNode*>(node)->child(place_of(page, node->level));
    if (below == nullptr) return geometry_.end(level, page >> geometry_.cover_shift(level));
    node = below;
  }
  return geometry_.end(0, page >> geometry_.region_shift());
}

bool AllocationMap::sweep() noexcept {
  bool any = false;
  for_each_leaf(0, frontier(), [&](LeafNode& leaf) {
    for (std::uint32_t at = 0; at < leaf.words() && page_of(leaf, at) < frontier(); ++at) {
      if (states::available(leaf.word(at).load(std::memory_order_seq_cst)) == 0) continue;
      reopen(leaf, at);
      any = true;
    }
  });
  return any;
}

// ---- giving pages out

Result<bool> AllocationMap::extend(Lane& lane) noexcept {
  const std::uint64_t page = frontier();
  if (page >= end_) return false;
  const auto there = leaf(page, true);
  if (!there) {
    // Nothing can be given out below a node that cannot be read.
    if (there.error().code != ErrorCode::out_of_memory) advance_frontier(std::min(end_of_unread(page), end_));
    return failure(there.error());
  }
  give(lane, **there, word_of(page));
  frontier_.store(page + LeafNode::kChunkPages, std::memory_order_release);
  return true;
}

Result<void> AllocationMap::refill(TaskId task) noexcept {
  Lane& lane = lane_of(task);
  Result<void> error;
  std::uint32_t chunk = 0;
  if (top().promising.load(std::memory_order_seq_cst)) {
    if (LeafNode* const leaf = find_open(top(), chunk, error)) {
      give(lane, *leaf, chunk * LeafNode::kWordsPerChunk);
      return {};
    }
  }
  while (frontier() < end_) {
    const auto extended = extend(lane);
    if (extended) return {};
    error = failure(extended.error());
    if (extended.error().code == ErrorCode::out_of_memory) return error;
  }
  // The last pages may be those of a lane whose task went away.
  if (sweep()) return {};
  // What could not be read before is all that is left: the device may have recovered, and if not that is the reason.
  if (error && try_skipped_again(top())) {
    if (LeafNode* const leaf = find_open(top(), chunk, error)) {
      give(lane, *leaf, chunk * LeafNode::kWordsPerChunk);
      return {};
    }
  }
  if (!error) return error;
  return failure(PageError{.code = ErrorCode::no_free_page, .actual = end_});
}

bool AllocationMap::claim_run(LeafNode& leaf, std::uint64_t first, std::uint64_t count) noexcept {
  const auto mask_of = [&](std::uint64_t page, std::uint64_t pages) {
    const unsigned bit = static_cast<unsigned>(page % states::kPagesPerWord) * 2;
    const std::uint64_t ones = pages == states::kPagesPerWord ? ~std::uint64_t{0} : (std::uint64_t{1} << 2 * pages) - 1;
    return ones << bit;
  };
  std::uint64_t taken = 0;
  while (taken < count) {
    const std::uint64_t page = first + taken;
    const std::uint64_t pages =
        std::min<std::uint64_t>(count - taken, states::kPagesPerWord - page % states::kPagesPerWord);
    const std::uint64_t mask = mask_of(page, pages);
    sync::Atomic<std::uint64_t>& word = leaf.word(word_of(page));
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while ((seen & mask) == 0 && !word.compare_exchange_strong(seen, seen | mask, std::memory_order_seq_cst)) {
    }
    if ((seen & mask) != 0) break;
    taken += pages;
  }
  if (taken == count) {
    changed(leaf);
    return true;
  }
  // Somebody was quicker: give back what was taken.
  for (std::uint64_t back = 0; back < taken;) {
    const std::uint64_t page = first + back;
    const std::uint64_t pages =
        std::min<std::uint64_t>(taken - back, states::kPagesPerWord - page % states::kPagesPerWord);
    leaf.word(word_of(page)).fetch_and(~mask_of(page, pages), std::memory_order_seq_cst);
    reopen(leaf, word_of(page));
    back += pages;
  }
  return false;
}

std::uint64_t AllocationMap::take_run_in(LeafNode& leaf, std::uint64_t count) noexcept {
  const std::uint64_t until = std::min(frontier(), end_);
  std::uint64_t run = 0;
  for (std::uint32_t at = 0; at < leaf.words() && page_of(leaf, at) < until; ++at) {
    const std::uint32_t available = states::compress(states::available(leaf.word(at).load(std::memory_order_relaxed)));
    if (available == ~std::uint32_t{0} && run + states::kPagesPerWord < count) {
      run += states::kPagesPerWord;
      continue;
    }
    if (available == 0) {
      run = 0;
      continue;
    }
    for (unsigned page = 0; page < states::kPagesPerWord; ++page) {
      run = (available >> page & 1) != 0 ? run + 1 : 0;
      if (run < count) continue;
      const std::uint64_t first = page_of(leaf, at) + page + 1 - count;
      if (claim_run(leaf, first, count)) return first;
      run = 0;
    }
  }
  return kNone;
}

Result<std::uint64_t> AllocationMap::take_run_below(MapNode& node, std::uint64_t count, unsigned& leaves) noexcept {
  if (node.level == 0) {
    ++leaves;
    return take_run_in(static_cast<LeafNode&>(node), count);
  }
  InnerNode& inner = static_cast<InnerNode&>(node);
  for (std::uint32_t at = 0; at < inner.children() && leaves < kRunLeaves; ++at) {
    if (geometry_.begin(inner.level - 1, (inner.index << geometry_.fan_shift()) + at) >= frontier()) break;
    MapNode* below = inner.child(at);
    if (below == nullptr) {
      if (!has_room(inner, at, count)) continue;
      const auto loaded = child(inner, at, true);
      if (!loaded && loaded.error().code == ErrorCode::out_of_memory) return failure(loaded.error());
      if (!loaded) continue;
      below = *loaded;
    }
    const auto found = take_run_below(*below, count, leaves);
    if (!found || *found != kNone) return found;
  }
  return kNone;
}

Result<std::uint64_t> AllocationMap::take_run(std::uint64_t count) noexcept {
  unsigned leaves = 0;
  if (const auto found = take_run_below(top(), count, leaves); !found || *found != kNone) return found;
  // From the frontier, in its region or a later one. A run may end past the frontier but never starts with a page
  // before it: those were all looked at above.
  Result<void> error;
  for (std::uint64_t from = frontier(); from < end_;) {
    const std::uint64_t region = from >> geometry_.region_shift();
    const std::uint64_t zone = geometry_.zone(region), zone_end = zone + geometry_.zone_pages(region);
    while (geometry_.reserved(from)) ++from;  // no more than a zone
    // The twin and the page beside it stand before the zone of the first region.
    const bool before_zone = from < zone;
    const std::uint64_t until = std::min(before_zone ? zone - 2 : geometry_.end(0, region), end_);
    if (from >= until || until - from < count) {
      from = before_zone ? zone_end : geometry_.end(0, region);
      continue;
    }
    const auto there = leaf(from, true);
    if (!there) {
      if (there.error().code == ErrorCode::out_of_memory) return failure(there.error());
      error = failure(there.error());
      from = end_of_unread(from);
      continue;
    }
    const bool claimed = claim_run(**there, from, count);
    advance_frontier(from + count);
    if (claimed) return from;
    from = frontier();  // after shrinking, a lane may have held on to a chunk past the frontier
  }
  if (!error) return failure(error.error());
  return failure(PageError{.code = ErrorCode::no_free_page, .expected = count, .actual = end_});
}

}  // namespace pagedb::detail
