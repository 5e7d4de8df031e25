// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The tree in memory: reading, making and growing it, and finding room in it.
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
    for (const unsigned half : {0u, 1u}) leaf->word(at + half).store(states_of(hidden, half), std::memory_order_relaxed);
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

// ---- what is open

void AllocationMap::open_chunks(LeafNode& leaf, std::uint64_t begin, std::uint64_t end) noexcept {
  const std::uint64_t first = page_of(leaf, 0);
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
  if ((word.load(std::memory_order_seq_cst) & bit) != 0) return;
  word.fetch_or(bit, std::memory_order_seq_cst);
  // A search clears the flag of a node before it looks below: see find_open.
  for (MapNode* node = &leaf; node != nullptr; node = node->parent.load(std::memory_order_acquire)) {
    if (!node->promising.load(std::memory_order_seq_cst)) node->promising.store(true, std::memory_order_seq_cst);
  }
}

void AllocationMap::advance_frontier(std::uint64_t page) noexcept {
  constexpr std::uint64_t kChunk = LeafNode::kChunkPages;
  const std::uint64_t from = frontier();
  const std::uint64_t to = (page + kChunk - 1) / kChunk * kChunk;
  if (to <= from) return;
  for_each_leaf(from, to, [&](LeafNode& leaf) {
    open_chunks(leaf, from, to);
    for (MapNode* node = &leaf; node != nullptr; node = node->parent.load(std::memory_order_acquire))
      node->promising.store(true, std::memory_order_seq_cst);
  });
  frontier_.store(to, std::memory_order_release);
  // What is not in memory yet is found from the top.
  for (MapNode* node = &top(); node->level != 0;) {
    node->promising.store(true, std::memory_order_seq_cst);
    InnerNode& inner = static_cast<InnerNode&>(*node);
    MapNode* const below = inner.child(place_of(to - 1, inner.level));
    if (below == nullptr) break;
    node = below;
  }
}

void AllocationMap::lower_frontier(std::uint64_t frontier) noexcept {
  frontier_.store(frontier, std::memory_order_release);
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
  const std::uint64_t end = std::min({geometry_.end(level, index), frontier(), end_});
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
  const std::uint64_t until = frontier();
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
    // Nothing can be given out in a region whose leaf cannot be read.
    if (there.error().code != ErrorCode::out_of_memory)
      advance_frontier(std::min(geometry_.end(0, page >> geometry_.region_shift()), end_));
    return failure(there.error());
  }
  lane.leaf.store(*there, std::memory_order_release);
  lane.word.store(word_of(page), std::memory_order_relaxed);
  frontier_.store(page + LeafNode::kChunkPages, std::memory_order_release);
  return true;
}

Result<void> AllocationMap::refill(TaskId task) noexcept {
  Lane& lane = lane_of(task);
  Result<void> error;
  std::uint32_t chunk = 0;
  if (top().promising.load(std::memory_order_seq_cst)) {
    if (LeafNode* const leaf = find_open(top(), chunk, error)) {
      lane.leaf.store(leaf, std::memory_order_release);
      lane.word.store(chunk * LeafNode::kWordsPerChunk, std::memory_order_relaxed);
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
      from = geometry_.end(0, region);
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

// ---- counting

void AllocationMap::raise_high_water(std::uint64_t page) noexcept { raise_to(high_water_, page); }

void AllocationMap::set_dirty(LeafNode& leaf) noexcept {
  if (!leaf.dirty.exchange(true, std::memory_order_seq_cst)) push_dirty(leaf);
}

void AllocationMap::push_dirty(LeafNode& leaf) noexcept {
  LeafNode* head = dirty_.load(std::memory_order_relaxed);
  do {
    leaf.next_dirty = head;
  } while (!dirty_.compare_exchange_strong(head, &leaf, std::memory_order_seq_cst));
}

std::uint64_t AllocationMap::used_of(LeafNode& leaf) noexcept {
  std::uint64_t count = 0;
  for (std::uint32_t at = 0; at < leaf.words(); ++at) {
    const std::uint64_t word = leaf.word(at).load(std::memory_order_relaxed);
    if (word != 0) count += static_cast<unsigned>(std::popcount(states::allocated(word)));
  }
  for (std::uint32_t at = 0; at < leaf.words(); at += 2) count -= static_cast<unsigned>(std::popcount(forbidden(leaf, at)));
  return count;
}

std::uint64_t AllocationMap::used() noexcept {
  std::uint64_t count = top().used;
  for (LeafNode* leaf = dirty_leaves(); leaf != nullptr; leaf = leaf->next_dirty) count += used_of(*leaf) - leaf->used;
  return count;
}

std::uint64_t AllocationMap::end_of_use(LeafNode& leaf, bool waiting) noexcept {
  for (std::uint32_t at = leaf.words(); at > 0; at -= 2) {
    const std::uint64_t hidden = forbidden(leaf, at - 2);
    std::uint64_t bits = 0;
    for (const unsigned half : {0u, 1u}) {
      const std::uint64_t word = leaf.word(at - 2 + half).load(std::memory_order_relaxed);
      const std::uint64_t in_use = waiting ? (word | word >> 1) & states::kLow : states::allocated(word);
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

Result<std::uint64_t> AllocationMap::end_of_use(bool waiting) noexcept { return end_of_use(top(), waiting); }

Result<std::uint64_t> AllocationMap::end_of_use(MapNode& node, bool waiting) noexcept {
  if (node.level == 0) {
    LeafNode& leaf = static_cast<LeafNode&>(node);
    const std::uint64_t end = end_of_use(leaf, waiting);
    return end == page_of(leaf, 0) ? 0 : end;
  }
  InnerNode& inner = static_cast<InnerNode&>(node);
  for (std::uint32_t at = inner.children(); at-- > 0;) {
    if (inner.child(at) == nullptr && inner.entries[at].generation == 0) continue;
    const auto below = child(inner, at, false);
    if (!below) return failure(below.error());
    const auto end = end_of_use(**below, waiting);
    if (!end || *end != 0) return end;
  }
  return 0;
}

Result<std::uint64_t> AllocationMap::next_allocated(std::uint64_t page) noexcept {
  if (page >= end_) return kNone;
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
      std::uint64_t bits = states::compress(states::allocated(low)) |
                           std::uint64_t{states::compress(states::allocated(high))} << 32;
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
