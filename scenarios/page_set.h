// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageSet: a set of page numbers as ranges, ascending and apart from each other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "scenarios/reference_allocation.h"

namespace pagedb::scenarios {

class PageSet {
 public:
  PageSet() = default;
  explicit PageSet(std::vector<PageRange> ranges) : ranges_(std::move(ranges)) {}

  [[nodiscard]] const std::vector<PageRange>& ranges() const noexcept { return ranges_; }
  [[nodiscard]] bool contains(std::uint64_t page) const noexcept {
    const auto after = above(page);
    return after != ranges_.begin() && page < std::prev(after)->end;
  }
  /// Whether any page of [range.begin, range.end) is in it.
  [[nodiscard]] bool touches(PageRange range) const noexcept {
    const auto after = above(range.begin);
    if (after != ranges_.begin() && range.begin < std::prev(after)->end) return true;
    return after != ranges_.end() && after->begin < range.end;
  }
  [[nodiscard]] std::uint64_t size() const noexcept {
    std::uint64_t pages = 0;
    for (const PageRange& range : ranges_) pages += range.end - range.begin;
    return pages;
  }
  void add(PageRange range) {
    remove(range);
    auto at = ranges_.insert(above_(range.begin), range);
    if (const auto next = std::next(at); next != ranges_.end() && next->begin == at->end) {
      at->end = next->end;
      ranges_.erase(next);
    }
    if (at != ranges_.begin() && std::prev(at)->end == at->begin) {
      std::prev(at)->end = at->end;
      ranges_.erase(at);
    }
  }
  void remove(PageRange range) {
    std::vector<PageRange> left;
    left.reserve(ranges_.size() + 1);
    for (const PageRange& held : ranges_) {
      if (held.begin < range.begin) left.push_back({held.begin, std::min(held.end, range.begin)});
      if (held.end > range.end) left.push_back({std::max(held.begin, range.end), held.end});
    }
    ranges_ = std::move(left);
  }
  /// The pages that are in it and not in `other`.
  [[nodiscard]] PageSet without(const PageSet& other) const {
    PageSet left = *this;
    for (const PageRange& range : other.ranges_) {
      if (left.touches(range)) left.remove(range);
    }
    return left;
  }
  friend bool operator==(const PageSet&, const PageSet&) = default;

 private:
  [[nodiscard]] std::vector<PageRange>::const_iterator above(std::uint64_t page) const noexcept {
    return std::upper_bound(ranges_.begin(), ranges_.end(), page,
                            [](std::uint64_t value, const PageRange& range) { return value < range.begin; });
  }
  [[nodiscard]] std::vector<PageRange>::iterator above_(std::uint64_t page) noexcept {
    return std::upper_bound(ranges_.begin(), ranges_.end(), page,
                            [](std::uint64_t value, const PageRange& range) { return value < range.begin; });
  }

  std::vector<PageRange> ranges_;
};

}  // namespace pagedb::scenarios
