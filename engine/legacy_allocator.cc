// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Walks the free chain of a 1.x file. Whatever a page says is checked before it is used, and is blamed on that page.
#include "engine/legacy_allocator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "engine/aligned_buffer.h"
#include "engine/page.h"

namespace pagedb {
namespace {

constexpr PageId kStatePage{0};
constexpr std::uint32_t kStateMagic = 0x42534750;  // the bytes "PGSB"
constexpr std::uint16_t kStateVersion = 1;
constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

/// Begins the payload of page 0.
struct StatePayload {
  std::uint32_t magic = 0;
  std::uint16_t version = 0;
  std::uint16_t reserved = 0;
  std::uint64_t free_head = 0;
  std::uint64_t next_new = 0;
  std::uint64_t free_count = 0;
};
static_assert(sizeof(StatePayload) == 32 && offsetof(StatePayload, version) == 4);
static_assert(offsetof(StatePayload, free_head) == 8 && offsetof(StatePayload, next_new) == 16);
static_assert(offsetof(StatePayload, free_count) == 24);

template <class T>
T front_of(const AlignedBuffer& page) noexcept {
  T value;
  std::memcpy(&value, payload(page.span()).data(), sizeof value);
  return value;
}

/// No file has this page, or a later one: its end is not representable.
constexpr std::uint64_t page_limit(PageSize size) noexcept {
  return static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) >> size.shift();
}

constexpr tl::unexpected<PageError> damaged(PageId page) noexcept {
  return failure(PageError{.code = ErrorCode::allocation_damaged}.about(page));
}

/// The state as page 0 has it; what one can tell without the file's other pages is right.
Result<StatePayload> read_state(PageFile& file, AlignedBuffer& page) noexcept {
  if (const auto read = file.read(kStatePage, page.span()); !read) return failure(read.error());
  const auto state = front_of<StatePayload>(page);
  if (state.magic != kStateMagic) return failure(PageError{.code = ErrorCode::no_allocation});
  if (state.version != kStateVersion) {
    return failure(
        PageError{.code = ErrorCode::unknown_format, .expected = kStateVersion, .actual = state.version}.about(
            kStatePage));
  }
  if (state.next_new > page_limit(file.page_size())) return damaged(kStatePage);
  // Page 0 is not free: this refuses a high water of 0 too.
  if (state.free_count >= state.next_new) return damaged(kStatePage);
  return state;
}

}  // namespace

void LegacyAllocation::Free::operator()(std::uint64_t* words) const noexcept { std::free(words); }

bool LegacyAllocation::cover(std::uint64_t pages) noexcept {
  // The file may be sparse, and then its length is no measure of memory. What calloc gives is taken when it is touched.
  words_.reset(static_cast<std::uint64_t*>(std::calloc(pages / kBits + 1, sizeof(std::uint64_t))));
  if (words_ == nullptr) return false;
  covered_ = pages;
  return true;
}

void LegacyAllocation::set_free(PageId id) noexcept {
  words_[id.value / kBits] |= std::uint64_t{1} << (id.value % kBits);
}

std::optional<PageId> LegacyAllocation::next_free(PageId from) const noexcept {
  if (from.value >= covered_) return std::nullopt;
  std::uint64_t at = from.value / kBits;
  std::uint64_t word = words_[at] & ~std::uint64_t{0} << (from.value % kBits);
  while (word == 0) {
    if (++at > (covered_ - 1) / kBits) return std::nullopt;
    word = words_[at];
  }
  return PageId{at * kBits + static_cast<std::uint64_t>(std::countr_zero(word))};
}

namespace detail {

/// Who may fill in a LegacyAllocation.
class LegacyChain {
 public:
  /// Follows the chain that begins in `state`, which was read from page 0.
  static Result<LegacyAllocation> walk(PageFile& file, const StatePayload& state, AlignedBuffer& page) noexcept;
};

Result<LegacyAllocation> LegacyChain::walk(PageFile& file, const StatePayload& state, AlignedBuffer& page) noexcept {
  // Free pages lie in the file, whatever the state claims; page 0 is none of them.
  const std::uint64_t pages = file.page_count();
  if (state.free_count >= pages) return damaged(kStatePage);
  LegacyAllocation allocation;
  allocation.high_water_ = state.next_new;
  if (state.free_count > 0 && !allocation.cover(std::min(state.next_new, pages)))
    return failure(PageError{.code = ErrorCode::out_of_memory});

  PageId said_by = kStatePage;
  std::uint64_t next = state.free_head;
  for (; allocation.free_count_ < state.free_count; ++allocation.free_count_) {
    const PageId id{next};
    // kNone, an end too soon, is not below the high water either.
    if (id.value == 0 || id.value >= state.next_new || allocation.is_free(id)) return damaged(said_by);
    // Not left to `read`: the file may have grown past what is covered.
    if (id.value >= pages) return failure(PageError{.code = ErrorCode::beyond_end, .actual = pages}.about(id));
    if (const auto read = file.read(id, page.span()); !read) return failure(read.error());
    allocation.set_free(id);
    said_by = id;
    next = front_of<std::uint64_t>(page);
  }
  if (next != kNone) return damaged(said_by);
  return allocation;
}

}  // namespace detail

Result<LegacyAllocation> read_legacy_allocation(PageFile& file) noexcept {
  // A file with a superblock keeps page 0 for itself; a headerless one keeps none.
  if (file.is_reserved(kStatePage)) return failure(PageError{.code = ErrorCode::no_allocation});
  auto page = AlignedBuffer::allocate(file.page_size().bytes(),
                                      std::max<std::size_t>(AlignedBuffer::kAlignment, file.limits().memory_align));
  if (!page) return failure(page.error());
  const auto state = read_state(file, *page);
  if (!state) return failure(state.error());
  return detail::LegacyChain::walk(file, *state, *page);
}

}  // namespace pagedb
