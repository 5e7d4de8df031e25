// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator: what users ask of an allocation map, and what they must not.
#include "engine/page_allocator.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include "engine/alloc/allocation_map.h"
#include "engine/alloc/map_commit.h"
#include "engine/check.h"

namespace pagedb {

using detail::AllocationMap;
using detail::LeafNode;
namespace states = detail::page_states;

struct PageAllocator::Impl {
  Impl(detail::AllocationStore& allocation_store, const PageAllocatorOptions& options) noexcept
      : store(allocation_store),
        scheduler(store.scheduler()),
        poisoned(store.poisoned()),
        map(store, options.end ? options.end->value : AllocationMap::kNone),
        commit(map, options.log),
        reuse_before_sync(options.reuse_before_sync),
        redoing(options.redo) {}

  /// Why nothing may be changed now.
  [[nodiscard]] Result<void> may_change() const noexcept {
    PAGEDB_CHECK(!redoing.load(std::memory_order_relaxed), "an allocator that redoes a log is used after redo_done");
    if (poisoned.load(std::memory_order_acquire)) return failure(PageError{.code = ErrorCode::poisoned});
    if (!store.writable()) return failure(PageError{.code = ErrorCode::read_only});
    return {};
  }
  [[nodiscard]] bool changeable() const noexcept {
    return !poisoned.load(std::memory_order_relaxed) && plain.load(std::memory_order_relaxed);
  }
  [[nodiscard]] Result<void> may_be_used(PageId id) const noexcept {
    if (id.value >= map.geometry().page_limit())
      return failure(PageError{.code = ErrorCode::page_id_overflow}.about(id));
    if (map.geometry().reserved(id.value)) return failure(PageError{.code = ErrorCode::reserved_page}.about(id));
    return {};
  }
  /// The leaf of page `id`; null where nothing was ever allocated. Read if need be.
  [[nodiscard]] Result<LeafNode*> leaf_of(PageId id) noexcept {
    if (LeafNode* const leaf = map.find(id.value)) return leaf;
    const AllocationMap::Turn turn(map);
    return map.leaf(id.value, false);
  }
  [[nodiscard]] Result<PageId> allocate_slowly() noexcept;
  [[nodiscard]] std::uint64_t take_near(std::uint64_t page) noexcept;

