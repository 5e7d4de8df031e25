// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// AllocationMap: the allocation map of a file in memory, as much of it as was needed so far.
//
//   top ──► inner nodes ──► leaves: two bits a page       found without a lock, changed by compare-and-swap
//                            │
//   lanes ── each has a chunk of 512 pages to give out from, so that tasks that allocate do not meet
//
//   0 ............. frontier ............. end
//   chunks in use,  chunks that nobody     pages that the user or the page size rules out
//   or open         has ever had
//
// An *open* chunk may have something available and belongs to no lane. What goes beyond changing a page's state
// (loading a node, growing the tree, giving a lane a chunk, taking a snapshot) happens under the map's turn, for which
// tasks wait in line. A node is loaded once, and stays.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "engine/aligned_buffer.h"
#include "engine/alloc/allocation_store.h"
#include "engine/alloc/node.h"
#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/internal/hand_out.h"

namespace pagedb::detail {

/// See the head of this file. Pages are plain integers here; reserved ones never come out, and never come in.
class AllocationMap {
 public:
  /// `end`: no page from here on is given out.
  AllocationMap(AllocationStore& store, std::uint64_t end) noexcept;
  ~AllocationMap();
  AllocationMap(const AllocationMap&) = delete;
  AllocationMap& operator=(const AllocationMap&) = delete;

  /// Reads the root. Nothing else is read before it is needed.
  [[nodiscard]] Result<void> open() noexcept;

  [[nodiscard]] const MapGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] AllocationStore& store() noexcept { return store_; }
  [[nodiscard]] std::uint64_t end() const noexcept { return end_; }

  // ---- without the turn

  /// The leaf of page `page`; null when it is not in memory.
  [[nodiscard]] LeafNode* find(std::uint64_t page) const noexcept {
    MapNode* node = top_.load(std::memory_order_acquire);
    if (page >> geometry_.cover_shift(node->level) != 0) return nullptr;
    while (node->level != 0) {
      const InnerNode* inner = static_cast<const InnerNode*>(node);
      node = inner->child(place_of(page, inner->level));
      if (node == nullptr) return nullptr;
    }
    return static_cast<LeafNode*>(node);
  }

  /// Takes a page out of the chunk of lane `task`; `kNone`: it has none left.
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  [[nodiscard]] std::uint64_t take(TaskId task) noexcept { return take(lane_of(task)); }

  /// Takes an available page of word `at`, not below bit `from`; kNone when there is none.
  [[nodiscard]] std::uint64_t take_in(LeafNode& leaf, std::uint32_t at,
                                      std::uint64_t wanted = page_states::kLow) noexcept {
    sync::Atomic<std::uint64_t>& word = leaf.word(at);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (const std::uint64_t available = page_states::available(seen) & wanted) {
      const unsigned bit = static_cast<unsigned>(std::countr_zero(available));
      if (word.compare_exchange_strong(seen, seen | page_states::kAllocated << bit, std::memory_order_seq_cst)) {
        changed(leaf);
        return page_of(leaf, at) + bit / 2;
      }
    }
    return kNone;
  }

  /// Takes note that a word of `leaf` was changed. To be called after the change.
  void changed(LeafNode& leaf) noexcept {
    // The snapshot clears the flag before it reads the words: who finds it set was early enough.
    if (!leaf.dirty.load(std::memory_order_seq_cst)) [[unlikely]]
      set_dirty(leaf);
  }

  /// Something in word `at` of `leaf` became available.
  void reopen(LeafNode& leaf, std::uint32_t at) noexcept;

