// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/forge.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "scenarios/reference_page.h"

namespace pagedb::scenarios {
namespace {

// Where things stand in a page, a superblock, a node and an entry: engine/FORMAT.md.
constexpr std::size_t kCrc = 24, kRootCrc = 120, kUsed = 64, kHighWater = 72, kBody = 128;
constexpr std::size_t kEntryBytes = 24, kEntryUsed = 8, kEntryCrc = 16;

template <class T>
T load(std::span<const std::byte> bytes, std::size_t at) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
void store(std::span<std::byte> bytes, std::size_t at, T value) noexcept {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::uint32_t seal(std::span<std::byte> page) noexcept {
  const std::uint32_t crc = reference_crc32c(reference_crc32c(0, page.first(kCrc)), page.subspan(kCrc + 4));
  store(page, kCrc, crc);
  return crc;
}

class Hand {
 public:
  Hand(const ReferenceSuperblock& superblock, const ReferenceAllocation& map, const ReadPage& read_page,
       sim::Choices& choices, sim::Span& span)
      : superblock_(superblock), geometry_(superblock.page_size), map_(map), choices_(choices), span_(span) {
    // The way from the node up to the root, which comes first in the map.
    node_ = map.nodes[draw(map.nodes.size())];
    std::uint64_t index = node_.index;
    for (unsigned level = node_.level; level <= map.nodes.front().level; ++level) {
      const auto on_the_way =
          std::ranges::find_if(map.nodes, [&](const auto& node) { return node.level == level && node.index == index; });
      read(on_the_way->page, read_page);
      entries_.push_back(kBody + static_cast<std::size_t>(index % geometry_.children()) * kEntryBytes);
      index /= geometry_.children();
    }
    nodes_ = made_.pages.size();
  }

  Forgery edit() {
    const std::uint32_t kinds = node_.level == 0 ? 2 : 4;
    const std::uint32_t kind = draw(nodes_ == 1 ? kinds + 2 : kinds);
    if (kind >= kinds) {
      edit_high_water(kind == kinds);
    } else if (kind == 0) {
      // Of those above, the lower ones follow.
      const std::uint64_t by = one_more_or_less();
      add(0, kUsed, by);
      carry(by, draw(nodes_));
    } else if (node_.level == 0) {
      set_forbidden_bit();
    } else {
      edit_entry(kind);
    }
    return std::move(made_);
  }

  /// Makes the checksums right, up to those in the superblocks. False: a slot does not verify.
  bool reseal(const ReadPage& read_page, Forgery& forgery) {
    for (std::size_t i = 0; i + 1 < nodes_; ++i)
      store(bytes(forgery, i + 1), entries_[i] + kEntryCrc, seal(bytes(forgery, i)));
    const std::uint32_t crc = seal(bytes(forgery, nodes_ - 1));
    for (const std::uint64_t offset : kSuperblockOffsets) {
      std::vector<std::byte> page(geometry_.page_bytes());
      if (read_page(offset / page.size(), page) != PageRead::ok) return false;
      const auto slot = decode_superblock_page(page, offset);
      if (!slot) return false;
      if (slot->root_page != superblock_.root_page || slot->root_generation != superblock_.root_generation ||
          slot->root_crc32c != superblock_.root_crc32c)
        continue;
      store(std::span(page), kRootCrc, crc);
      seal(page);
      forgery.pages.push_back({offset / page.size(), std::move(page)});
    }
    return true;
  }

 private:
  std::uint32_t draw(std::uint64_t n) {
    return choices_.draw(span_, sim::Site::fault_detail,
                         static_cast<std::uint32_t>(std::min<std::uint64_t>(n, 1u << 31)));
  }
  std::uint64_t one_more_or_less() { return draw(2) == 0 ? 1 : ~std::uint64_t{0}; }
  static std::span<std::byte> bytes(Forgery& forgery, std::size_t i) { return forgery.pages[i].bytes; }

  void read(std::uint64_t id, const ReadPage& read_page) {
    Forgery::Page& page = made_.pages.emplace_back(id, std::vector<std::byte>(geometry_.page_bytes()));
    static_cast<void>(read_page(id, page.bytes));  // it was read a moment ago, and verified
  }

  void set(std::size_t i, std::size_t at, std::uint64_t value) {
    store(bytes(made_, i), at, value);
    made_.fields.push_back({made_.pages[i].id * geometry_.page_bytes() + at, value});
  }
  void add(std::size_t i, std::size_t at, std::uint64_t by) {
    set(i, at, load<std::uint64_t>(bytes(made_, i), at) + by);
  }
  /// Lets `levels` nodes above the edited one say that `by` more is in use below it.
  void carry(std::uint64_t by, std::size_t levels) {
    for (std::size_t i = 0; i < levels; ++i) {
      add(i + 1, entries_[i] + kEntryUsed, by);
      add(i + 1, kUsed, by);
    }
  }
  /// All of them and the node itself, or none.
  void carry_or_not(std::uint64_t by) {
    if (draw(2) != 0) return;
    add(0, kUsed, by);
    carry(by, nodes_ - 1);
  }

  /// In the root: more than a file or the root has, or less than is in use.
  void edit_high_water(bool more) {
    if (more || map_.allocated.empty()) {
      const std::uint64_t most = std::min(geometry_.covers(node_.level), geometry_.page_limit());
      set(0, kHighWater, draw(2) == 0 ? most + 1 : ~std::uint64_t{0});
    } else {
      set(0, kHighWater, map_.allocated.back().end - 1 - draw(map_.allocated.back().end));
    }
  }

  /// In a leaf: of a page past high water, or of a reserved one.
  void set_forbidden_bit() {
    const std::uint64_t first = node_.index * geometry_.region_pages(), end = first + geometry_.region_pages();
    std::uint64_t page = std::max(first, map_.high_water);
    if (page < end && draw(2) == 0) {
      page += draw(end - page);
    } else {
      const PageRange zone = geometry_.zone(node_.index);
      page = zone.begin + draw(zone.end - zone.begin);
    }
    const auto at = kBody + static_cast<std::size_t>((page - first) / 8);
    std::byte& byte = bytes(made_, 0)[at];
    byte |= static_cast<std::byte>(1u << (page - first) % 8);
    made_.fields.push_back({made_.pages[0].id * geometry_.page_bytes() + at, std::to_integer<std::uint64_t>(byte)});
    carry_or_not(1);
  }

  /// Kind 1: how much is in use below an entry; 2: its generation; 3: one past high water, made up.
  void edit_entry(std::uint32_t kind) {
    std::vector<std::size_t> there;  // entries that are no zeros
    const std::uint64_t each = geometry_.covers(node_.level - 1), first = node_.index * geometry_.covers(node_.level);
    const std::uint64_t past =
        std::min((std::max(map_.high_water, first) - first + each - 1) / each, geometry_.children());
    for (std::size_t at = kBody; at < kBody + static_cast<std::size_t>(past) * kEntryBytes; at += kEntryBytes)
      if (load<std::uint64_t>(bytes(made_, 0), at) != 0) there.push_back(at);
    if (kind == 3 && past < geometry_.children()) {
      const std::size_t at = kBody + static_cast<std::size_t>(past + draw(geometry_.children() - past)) * kEntryBytes;
      set(0, at, 1);
      set(0, at + kEntryUsed, 1);
      carry_or_not(1);
    } else if (there.empty()) {
      add(0, kUsed, 1);
    } else if (kind == 2) {
      const std::size_t at = there[draw(there.size())];
      add(0, at, 1 + draw(2));
    } else {
      const std::size_t at = there[draw(there.size())];
      const std::uint64_t by = one_more_or_less();
      add(0, at + kEntryUsed, by);
      carry_or_not(by);
    }
  }

  const ReferenceSuperblock& superblock_;
  ReferenceGeometry geometry_;
  const ReferenceAllocation& map_;
  sim::Choices& choices_;
  sim::Span& span_;
  ReferenceAllocation::Node node_;    // the one that is edited
  Forgery made_;                      // its page first, then those above it
  std::vector<std::size_t> entries_;  // where the page above has the entry of each
  std::size_t nodes_ = 0;             // how many pages those are
};

}  // namespace

std::optional<Forgery> forge(const ReferenceSuperblock& superblock, const ReferenceAllocation& map,
                             const ReadPage& read_page, sim::Choices& choices, sim::Span& span) {
  if (map.nodes.empty()) return std::nullopt;
  Hand hand(superblock, map, read_page, choices, span);
  Forgery forgery = hand.edit();
  if (!hand.reseal(read_page, forgery)) return std::nullopt;
  return forgery;
}

}  // namespace pagedb::scenarios
