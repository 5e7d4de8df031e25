// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// For models of the page allocator: the file of an allocation map, in memory, with the commit protocol of PageFile
// (settle, prepare, first slot, second slot, committed), and whatever a test wants to go wrong.
//
// It fails the run when a node is written into a home that a superblock in one of the slots refers to, and when the
// tree that a slot refers to does not hold together as engine/FORMAT.md says.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "engine/alloc/allocation_store.h"
#include "engine/alloc/geometry.h"
#include "engine/alloc/node_page.h"
#include "engine/internal/sync_gate.h"
#include "engine/page.h"
#include "engine/sync.h"
#include "sim/model/execution.h"

namespace pagedb::sim::model {

/// The execution's scheduler; with `one_lane`, every task allocates from the same chunk.
class LaneScheduler final : public Scheduler {
 public:
  LaneScheduler(Execution& model, bool one_lane) : model_(model), one_lane_(one_lane) {}
  TaskId current() noexcept override {
    const std::uint64_t task = model_.current().value;
    return {task << 32 | (one_lane_ ? 1 : task)};  // a lane is chosen by the low half
  }
  bool park(Time deadline) noexcept override { return model_.park(deadline); }
  void unpark(TaskId task) noexcept override { model_.unpark({task.value >> 32}); }
  TaskId spawn(std::string_view, std::function<void()>) override { return {}; }
  void join(TaskId) noexcept override {}
  Time now() noexcept override { return model_.now(); }
  void relax(unsigned attempt) noexcept override { model_.relax(attempt); }

 private:
  Execution& model_;
  bool one_lane_;
};

/// An allocation map as it stands on disk.
struct Tree {
  std::vector<std::uint64_t> pages;  ///< that are allocated, in order
  std::set<std::uint64_t> homes;     ///< of its nodes
  std::uint64_t high_water = 0;

  [[nodiscard]] bool has(std::uint64_t page) const { return std::binary_search(pages.begin(), pages.end(), page); }
};

/// A disk to begin with.
struct MapImage {
  std::map<std::uint64_t, std::vector<std::byte>> nodes;
  AllocationRoot root{};
};

/// See the head of this file.
class ModelMapStore final : public detail::AllocationStore {
 public:
  ModelMapStore(Execution& model, const MapImage& image, bool one_lane)
      : model_(model),
        scheduler_(model, one_lane),
        gate_(scheduler_),
        nodes_(image.nodes),
        attempted_(image.root),
        slots_{image.root, image.root} {
    trees_[0] = trees_[1] = tree_of(image.root);
  }

  // ---- what a model sets up, and looks at

  int node_writes_to_fail = 0;
  int slots_to_fail = 0;           ///< so many slot writes say that they failed, ...
  bool failed_slots_land = false;  ///< ... and whether they did all the same
  /// A commit begins: what returned before must be in it.
  std::function<unsigned()> on_commit = [] { return 0u; };
  /// A slot refers to a tree, of a commit for which on_commit returned `begun`.
  std::function<void(const Tree& tree, unsigned begun)> on_slot = [](const Tree&, unsigned) {};
  /// Both slots do.
  std::function<void(const Tree& tree)> on_durable = [](const Tree&) {};
  std::function<void(std::uint64_t pages)> on_cut = [](std::uint64_t) {};

  [[nodiscard]] int reads(std::uint64_t page) const {
    const auto found = reads_.find(page);
    return found == reads_.end() ? 0 : found->second;
  }
  [[nodiscard]] const Tree& durable() const { return trees_[1]; }
  [[nodiscard]] MapImage image() const { return {nodes_, slots_[1]}; }
  [[nodiscard]] const detail::MapGeometry& geometry() const { return geometry_; }
  void poison() { poisoned_.store(true); }

  // ---- AllocationStore

  Scheduler& scheduler() noexcept override { return scheduler_; }
  PageSize page_size() const noexcept override { return kSize; }
  const sync::Atomic<bool>& poisoned() const noexcept override { return poisoned_; }
  bool writable() const noexcept override { return true; }
  AllocationRoot root() const noexcept override { return attempted_; }
  void attach(detail::CommitParticipant& participant) noexcept override { participant_ = &participant; }
  void detach() noexcept override { participant_ = nullptr; }

  Result<PageHeader> read_node(PageId id, std::span<std::byte> page) noexcept override {
    model_.read(&nodes_);
    ++reads_[id.value];
    const auto found = nodes_.find(id.value);
    if (found == nodes_.end()) return failure(PageError{.code = ErrorCode::never_written}.about(id));
    std::memcpy(page.data(), found->second.data(), page.size());
    return verify(page, kSize, identity(id));
  }

  Result<void> write_nodes(std::span<PageIo> batch) noexcept override {
    for (PageIo& io : batch) {
      for (const Tree& tree : trees_)
        model_.expect(!tree.homes.contains(io.id.value), "a home is overwritten that a superblock refers to");
      seal(io.page, identity(io.id), page_flags::kMetadata);
      model_.write(&nodes_);
      std::vector<std::byte>& stored = nodes_[io.id.value];
      if (node_writes_to_fail > 0) {
        --node_writes_to_fail;
        stored.assign(io.page.size(), std::byte{0xEE});
        return failure(PageError{.code = ErrorCode::io_error}.about(io.id));
      }
      stored.assign(io.page.begin(), io.page.end());
    }
    return {};
  }