  /// Task `task` made something in word `at` of `leaf` available. It goes on there; what its lane had before is open.
  void freed(TaskId task, LeafNode& leaf, std::uint32_t at) noexcept {
    Lane& lane = lane_of(task);
    LeafNode* const before = lane.leaf.load(std::memory_order_relaxed);
    const std::uint32_t word = lane.word.load(std::memory_order_relaxed);
    if (before == &leaf && word < end_of_chunk(at) && at < end_of_chunk(word)) {
      if (at < word) lane.word.store(at, std::memory_order_relaxed);
      return;
    }
    give(lane, leaf, at);
    if (before == nullptr) return;
    std::uint64_t available = 0;  // without branches: which words have some is as good as random
    for (std::uint32_t left = end_of_chunk(word) - LeafNode::kWordsPerChunk; left < end_of_chunk(word); ++left)
      available |= page_states::available(before->word(left).load(std::memory_order_relaxed));
    if (available != 0) reopen(*before, word);
  }

  /// First page of word `at` of `leaf`.
  [[nodiscard]] std::uint64_t page_of(const LeafNode& leaf, std::uint32_t at) const noexcept {
    return (leaf.index << geometry_.region_shift()) + std::uint64_t{at} * page_states::kPagesPerWord;
  }
  [[nodiscard]] std::uint32_t word_of(std::uint64_t page) const noexcept {
    return static_cast<std::uint32_t>((page & (geometry_.region_pages() - 1)) / page_states::kPagesPerWord);
  }
  /// No chunk from here on was ever in use.
  [[nodiscard]] std::uint64_t frontier() const noexcept { return frontier_.load(std::memory_order_acquire); }
  /// The map's high water is at least `page`.
  void raise_high_water(std::uint64_t page) noexcept;

  // ---- with the turn

  struct TurnToken {
    TurnToken* next_idle = nullptr;
  };
  /// Holds the map's turn for a scope. Waits for it in line.
  class Turn {
   public:
    explicit Turn(AllocationMap& map) noexcept : map_(map), token_(map.turn_.take(sync::kPausesBeforePark)) {}
    ~Turn() { map_.turn_.give(token_); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    AllocationMap& map_;
    TurnToken& token_;
  };

  /// The leaf of page `page`, read if need be. Where there is none: made if `make`, else null.
  [[nodiscard]] Result<LeafNode*> leaf(std::uint64_t page, bool make) noexcept;
  /// Gives the lane of `task` a chunk in which something may be available. Errors: no_free_page; out_of_memory; those
  /// of reading a node when nothing else is left.
  [[nodiscard]] Result<void> refill(TaskId task) noexcept;
  /// Takes `count` pages in a row; as refill.
  [[nodiscard]] Result<std::uint64_t> take_run(std::uint64_t count) noexcept;
  /// Brings the frontier to page `page` or past it. What lies before it is open then.
  void advance_frontier(std::uint64_t page) noexcept;
  /// Calls `visit` for each leaf in memory that has pages in [begin, end), in order.
  void for_each_leaf(std::uint64_t begin, std::uint64_t end, FunctionRef<void(LeafNode&)> visit) noexcept;
  /// One past the last page that is allocated. Reads what it takes.
  [[nodiscard]] Result<std::uint64_t> end_of_use() noexcept;
  /// The first page from `page` on that is allocated; kNone: none. Reads what it takes.
  [[nodiscard]] Result<std::uint64_t> next_allocated(std::uint64_t page) noexcept;
  /// One past the last page that was ever allocated since the file was made or last shrunk.
  [[nodiscard]] std::uint64_t high_water() noexcept;
  /// Pages that are allocated.
  [[nodiscard]] std::uint64_t used() noexcept;
  [[nodiscard]] std::size_t memory_bytes() noexcept;
  /// Takes back, from every lane, the chunks from the frontier on, after it went down to `frontier`.
  void lower_frontier(std::uint64_t frontier) noexcept;

  // ---- the committer's, with the turn

