// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/reference_allocation.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kBody = 128, kEntryBytes = 24;

template <class T>
T load(std::span<const std::byte> bytes, std::size_t at) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// Appends the runs of set bits among the first `count` bits to `runs`, bit 0 being page `first`. Returns how many are
/// set. `bits` are whole words; what they hold past `count` is ignored.
std::uint64_t append_runs(std::span<const std::byte> bits, std::uint64_t count, std::uint64_t first,
                          std::vector<PageRange>& runs) {
  std::uint64_t used = 0, begin = 0, before = 0;  // before: the last bit of the word before
  for (std::uint64_t at = 0; at < count; at += 64) {
    auto word = load<std::uint64_t>(bits, static_cast<std::size_t>(at / 8));
    if (count - at < 64) word &= (std::uint64_t{1} << (count - at)) - 1;
    bool inside = before != 0;
    for (std::uint64_t changes = word ^ (word << 1 | before); changes != 0; changes &= changes - 1) {
      const std::uint64_t page = first + at + static_cast<unsigned>(std::countr_zero(changes));
      if (inside) {
        used += page - begin;
        runs.push_back({begin, page});
      } else {
        begin = page;
      }
      inside = !inside;
    }
    before = word >> 63;
  }
  if (before != 0) {
    used += first + count - begin;
    runs.push_back({begin, first + count});
  }
  return used;
}

bool overlap(const PageRange& a, const PageRange& b) noexcept { return a.begin < b.end && b.begin < a.end; }

}  // namespace

ReferenceGeometry::ReferenceGeometry(std::uint32_t page_bytes) noexcept : page_bytes_(page_bytes) {
  covers_[0] = std::uint64_t{4} * page_bytes;
  while (covers_[highest_] < page_limit()) {
    covers_[highest_ + 1] = covers_[highest_] * children();
    ++highest_;
  }
}

PageRange ReferenceGeometry::zone(std::uint64_t region) const noexcept {
  const std::uint64_t begin = region == 0 ? twin() + 1 : region * region_pages();
  // The highest level of which a node begins here: children() is a power of two.
  const auto divides = static_cast<unsigned>(std::countr_zero(region) / std::countr_zero(children()));
  const unsigned m = region == 0 ? highest_ : std::min(highest_, divides);
  return {begin, begin + 4 * (m + 1) + 1};  // with the guard behind the last home
}

std::uint64_t ReferenceGeometry::home(unsigned level, std::uint64_t index, unsigned k) const noexcept {
  const std::uint64_t begin = index == 0 ? twin() + 1 : index * covers(level);
  return begin + 1 + 4 * level + 2 * k;
}

std::optional<ReferenceGeometry::Home> ReferenceGeometry::home_at(std::uint64_t page) const noexcept {
  if (page >= page_limit()) return std::nullopt;
  const PageRange around = zone(page / region_pages());
  if (page < around.begin || page >= around.end || (page - around.begin) % 2 == 0) return std::nullopt;
  const std::uint64_t place = (page - around.begin) / 2;
  const auto level = static_cast<unsigned>(place / 2);
  return Home{.level = level, .index = page / covers(level), .k = static_cast<unsigned>(place % 2)};
}

std::uint64_t ReferenceGeometry::usable(PageRange range) const noexcept {
  const auto in_range = [&](PageRange kept) {
    return std::min(std::max(kept.end, range.begin), range.end) -
           std::min(std::max(kept.begin, range.begin), range.end);
  };
  std::uint64_t count = range.end - range.begin - in_range({0, 2}) - in_range({twin() - 1, twin() + 1});
  if (twin() <= 2) count += in_range({twin() - 1, 2});  // the two overlap there
  for (std::uint64_t region = range.begin / region_pages(); region * region_pages() < range.end; ++region)
    count -= in_range(zone(region));
  return count;
}

bool ReferenceGeometry::reserved(std::uint64_t page) const noexcept {
  const PageRange around = zone(page / region_pages());
  if (page >= around.begin && page < around.end) return true;
  return page <= 1 || page == twin() || page == twin() - 1;
}