  detail::AllocationStore& store;
  Scheduler& scheduler;
  const sync::Atomic<bool>& poisoned;
  AllocationMap map;
  detail::MapCommit commit;
  const bool reuse_before_sync;
  sync::Atomic<bool> redoing;
  sync::Atomic<bool> plain{false};  // writable, and nothing is to be redone
};

PageAllocator::PageAllocator(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Result<std::unique_ptr<PageAllocator>> PageAllocator::open(PageFile& file,
                                                           const PageAllocatorOptions& options) noexcept {
  if (file.generation() == 0) return failure(PageError{.code = ErrorCode::no_allocation});
  return open(file.allocation_store(), options);
}

Result<std::unique_ptr<PageAllocator>> PageAllocator::open(detail::AllocationStore& store,
                                                           const PageAllocatorOptions& options) noexcept {
  constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl(store, options));
  if (impl == nullptr) return failure(kNoMemory);
  if (const auto opened = impl->map.open(); !opened) return failure(opened.error());
  impl->plain = store.writable() && !options.redo;
  std::unique_ptr<PageAllocator> allocator(new (std::nothrow) PageAllocator(std::move(impl)));
  if (allocator == nullptr) return failure(kNoMemory);
  store.attach(allocator->impl_->commit);
  return allocator;
}

PageAllocator::~PageAllocator() {
  if (impl_ != nullptr) impl_->store.detach();
}

// ---- giving out

Result<PageId> PageAllocator::allocate() noexcept {
  Impl& impl = *impl_;
  if (impl.changeable()) [[likely]] {
    const std::uint64_t page = impl.map.take(impl.scheduler.current());
    if (page != AllocationMap::kNone) [[likely]]
      return PageId{page};
  }
  return impl.allocate_slowly();
}

Result<PageId> PageAllocator::Impl::allocate_slowly() noexcept {
  if (const auto allowed = may_change(); !allowed) return failure(allowed.error());
  const TaskId self = scheduler.current();
  const AllocationMap::Turn turn(map);
  while (true) {
    const std::uint64_t page = map.take(self);
    if (page != AllocationMap::kNone) return PageId{page};
    if (const auto filled = map.refill(self); !filled) return failure(filled.error());
  }
}

std::uint64_t PageAllocator::Impl::take_near(std::uint64_t page) noexcept {
  const std::uint64_t until = std::min(map.frontier(), map.end());
  if (page >= until) return AllocationMap::kNone;
  LeafNode* leaf = map.find(page);
  if (leaf == nullptr) {
    const AllocationMap::Turn turn(map);
    if (page >= map.frontier()) return AllocationMap::kNone;  // the file was shrunk meanwhile
    const auto loaded = map.leaf(page, true);
    if (!loaded) return AllocationMap::kNone;
    leaf = *loaded;
  }
  const std::uint32_t at = map.word_of(page);
  const unsigned bit = static_cast<unsigned>(page % states::kPagesPerWord) * 2;
  const auto take = [&](std::uint32_t word, std::uint64_t wanted) {
    return map.page_of(*leaf, word) < until ? map.take_in(*leaf, word, wanted) : AllocationMap::kNone;
  };
  // The first at or after the hint in its word, then the words around it, ever further away.
  std::uint64_t found = take(at, states::kLow << bit);
  if (found == AllocationMap::kNone) found = take(at, states::kLow & ~(states::kLow << bit));
  for (std::uint32_t away = 1; found == AllocationMap::kNone && away < leaf->words(); ++away) {
    if (at + away < leaf->words()) found = take(at + away, states::kLow);
    if (found == AllocationMap::kNone && away <= at) found = take(at - away, states::kLow);
  }
  return found;
}

Result<PageId> PageAllocator::allocate_near(PageId hint) noexcept {
  if (const auto allowed = impl_->may_change(); !allowed) return failure(allowed.error());
  const std::uint64_t page = impl_->take_near(hint.value);
  if (page != AllocationMap::kNone) return PageId{page};
  return allocate();
}

Result<PageId> PageAllocator::allocate_run(std::uint64_t count) noexcept {
  PAGEDB_CHECK(count > 0, "a run has at least one page");
  Impl& impl = *impl_;
  if (const auto allowed = impl.may_change(); !allowed) return failure(allowed.error());
  if (count > run_max())
    return failure(PageError{.code = ErrorCode::no_free_page, .expected = count, .actual = impl.map.end()});
  // A snapshot is taken under the turn too: it has all of the run or none of it.
  const AllocationMap::Turn turn(impl.map);
  return impl.map.take_run(count).map([](std::uint64_t page) { return PageId{page}; });
}

std::uint64_t PageAllocator::run_max() const noexcept {
  const detail::MapGeometry& geometry = impl_->map.geometry();
  return geometry.region_pages() - geometry.zone_pages(1);
}

// ---- taking back, looking

Result<void> PageAllocator::free(PageId id) noexcept {
  Impl& impl = *impl_;
  if (!impl.changeable()) [[unlikely]]
    if (const auto allowed = impl.may_change(); !allowed) return allowed;
  LeafNode* leaf = impl.map.find(id.value);
  if (leaf == nullptr || !impl.map.geometry().is_usable(id.value)) [[unlikely]] {
    if (const auto usable = impl.may_be_used(id); !usable) return usable;
    const auto there = impl.leaf_of(id);
    if (!there) return failure(there.error());
    leaf = *there;
  }
  const PageError refused = PageError{.code = ErrorCode::not_allocated}.about(id);
  if (leaf == nullptr) return failure(refused);
  const std::uint32_t at = impl.map.word_of(id.value);
  const unsigned page = static_cast<unsigned>(id.value % states::kPagesPerWord);
  const bool at_once = impl.reuse_before_sync && id.value < impl.map.end();
  const std::uint64_t freed = at_once ? states::kAvailable : states::kFreed;
  sync::Atomic<std::uint64_t>& word = leaf->word(at);
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  do {
    if (states::of(seen, page) != states::kAllocated) return failure(refused);
  } while (!word.compare_exchange_strong(seen, states::with(seen, page, freed), std::memory_order_seq_cst));
  impl.map.changed(*leaf);
  if (at_once) {
    impl.map.raise_high_water(id.value + 1);  // a snapshot would not see any more that it was used
    impl.map.freed(impl.scheduler.current(), *leaf, at);
  }
  return {};
}

Result<bool> PageAllocator::is_allocated(PageId id) noexcept {
  Impl& impl = *impl_;
  if (!impl.map.geometry().is_usable(id.value)) return false;
  const auto leaf = impl.leaf_of(id);
  if (!leaf) return failure(leaf.error());
  if (*leaf == nullptr) return false;
  const std::uint64_t word = (*leaf)->word(impl.map.word_of(id.value)).load(std::memory_order_acquire);
  return states::of(word, static_cast<unsigned>(id.value % states::kPagesPerWord)) == states::kAllocated;
}

Result<std::optional<PageId>> PageAllocator::next_allocated(PageId from) noexcept {
  const AllocationMap::Turn turn(impl_->map);
  const auto page = impl_->map.next_allocated(from.value);
  if (!page) return failure(page.error());
  if (*page == AllocationMap::kNone) return std::optional<PageId>();
  return std::optional<PageId>(PageId{*page});
}

PageId PageAllocator::high_water() noexcept {
  const AllocationMap::Turn turn(impl_->map);
  return PageId{impl_->map.high_water()};
}

std::uint64_t PageAllocator::free_count() noexcept {
  AllocationMap& map = impl_->map;
  const AllocationMap::Turn turn(map);
  const std::uint64_t used = map.used();  // first: others may allocate meanwhile
  const std::uint64_t usable = map.geometry().usable(0, map.high_water());
  return usable - std::min(usable, used);
}

// ---- making durable

Result<void> PageAllocator::sync() noexcept {
  if (const auto allowed = impl_->may_change(); !allowed) return allowed;
  return impl_->store.commit();
}

Result<void> PageAllocator::shrink_to_fit() noexcept {
  if (const auto allowed = impl_->may_change(); !allowed) return allowed;
  return impl_->commit.shrink();
}

PageAllocator::Change::Change(PageAllocator& allocator) noexcept : allocator_(allocator) {
  allocator_.impl_->commit.changes().enter(allocator_.impl_->scheduler);
}
PageAllocator::Change::~Change() { allocator_.impl_->commit.changes().leave(); }
void PageAllocator::Change::logged(Lsn lsn) noexcept { allocator_.impl_->commit.logged(lsn); }

// ---- redo

Result<void> PageAllocator::redo_allocate(PageId id) noexcept {
  Impl& impl = *impl_;
  if (const auto usable = impl.may_be_used(id); !usable) return usable;
  const AllocationMap::Turn turn(impl.map);
  const auto leaf = impl.map.leaf(id.value, true);
  if (!leaf) return failure(leaf.error());
  impl.map.advance_frontier(id.value + 1);
  const unsigned page = static_cast<unsigned>(id.value % states::kPagesPerWord);
  (*leaf)->word(impl.map.word_of(id.value)).fetch_or(states::kAllocated << 2 * page, std::memory_order_seq_cst);
  impl.map.changed(**leaf);
  return {};
}

Result<void> PageAllocator::redo_free(PageId id) noexcept {
  Impl& impl = *impl_;
  if (const auto usable = impl.may_be_used(id); !usable) return usable;
  const AllocationMap::Turn turn(impl.map);
  const auto leaf = impl.map.leaf(id.value, false);
  if (!leaf) return failure(leaf.error());
  if (*leaf == nullptr) return {};
  const unsigned page = static_cast<unsigned>(id.value % states::kPagesPerWord);
  sync::Atomic<std::uint64_t>& word = (*leaf)->word(impl.map.word_of(id.value));
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  do {
    if (states::of(seen, page) != states::kAllocated) return {};
  } while (!word.compare_exchange_strong(seen, states::with(seen, page, states::kFreed), std::memory_order_seq_cst));
  impl.map.changed(**leaf);
  return {};
}

void PageAllocator::redo_done() noexcept {
  impl_->redoing.store(false, std::memory_order_release);
  impl_->plain.store(impl_->store.writable(), std::memory_order_release);
}

std::size_t PageAllocator::memory_bytes() noexcept {
  const AllocationMap::Turn turn(impl_->map);
  return sizeof *this + sizeof *impl_ + impl_->map.memory_bytes() - sizeof impl_->map;
}

}  // namespace pagedb