  [[nodiscard]] MapNode& top() noexcept { return *top_.load(std::memory_order_acquire); }
  /// The root of the last committed tree; null: there is none.
  [[nodiscard]] MapNode* disk_root() noexcept { return disk_root_; }
  void set_disk_root(MapNode& root) noexcept { disk_root_ = &root; }
  /// The leaves that changed since they were last taken, linked by next_dirty. They stay on the list.
  [[nodiscard]] LeafNode* dirty_leaves() const noexcept {
    await_listing();
    return dirty_.load(std::memory_order_seq_cst);
  }
  [[nodiscard]] bool is_dirty() const noexcept {
    return listing_.load(std::memory_order_seq_cst) != 0 || dirty_.load(std::memory_order_seq_cst) != nullptr;
  }
  /// The same, and empties the list. Their flags stay set, and with it the links, until the caller clears them.
  [[nodiscard]] LeafNode* take_dirty_leaves() noexcept {
    await_listing();
    return dirty_.exchange(nullptr, std::memory_order_seq_cst);
  }
  /// Puts a leaf back whose flag is still set.
  void push_dirty(LeafNode& leaf) noexcept;
  /// Puts a leaf on it that is not on it.
  void set_dirty(LeafNode& leaf) noexcept;
  /// What users cannot have of the 64 pages of words `at` and `at + 1`, `at` being even.
  [[nodiscard]] std::uint64_t forbidden(const LeafNode& leaf, std::uint32_t at) const noexcept {
    return forbidden_pages(geometry_, page_of(leaf, at), geometry_.page_limit());
  }
  /// The low bits of the pages of word `at` that lie at or past the end. Those that nobody has stay `committing` for
  /// good, so they are never given out; who had one before there was an end keeps it.
  [[nodiscard]] std::uint64_t past_end(const LeafNode& leaf, std::uint32_t at) const noexcept {
    const std::uint64_t first = page_of(leaf, at);
    if (first >= end_) return page_states::kLow;
    return end_ - first < page_states::kPagesPerWord ? page_states::kLow << 2 * (end_ - first) : 0;
  }
  [[nodiscard]] std::uint64_t recorded_high_water() const noexcept {
    return high_water_.load(std::memory_order_acquire);
  }
  void set_high_water(std::uint64_t page) noexcept { high_water_.store(page, std::memory_order_release); }

 private:
  static constexpr std::size_t kLanes = 16;
  // Leaves that a search for a run looks into before it takes the run from the frontier.
  static constexpr unsigned kRunLeaves = 16;

  /// Where some tasks allocate. Only a hint: two tasks of a lane may see a leaf of one and a word of the other chunk.
  /// On cache lines of its own, and on the one that is fetched with it.
  struct alignas(128) Lane {
    sync::Atomic<LeafNode*> leaf{nullptr};
    sync::Atomic<std::uint32_t> word{0};
  };

  [[nodiscard]] Lane& lane_of(TaskId task) noexcept {
    // The low halves of ids differ, and mostly follow each other: the golden ratio keeps those apart.
    return lanes_[static_cast<std::uint32_t>(task.value) * 0x9E3779B9u >> 28];
  }
  [[nodiscard]] static constexpr std::uint32_t end_of_chunk(std::uint32_t word) noexcept {
    return (word | (LeafNode::kWordsPerChunk - 1)) + 1;
  }
  [[nodiscard]] std::uint64_t take(Lane& lane) noexcept {
    LeafNode* const leaf = lane.leaf.load(std::memory_order_acquire);
    if (leaf == nullptr) return kNone;
    const std::uint32_t begin = lane.word.load(std::memory_order_relaxed);
    for (std::uint32_t at = begin; at < end_of_chunk(begin); ++at) {
      const std::uint64_t page = take_in(*leaf, at);
      if (page == kNone) continue;
      if (at != begin) lane.word.store(at, std::memory_order_relaxed);
      return page;
    }
    return kNone;
  }
  /// Waits until every leaf whose flag was set before is on the list.
  void await_listing() const noexcept {
    for (unsigned attempt = 0; listing_.load(std::memory_order_seq_cst) != 0; ++attempt)
      store_.scheduler().relax(attempt);
  }
  [[nodiscard]] std::uint32_t place_of(std::uint64_t page, unsigned level) const noexcept {
    return static_cast<std::uint32_t>(page >> geometry_.cover_shift(level - 1)) & (geometry_.children() - 1);
  }