bool ReferenceAllocation::is_allocated(std::uint64_t page) const noexcept {
  const auto after = std::upper_bound(allocated.begin(), allocated.end(), page,
                                      [](std::uint64_t id, const PageRange& run) { return id < run.begin; });
  return after != allocated.begin() && page < std::prev(after)->end;
}

bool ReferenceAllocation::is_known(std::uint64_t page) const noexcept {
  const auto after = std::upper_bound(damaged.begin(), damaged.end(), page,
                                      [](std::uint64_t id, const Damage& damage) { return id < damage.pages.begin; });
  return after == damaged.begin() || page >= std::prev(after)->pages.end;
}

void AllocationReader::damaged(std::uint64_t page, PageRange pages, std::uint64_t used, bool unreadable,
                               std::string_view what) {
  found_.damaged.push_back({.page = page, .pages = pages, .used = used, .unreadable = unreadable, .what = what});
}

const ReferenceAllocation& AllocationReader::read(const ReferenceSuperblock& superblock, const ReadPage& read_page) {
  found_.high_water = found_.used = 0;
  found_.allocated.clear();
  found_.nodes.clear();
  found_.damaged.clear();
  pending_.clear();
  if (geometry_.page_bytes() != superblock.page_size) geometry_ = ReferenceGeometry(superblock.page_size);
  page_.resize(superblock.page_size);

  // Rule 1.
  const std::uint64_t generation = superblock.root_generation;
  if (superblock.root_page == 0 && generation == 0 && superblock.root_crc32c == 0) return found_;
  const auto root_home = geometry_.home_at(superblock.root_page);
  if (generation == 0 || !root_home || root_home->index != 0 || root_home->k != generation % 2) {
    damaged(superblock.root_page, {0, geometry_.page_limit()}, 0, false, "no home of a root of that generation");
    return found_;
  }
  pending_.push_back(
      {.level = root_home->level, .crc = superblock.root_crc32c, .index = 0, .generation = generation, .used = 0});

  for (bool is_root = true; !pending_.empty(); is_root = false) {
    const Expected node = pending_.back();
    pending_.pop_back();
    const std::uint64_t home = geometry_.home(node.level, node.index, static_cast<unsigned>(node.generation % 2));
    const PageRead came = read_page(home, page_);
    const std::string_view broken = came == PageRead::past_end ? "past the end of the file"
                                    : came == PageRead::unreadable
                                        ? "cannot be read"
                                        : check_node(node, home, is_root, superblock.file_tag);
    if (broken.empty()) {
      found_.nodes.push_back({.page = home, .level = node.level, .index = node.index, .generation = node.generation});
      continue;
    }
    if (is_root) found_.high_water = found_.used = 0;
    const std::uint64_t begin = node.index * geometry_.covers(node.level);
    const std::uint64_t end =
        std::min(begin + geometry_.covers(node.level), is_root ? geometry_.page_limit() : found_.high_water);
    damaged(home, {begin, end}, node.used, came == PageRead::unreadable, broken);
  }
  return found_;
}

std::string_view AllocationReader::check_node(const Expected& node, std::uint64_t home, bool is_root,
                                              std::uint32_t file_tag) {
  const std::span<const std::byte> page(page_);
  // Rule 2.
  const auto sound = decode_page(page);
  if (!sound) return "no sound page";
  if (sound->page_id != home) return "another page's id";
  if ((sound->flags & 2) == 0 || sound->reserved != file_tag) return "not tagged as this file's";
  if ((sound->flags & 1) == 0) return "no metadata flag";
  // Rule 3.
  if (std::memcmp(page.data() + 32, "ALLOCMAP", 8) != 0) return "magic";
  if (load<std::uint32_t>(page, 40) != node.level) return "level";
  if (load<std::uint64_t>(page, 48) != node.index) return "index";
  if (load<std::uint64_t>(page, 56) != node.generation) return "generation";
  if (load<std::uint32_t>(page, 24) != node.crc) return "another version: its checksum is not the one referred to";
  // Rule 4.
  const std::size_t body = node.level == 0 ? page.size() / 2 : page.size() / 32 * kEntryBytes;
  if (sound->lsn != 0) return "an LSN";
  if (load<std::uint32_t>(page, 44) != 0 || !all_zero(page.subspan(80, kBody - 80)) ||
      !all_zero(page.subspan(kBody + body)))
    return "not zero where zeros belong";
  const auto used = load<std::uint64_t>(page, 64), high_water = load<std::uint64_t>(page, 72);
  if (!is_root && high_water != 0) return "high water below the root";
  if (is_root) {
    if (high_water > std::min(geometry_.covers(node.level), geometry_.page_limit())) return "high water too high";
    found_.high_water = high_water;
    found_.used = used;
  } else if (used != node.used) {
    return "used: not as many as the node above says";
  }
  // Rules 5 and 6.
  return node.level == 0 ? check_leaf(node, used) : check_entries(node, used);
}

