// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The nodes of an allocation map in memory. A leaf has two bits a page (page_states.h); a node above has its children,
// as far as they were needed, and what the disk says of the others.
//
// Who changes what: words and flags are changed by any task, by read-modify-write. Generations, entries and counts of
// nodes in memory are the committer's, those of nodes on disk whoever loads them, under the map's turn. Nodes live as
// long as their map.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

#include "engine/alloc/geometry.h"
#include "engine/alloc/node_page.h"
#include "engine/alloc/page_states.h"
#include "engine/sync.h"

namespace pagedb::detail {

class InnerNode;

/// What leaves and inner nodes share.
class MapNode {
 public:
  MapNode(unsigned node_level, std::uint64_t node_index) noexcept : level(node_level), index(node_index) {}
  virtual ~MapNode() = default;
  MapNode(const MapNode&) = delete;
  MapNode& operator=(const MapNode&) = delete;

  const unsigned level;
  const std::uint64_t index;
  sync::Atomic<InnerNode*> parent{nullptr};
  /// Whether a search should look here: something below may be available, in a chunk that no lane has.
  sync::Atomic<bool> promising{false};

  // The committer's.
  std::uint64_t generation = 0;  ///< of the version that the last committed tree refers to; 0: none
  std::uint64_t used = 0;        ///< pages below that are allocated, as of the last snapshot
  std::uint32_t crc32c = 0;      ///< of that version
  std::uint32_t new_crc32c = 0;  ///< of the version being committed
  MapNode* next_in_commit = nullptr;
  bool in_commit = false;
};

/// A region's bitmap.
class LeafNode final : public MapNode {
 public:
  /// Words that a lane takes hold of at once: two cache lines, because processors fetch lines in such pairs. With one,
  /// two threads in neighbouring chunks run at 1.3 to 1.5 times the rate of one, with two at 1.7 to 2.
  static constexpr unsigned kWordsPerChunk = 16;
  static constexpr unsigned kChunkPages = kWordsPerChunk * page_states::kPagesPerWord;

  /// A leaf with every page available. Null: no memory.
  [[nodiscard]] static std::unique_ptr<LeafNode> make(const MapGeometry& geometry, std::uint64_t index) noexcept {
    std::unique_ptr<LeafNode> leaf(new (std::nothrow) LeafNode(geometry, index));
    if (leaf == nullptr || leaf->chunks_ == nullptr || leaf->open_ == nullptr) return nullptr;
    return leaf;
  }

  [[nodiscard]] sync::Atomic<std::uint64_t>& word(std::uint32_t at) noexcept {
    return chunks_[at / kWordsPerChunk].words[at % kWordsPerChunk];
  }
  [[nodiscard]] std::uint32_t words() const noexcept { return words_; }
  [[nodiscard]] std::uint32_t chunks() const noexcept { return words_ / kWordsPerChunk; }
  /// A bit a chunk: something in it may be available, and no lane has it.
  [[nodiscard]] sync::Atomic<std::uint64_t>& open_word(std::uint32_t at) noexcept { return open_[at]; }
  [[nodiscard]] std::uint32_t open_words() const noexcept { return (chunks() + 63) / 64; }

  /// Whether it changed since its last snapshot.
  sync::Atomic<bool> dirty{false};
  LeafNode* next_dirty = nullptr;       // whoever sets `dirty` writes it
  LeafNode* next_committing = nullptr;  // the committer's
  bool has_committing = false;          // likewise

  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return sizeof *this + words_ * sizeof(std::uint64_t) + open_words() * sizeof(std::uint64_t);
  }

 private:
  LeafNode(const MapGeometry& geometry, std::uint64_t leaf_index) noexcept
      : MapNode(0, leaf_index),
        words_(static_cast<std::uint32_t>(geometry.region_pages() / page_states::kPagesPerWord)),
        chunks_(new(std::nothrow) Chunk[chunks()]),
        open_(new(std::nothrow) sync::Atomic<std::uint64_t>[open_words()]) {}

  struct alignas(128) Chunk {
    sync::Atomic<std::uint64_t> words[kWordsPerChunk]{};
  };
  std::uint32_t words_;
  std::unique_ptr<Chunk[]> chunks_;
  std::unique_ptr<sync::Atomic<std::uint64_t>[]> open_;
};

/// A node above the leaves.
class InnerNode final : public MapNode {
 public:
  /// A node without children. Null: no memory.
  [[nodiscard]] static std::unique_ptr<InnerNode> make(const MapGeometry& geometry, unsigned level,
                                                       std::uint64_t index) noexcept {
    std::unique_ptr<InnerNode> node(new (std::nothrow) InnerNode(geometry, level, index));
    if (node == nullptr || node->entries == nullptr || node->skipped == nullptr || node->children_ == nullptr)
      return nullptr;
    return node;
  }
  ~InnerNode() override {
    if (children_ == nullptr) return;
    for (std::uint32_t i = 0; i < count_; ++i) delete children_[i].load(std::memory_order_relaxed);
  }

  /// The child in place `at`; null: not in memory.
  [[nodiscard]] MapNode* child(std::uint32_t at) const noexcept {
    return children_[at].load(std::memory_order_acquire);
  }
  /// Takes `child` over.
  void adopt(std::uint32_t at, std::unique_ptr<MapNode> child) noexcept {
    child->parent.store(this, std::memory_order_release);
    children_[at].store(child.release(), std::memory_order_release);
  }
  [[nodiscard]] std::uint32_t children() const noexcept { return count_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return sizeof *this + count_ * (sizeof(MapNode*) + sizeof(NodeEntry) + sizeof(bool));
  }

  /// What stands on disk of each child.
  std::unique_ptr<NodeEntry[]> entries;
  /// Which children could not be read: a search passes them by.
  std::unique_ptr<bool[]> skipped;

 private:
  InnerNode(const MapGeometry& geometry, unsigned node_level, std::uint64_t node_index) noexcept
      : MapNode(node_level, node_index),
        entries(new(std::nothrow) NodeEntry[geometry.children()]),
        skipped(new(std::nothrow) bool[geometry.children()]()),
        count_(geometry.children()),
        children_(new(std::nothrow) sync::Atomic<MapNode*>[geometry.children()]) {}

  std::uint32_t count_;
  std::unique_ptr<sync::Atomic<MapNode*>[]> children_;
};

}  // namespace pagedb::detail