  Result<void> commit() noexcept override {
    if (poisoned_.load()) return failure(PageError{.code = ErrorCode::poisoned});
    return gate_.run([this] { return commit_once(); });
  }

  Result<void> cut(std::uint64_t pages) noexcept override {
    model_.write(&nodes_);
    on_cut(pages);
    nodes_.erase(nodes_.lower_bound(pages), nodes_.end());
    return {};
  }

 private:
  static constexpr PageSize kSize{};
  static PageIdentity identity(PageId id) noexcept { return {.id = id, .file_tag = 7, .has_file_tag = true}; }

  // As PageFile::State::commit and store.
  Result<void> commit_once() noexcept {
    const unsigned begun = on_commit();
    if (participant_ != nullptr && participant_->has_changes()) {
      if (!settled_) {
        if (const auto again = store(attempted_begun_); !again) return again;
      }
      const auto root = participant_->prepare();
      if (!root) return failure(root.error());
      attempted_ = *root;
      settled_ = false;
    }
    attempted_begun_ = begun;
    return store(begun);
  }
  Result<void> store(unsigned begun) noexcept {
    settled_ = false;
    for (unsigned slot = 0; slot < 2; ++slot) {
      model_.write(&slots_);
      const bool fails = slots_to_fail > 0;
      if (fails) --slots_to_fail;
      if (!fails || failed_slots_land) {
        slots_[slot] = attempted_;
        trees_[slot] = tree_of(attempted_);
        on_slot(trees_[slot], begun);
      }
      if (fails) return failure(PageError{.code = ErrorCode::io_error});
    }
    settled_ = true;
    on_durable(trees_[1]);
    return participant_ != nullptr ? participant_->committed() : Result<void>();
  }

  /// The tree below `root`; fails the run where it does not hold together.
  Tree tree_of(const AllocationRoot& root) {
    Tree tree;
    if (root == AllocationRoot{}) return tree;
    unsigned level = 0, which = 0;
    const bool is_home = geometry_.root_home(root.page.value, level, which);
    model_.expect(is_home && (root.generation & 1) == which, "the root does not stand where a root stands");
    if (is_home)
      add_node(tree, {.level = level, .generation = root.generation, .crc32c = root.crc32c, .is_root = true});
    return tree;
  }
  void add_node(Tree& tree, detail::NodeExpectation expected) {
    const std::uint64_t home = geometry_.home(expected.level, expected.index, expected.generation);
    tree.homes.insert(home);
    const auto found = nodes_.find(home);
    model_.expect(found != nodes_.end(), "a node of a committed tree was never written, or cut off");
    if (found == nodes_.end()) return;
    const std::span<const std::byte> page = found->second;
    const auto header = verify(page, kSize, identity({home}));
    const bool sound = header && detail::check_node(geometry_, *header, page, expected);
    model_.expect(sound, "a node of a committed tree is not what refers to it, or contradicts itself");
    if (!sound) return;
    if (expected.is_root) tree.high_water = detail::node_header(page).high_water;
    const auto body = page.subspan(detail::kNodeBody, detail::body_bytes(geometry_, expected.level));
    if (expected.level == 0) {
      const std::uint64_t first = geometry_.begin(0, expected.index);
      for (std::size_t byte = 0; byte < body.size(); ++byte) {
        for (unsigned bit = 0; bit < 8 && body[byte] != std::byte{0}; ++bit)
          if ((body[byte] & std::byte{1} << bit) != std::byte{0}) tree.pages.push_back(first + byte * 8 + bit);
      }
      return;
    }
    for (std::uint32_t child = 0; child < geometry_.children(); ++child) {
      detail::NodeEntry entry;
      std::memcpy(&entry, body.data() + child * sizeof entry, sizeof entry);
      if (entry.generation == 0) continue;
      add_node(tree, {.level = expected.level - 1,
                      .index = (expected.index << geometry_.fan_shift()) + child,
                      .generation = entry.generation,
                      .crc32c = entry.crc32c,
                      .used = entry.used,
                      .high_water = tree.high_water});
    }
  }

  Execution& model_;
  const detail::MapGeometry geometry_{kSize};
  LaneScheduler scheduler_;
  SyncGate gate_;
  sync::Atomic<bool> poisoned_{false};
  detail::CommitParticipant* participant_ = nullptr;
  std::map<std::uint64_t, std::vector<std::byte>> nodes_;
  std::map<std::uint64_t, int> reads_;
  // The gate's.
  AllocationRoot attempted_;
  AllocationRoot slots_[2];
  Tree trees_[2];
  unsigned attempted_begun_ = 0;
  bool settled_ = false;
};

}  // namespace pagedb::sim::model