std::string_view AllocationReader::check_leaf(const Expected& node, std::uint64_t used) {
  const std::uint64_t first = node.index * geometry_.region_pages();
  const std::uint64_t below = std::min(geometry_.region_pages(), found_.high_water - first);
  const auto bits = std::span<const std::byte>(page_).subspan(kBody, page_.size() / 2);
  const std::size_t known = found_.allocated.size();
  const auto refused = [&](std::string_view what) {
    found_.allocated.resize(known);
    return what;
  };

  const std::uint64_t set = append_runs(bits, below, first, found_.allocated);
  // Past high water: the rest of the byte in which it lies, and the bytes behind that.
  const auto byte = static_cast<std::size_t>(below / 8);
  if (byte < bits.size() && (std::to_integer<unsigned>(bits[byte]) >> below % 8 != 0 ||
                             (byte + 1 < bits.size() && !all_zero(bits.subspan(byte + 1)))))
    return refused("a page past high water is allocated");
  if (set != used) return refused("used: not as many bits are set");

  const PageRange zone = geometry_.zone(node.index);
  for (std::size_t i = known; i < found_.allocated.size(); ++i) {
    const PageRange& run = found_.allocated[i];
    const bool slots = node.index == 0 && (overlap(run, {0, 2}) || overlap(run, {geometry_.twin() - 1, zone.begin}));
    if (slots || overlap(run, zone)) return refused("a reserved page is allocated");
  }
  return {};
}

std::string_view AllocationReader::check_entries(const Expected& node, std::uint64_t used) {
  const std::uint64_t each = geometry_.covers(node.level - 1), first = node.index * geometry_.covers(node.level);
  const std::uint64_t children = geometry_.children();
  const std::uint64_t below = std::min(children, (found_.high_water - first + each - 1) / each);  // begin below it
  const auto entries =
      std::span<const std::byte>(page_).subspan(kBody, static_cast<std::size_t>(children) * kEntryBytes);
  if (below < children && !all_zero(entries.subspan(static_cast<std::size_t>(below) * kEntryBytes)))
    return "an entry past high water";
  const std::size_t waiting = pending_.size();
  const auto refused = [&](std::string_view what) {
    pending_.resize(waiting);
    return what;
  };

  std::uint64_t sum = 0;
  for (std::uint64_t child = below; child-- > 0;) {  // the last one first: it is read last
    const std::size_t at = static_cast<std::size_t>(child) * kEntryBytes;
    const auto generation = load<std::uint64_t>(entries, at), child_used = load<std::uint64_t>(entries, at + 8);
    const auto crc = load<std::uint32_t>(entries, at + 16), zero = load<std::uint32_t>(entries, at + 20);
    if ((generation | child_used | crc | zero) == 0) continue;
    if (zero != 0) return refused("not zero where zeros belong");
    if (generation == 0) return refused("an entry without generation");
    if (child_used == 0) return refused("an entry for a child below which nothing is allocated");
    const std::uint64_t begin = first + child * each, end = std::min(begin + each, found_.high_water);
    if (child_used > end - begin) return refused("an entry with more used than pages");
    // Looked at closely only where it is nearly full.
    const std::uint64_t regions = each / geometry_.region_pages();
    if (end - begin - child_used < 64 * regions && child_used > geometry_.usable({begin, end}))
      return refused("an entry with more used than pages");
    sum += child_used;
    pending_.push_back({.level = node.level - 1,
                        .crc = crc,
                        .index = node.index * children + child,
                        .generation = generation,
                        .used = child_used});
  }
  if (sum != used) return refused("used: not the sum of the entries");
  return {};
}

}  // namespace pagedb::scenarios