  [[nodiscard]] Result<void> grow() noexcept;
  [[nodiscard]] Result<MapNode*> load(const NodeExpectation& expected) noexcept;
  /// The child in place `at` of `parent`, read or made if need be.
  [[nodiscard]] Result<MapNode*> child(InnerNode& parent, std::uint32_t at, bool make) noexcept;
  [[nodiscard]] std::unique_ptr<MapNode> make(unsigned level, std::uint64_t index) noexcept;
  void fill(LeafNode& leaf, std::span<const std::byte> bitmap) noexcept;
  void open_chunks(LeafNode& leaf, std::uint64_t begin, std::uint64_t end) noexcept;
  /// Whether a child that is not in memory has something available.
  [[nodiscard]] bool has_room(const InnerNode& parent, std::uint32_t at, std::uint64_t pages) const noexcept;
  /// An open chunk below `node`, taken off; null when none is found. `error` gets what stood in the way.
  [[nodiscard]] LeafNode* find_open(MapNode& node, std::uint32_t& chunk, Result<void>& error) noexcept;
  /// Looks at everything in memory again, whatever flags say. True: something is open now.
  [[nodiscard]] bool sweep() noexcept;
  /// Lets searches look below `from` again.
  static void promise(MapNode& from) noexcept;
  /// Forgets which nodes below `node` could not be read. False: there are none.
  [[nodiscard]] bool try_skipped_again(MapNode& node) noexcept;
  /// One past the last page below the first node on the way to `page` that is not in memory.
  [[nodiscard]] std::uint64_t end_of_unread(std::uint64_t page) noexcept;
  static void give(Lane& lane, LeafNode& leaf, std::uint32_t word) noexcept {
    lane.leaf.store(&leaf, std::memory_order_release);
    lane.word.store(word, std::memory_order_relaxed);
  }
  [[nodiscard]] Result<bool> extend(Lane& lane) noexcept;
  [[nodiscard]] Result<std::uint64_t> end_of_use(MapNode& node) noexcept;
  [[nodiscard]] Result<std::uint64_t> next_allocated(MapNode& node, std::uint64_t page) noexcept;
  [[nodiscard]] std::uint64_t used_of(LeafNode& leaf) noexcept;
  /// One past the last page of `leaf` that is allocated, or freed since the last snapshot if `freed` says so; its first
  /// page when there is none.
  [[nodiscard]] std::uint64_t end_of_use(LeafNode& leaf, bool freed) noexcept;
  [[nodiscard]] std::uint64_t take_run_in(LeafNode& leaf, std::uint64_t count) noexcept;
  [[nodiscard]] bool claim_run(LeafNode& leaf, std::uint64_t first, std::uint64_t count) noexcept;
  [[nodiscard]] Result<std::uint64_t> take_run_below(MapNode& node, std::uint64_t count, unsigned& leaves) noexcept;

  AllocationStore& store_;
  const MapGeometry geometry_;
  const std::uint64_t end_;
  sync::Atomic<MapNode*> top_{nullptr};
  MapNode* disk_root_ = nullptr;
  sync::Atomic<std::uint64_t> frontier_{0};
  sync::Atomic<std::uint64_t> high_water_{0};
  sync::Atomic<LeafNode*> dirty_{nullptr};
  sync::Atomic<std::uint32_t> listing_{0};  // tasks between a leaf's flag and the list
  std::array<Lane, kLanes> lanes_{};
  HandOut<TurnToken> turn_;
  TurnToken token_;
  AlignedBuffer page_;  // to read nodes into; the turn's
};

}  // namespace pagedb::detail
