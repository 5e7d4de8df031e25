// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Snapshots of an allocation map, and their way to the disk.
#include "engine/alloc/map_commit.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/check.h"
#include "engine/internal/raise_to.h"

namespace pagedb::detail {

namespace states = page_states;

void MapCommit::logged(Lsn lsn) noexcept { raise_to(logged_, lsn.value); }

// ---- the snapshot

void MapCommit::add(MapNode& node) noexcept {
  for (MapNode* at = &node; at != nullptr && !at->in_commit; at = at->parent.load(std::memory_order_acquire)) {
    at->in_commit = true;
    at->next_in_commit = nullptr;
    Level& level = levels_[at->level];
    *level.last = at;
    level.last = &at->next_in_commit;
  }
}

void MapCommit::snapshot(LeafNode& leaf, std::uint64_t* bits, std::uint64_t& end_of_use) noexcept {
  std::uint64_t used = 0;
  bool any_committing = false;
  for (std::uint32_t at = 0; at < leaf.words(); at += 2) {
    std::uint64_t allocated = 0, in_use = 0;
    for (const unsigned half : {0u, 1u}) {
      sync::Atomic<std::uint64_t>& word = leaf.word(at + half);
      std::uint64_t seen = word.load(std::memory_order_seq_cst);
      while (states::freed(seen) != 0 &&
             !word.compare_exchange_strong(seen, states::commit_freed(seen), std::memory_order_seq_cst)) {
      }
      // What was committing before was in use at an earlier snapshot, or is held only to be cut off.
      in_use |= std::uint64_t{states::compress(states::allocated(seen) | states::freed(seen))} << 32 * half;
      seen = states::commit_freed(seen);
      any_committing |= states::committing(seen) != 0;
      allocated |= std::uint64_t{states::compress(states::allocated(seen))} << 32 * half;
    }
    if (in_use != 0) {
      const std::uint64_t users = ~map_.forbidden(leaf, at);
      allocated &= users;
      in_use &= users;
      if (in_use != 0)
        end_of_use = std::max(end_of_use, map_.page_of(leaf, at) + static_cast<unsigned>(std::bit_width(in_use)));
    }
    bits[at / 2] = allocated;
    used += static_cast<unsigned>(std::popcount(allocated));
  }
  if (any_committing && !leaf.has_committing) {
    leaf.has_committing = true;
    leaf.next_committing = committing_;
    committing_ = &leaf;
  }
  const std::uint64_t more = used - leaf.used;  // modulo 2^64: it may be less than before
  for (MapNode* node = &leaf; node != nullptr; node = node->parent.load(std::memory_order_acquire)) node->used += more;
}

Result<void> MapCommit::take_snapshot() noexcept {
  const AllocationMap::Turn turn(map_);
  const std::size_t words = map_.geometry().region_pages() / 64;
  // Asked first: who asks now wants what it freed before to be in the snapshot.
  shrinking_ = shrink_asked_.exchange(false, std::memory_order_acq_rel);
  if (shrinking_) begin_shrinking();
  // A leaf that is or was the root is written with every commit, so its bits are needed whether it changed or not.
  if (LeafNode* const leaf = map_.find(0); leaf != nullptr && (leaf == &map_.top() || leaf == map_.disk_root()))
    map_.changed(*leaf);
  LeafNode* const list = map_.take_dirty_leaves();
  count_ = 0;
  for (LeafNode* leaf = list; leaf != nullptr; leaf = leaf->next_dirty) ++count_;
  snapshots_.reset(new (std::nothrow) Snapshot[count_]);
  bits_.reset(new (std::nothrow) std::uint64_t[count_ * words]);
  if (snapshots_ == nullptr || bits_ == nullptr) {
    for (LeafNode *leaf = list, *next; leaf != nullptr; leaf = next) {
      next = leaf->next_dirty;
      map_.push_dirty(*leaf);
    }
    if (shrinking_) shrink_asked_.store(true, std::memory_order_release);
    return failure(PageError{.code = ErrorCode::out_of_memory});
  }
  std::size_t at = 0;
  for (LeafNode* leaf = list; leaf != nullptr; leaf = leaf->next_dirty) snapshots_[at++].leaf = leaf;
  std::sort(snapshots_.get(), snapshots_.get() + count_,
            [](const Snapshot& a, const Snapshot& b) { return a.leaf->index < b.leaf->index; });

  high_water_ = map_.recorded_high_water();
  for (std::size_t i = 0; i < count_; ++i) {
    Snapshot& taken = snapshots_[i];
    taken.bits = bits_.get() + i * words;
    // Cleared before the words are read: see AllocationMap::changed.
    taken.leaf->dirty.exchange(false, std::memory_order_seq_cst);
    snapshot(*taken.leaf, taken.bits, high_water_);
    add(*taken.leaf);
  }
  map_.raise_high_water(high_water_);  // others may, too
  if (shrinking_ && cut_) hold_tail();
  root_ = &map_.top();
  add(*root_);
  // What was the root on disk says so there: see FORMAT.md, high water.
  if (map_.disk_root() != nullptr) add(*map_.disk_root());
  return {};
}

void MapCommit::begin_shrinking() noexcept {
  const auto in_use = map_.end_of_use();
  cut_ = in_use ? Result<void>() : Result<void>(failure(in_use.error()));
  if (!in_use) return;
  const MapGeometry& geometry = map_.geometry();
  tail_begin_ = *in_use == 0 ? 0 : geometry.begin(0, (*in_use - 1) >> geometry.region_shift());
  map_.for_each_leaf(tail_begin_, geometry.page_limit(), [&](LeafNode& leaf) {
    if (leaf.used != 0) map_.changed(leaf);
  });
}

void MapCommit::hold_tail() noexcept {
  // Where the tree that is being written ends. What is freed from now on does not move that.
  std::uint64_t end = tail_begin_;
  for (std::size_t i = 0; i < count_; ++i) {
    const Snapshot& taken = snapshots_[i];
    for (std::uint32_t at = taken.leaf->words() / 2; at-- > 0;) {
      if (taken.bits[at] == 0) continue;
      end = std::max(end, map_.page_of(*taken.leaf, 2 * at) + static_cast<unsigned>(std::bit_width(taken.bits[at])));
      break;
    }
  }
  // What somebody has taken since does. All other pages behind it, as far as they are given out without the turn, are
  // held now, or were freed: neither changes before this commit is over.
  high_water_ = tail_end_ = hold(end, map_.frontier());
  map_.set_high_water(tail_end_);
  constexpr std::uint64_t kChunk = LeafNode::kChunkPages;
  tail_frontier_ = std::min(map_.frontier(), (tail_end_ + kChunk - 1) / kChunk * kChunk);
  map_.lower_frontier(tail_frontier_);
  tail_held_ = true;
}

std::uint64_t MapCommit::hold(std::uint64_t end, std::uint64_t until) noexcept {
  map_.for_each_leaf(end, until, [&](LeafNode& leaf) {
    bool any = false;
    for (std::uint32_t at = 0; at < leaf.words(); ++at) {
      const std::uint64_t first = map_.page_of(leaf, at);
      if (first + states::kPagesPerWord <= end) continue;
      if (first >= until) break;
      std::uint64_t tail = states::kLow;
      if (first < end) tail <<= 2 * (end - first);
      sync::Atomic<std::uint64_t>& word = leaf.word(at);
      std::uint64_t seen = word.load(std::memory_order_seq_cst);
      while ((states::available(seen) & tail) != 0 &&
             !word.compare_exchange_strong(seen, seen | (states::available(seen) & tail) * states::kCommitting,
                                           std::memory_order_seq_cst)) {
      }
      any |= (states::available(seen) & tail) != 0;
      std::uint64_t taken = states::allocated(seen) & tail;
      if (taken == 0) continue;
      taken &= ~states::spread(static_cast<std::uint32_t>(map_.forbidden(leaf, at & ~1u) >> 32 * (at & 1)));
      if (taken != 0) end = first + (static_cast<unsigned>(std::bit_width(taken)) + 1) / 2;
    }
    if (!any || leaf.has_committing) return;
    leaf.has_committing = true;
    leaf.next_committing = committing_;
    committing_ = &leaf;
  });
  return end;
}

bool MapCommit::may_cut() noexcept {
  // Who needed more space meanwhile has moved the frontier, and may be writing there. Who has been on his way for so
  // long that the frontier was higher when he began did not move it: nobody is given anything until the file is cut.
  return map_.frontier() == tail_frontier_ && hold(tail_end_, map_.geometry().page_limit()) == tail_end_;
}

// ---- nodes to the disk

void MapCommit::put(const MapNode& node, std::span<std::byte> page) noexcept {
  const auto body = page.subspan(kNodeBody, body_bytes(map_.geometry(), node.level));
  write_node(map_.geometry(),
             {.magic = kNodeMagic,
              .level = node.level,
              .index = node.index,
              .generation = node.generation + 1,
              .used = node.used,
              .high_water = &node == root_ ? high_water_ : 0},
             page);
  if (node.level != 0) {
    std::memcpy(body.data(), static_cast<const InnerNode&>(node).entries.get(), body.size());
    return;
  }
  const Snapshot* const taken =
      std::lower_bound(snapshots_.get(), snapshots_.get() + count_, node.index,
                       [](const Snapshot& a, std::uint64_t index) { return a.leaf->index < index; });
  PAGEDB_CHECK(taken != snapshots_.get() + count_ && taken->leaf == &node, "a leaf is written as it was snapshotted");
  std::memcpy(body.data(), taken->bits, body.size());
}

void MapCommit::settle_entry(MapNode& node, std::uint64_t generation, std::uint32_t crc32c) noexcept {
  InnerNode* const parent = node.parent.load(std::memory_order_acquire);
  if (parent == nullptr) return;
  NodeEntry& entry = parent->entries[node.index & (map_.geometry().children() - 1)];
  entry = generation == 0 ? NodeEntry{} : NodeEntry{.generation = generation, .used = node.used, .crc32c = crc32c};
}

Result<void> MapCommit::write_level(unsigned level, std::span<std::byte> staging) noexcept {
  const std::size_t page_bytes = map_.store().page_size().bytes();
  const MapGeometry& geometry = map_.geometry();
  PageIo batch[kBatch];
  MapNode* staged[kBatch];
  for (MapNode* node = levels_[level].first; node != nullptr;) {
    std::size_t count = 0;
    for (; node != nullptr && count < staging.size() / page_bytes; node = node->next_in_commit) {
      if (node->used == 0 && node != root_) {
        settle_entry(*node, 0, 0);  // below which nothing is allocated: it needs no page
        continue;
      }
      const auto page = staging.subspan(count * page_bytes, page_bytes);
      put(*node, page);
      staged[count] = node;
      batch[count++] = {.id = PageId{geometry.home(level, node->index, node->generation + 1)}, .page = page};
    }
    if (const auto written = map_.store().write_nodes({batch, count}); !written) return written;
    for (std::size_t i = 0; i < count; ++i) {
      staged[i]->new_crc32c = read_header(batch[i].page).crc32c;
      if (staged[i] != root_) settle_entry(*staged[i], staged[i]->generation + 1, staged[i]->new_crc32c);
    }
  }
  return {};
}

Result<void> MapCommit::write() noexcept {
  if (log_ != nullptr) {
    const Lsn logged{logged_.load(std::memory_order_acquire)};
    if (logged != Lsn{}) {
      if (const auto durable = log_->ensure_durable(logged); !durable) return durable;
    }
  }
  const std::size_t pages = std::clamp<std::size_t>(count_, 1, kBatch);
  auto staging = AlignedBuffer::allocate(pages * map_.store().page_size().bytes());
  if (!staging) return failure(staging.error());
  for (unsigned level = 0; level <= root_->level; ++level) {
    if (const auto written = write_level(level, staging->span()); !written) return written;
  }
  return {};
}

Result<AllocationRoot> MapCommit::prepare() noexcept {
  Scheduler& scheduler = map_.store().scheduler();
  changes_.close(scheduler);
  const auto taken = take_snapshot();
  changes_.open();
  if (!taken) return failure(taken.error());
  const auto written = write();
  if (!written) {
    give_up();
    return failure(written.error());
  }
  adopt();
  return AllocationRoot{.page = PageId{map_.geometry().home(root_->level, 0, root_->generation)},
                        .generation = root_->generation,
                        .crc32c = root_->crc32c};
}

void MapCommit::adopt() noexcept {
  const AllocationMap::Turn turn(map_);
  for (Level& level : levels_) {
    for (MapNode* node = level.first; node != nullptr; node = node->next_in_commit) {
      const bool dropped = node->used == 0 && node != root_;
      node->generation = dropped ? 0 : node->generation + 1;
      node->crc32c = dropped ? 0 : node->new_crc32c;
      node->in_commit = false;
    }
    level.clear();
  }
  settle_entry(*root_, root_->generation, root_->crc32c);  // where the tree grew meanwhile
  map_.set_disk_root(*root_);
}

void MapCommit::give_up() noexcept {
  const AllocationMap::Turn turn(map_);
  for (Level& level : levels_) {
    for (MapNode* node = level.first; node != nullptr; node = node->next_in_commit) node->in_commit = false;
    level.clear();
  }
  for (std::size_t i = 0; i < count_; ++i) map_.set_dirty(*snapshots_[i].leaf);
  tail_held_ = false;  // what was held of the tail is let go after the next commit, and nothing is cut
  if (shrinking_) shrink_asked_.store(true, std::memory_order_release);  // whoever asked takes it back if it fails, too
}

// ---- after the commit

Result<void> MapCommit::committed() noexcept {
  const AllocationMap::Turn turn(map_);
  Result<void> result;
  if (tail_held_) {
    tail_held_ = false;
    if (may_cut()) {
      const std::uint64_t first_zone = map_.geometry().zone(0) + map_.geometry().zone_pages(0);
      cut_ = map_.store().cut(std::max(map_.recorded_high_water(), first_zone));
      if (map_.store().poisoned().load(std::memory_order_acquire)) result = cut_;
    }
  }
  for (LeafNode* leaf = committing_; leaf != nullptr; leaf = leaf->next_committing) {
    leaf->has_committing = false;
    for (std::uint32_t at = 0; at < leaf->words(); ++at) {
      sync::Atomic<std::uint64_t>& word = leaf->word(at);
      const std::uint64_t done = states::committing(word.load(std::memory_order_seq_cst)) & ~map_.past_end(*leaf, at);
      if (done == 0) continue;
      word.fetch_and(~(done * states::kCommitting), std::memory_order_seq_cst);
      if (map_.page_of(*leaf, at) < map_.frontier()) map_.reopen(*leaf, at);
    }
  }
  committing_ = nullptr;
  snapshots_.reset();
  bits_.reset();
  count_ = 0;
  return result;
}

Result<void> MapCommit::shrink() noexcept {
  return shrink_gate_.run([this] { return shrink_once(); });
}

Result<void> MapCommit::shrink_once() noexcept {
  shrink_asked_.store(true, std::memory_order_release);
  const auto done = map_.store().commit();
  if (!done) {
    shrink_asked_.store(false, std::memory_order_release);
    return done;
  }
  const AllocationMap::Turn turn(map_);
  return cut_;
}

}  // namespace pagedb::detail
