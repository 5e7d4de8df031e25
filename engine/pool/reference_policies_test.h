// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Replacement policies to compare ours with, as simple as they can be written: LRU, clock, 2Q and LRU-2. Tests only.
//
// Sources: Johnson and Shasha, "2Q: a low overhead high performance buffer management replacement algorithm", VLDB 1994
// (the full version, with the sizes it proposes); O'Neil, O'Neil and Weikum, "The LRU-K page replacement algorithm for
// database disk buffering", SIGMOD 1993 (K = 2, no correlated reference period, the history of every page kept for
// ever).
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace pagedb::testing_support {

/// A cache of `capacity` pages, as far as hits and misses go.
class CachePolicy {
 public:
  virtual ~CachePolicy() = default;
  /// One request of `page`: whether it was a hit. Afterwards the page is in the cache.
  virtual bool request(std::uint64_t page) = 0;
};

/// Pages in an order, each at most once.
class PageList {
 public:
  std::size_t size() const { return order_.size(); }
  bool contains(std::uint64_t page) const { return page < where_.size() && where_[page] != Order::const_iterator(); }
  void push_front(std::uint64_t page) {
    if (page >= where_.size()) where_.resize(page + 1);
    order_.push_front(page);
    where_[page] = order_.cbegin();
  }
  std::uint64_t pop_back() {
    const std::uint64_t page = order_.back();
    remove(page);
    return page;
  }
  void remove(std::uint64_t page) {
    order_.erase(where_[page]);
    where_[page] = {};
  }
  void to_front(std::uint64_t page) { order_.splice(order_.cbegin(), order_, where_[page]); }

 private:
  using Order = std::list<std::uint64_t>;
  Order order_;
  std::vector<Order::const_iterator> where_;  // by page
};

class Lru final : public CachePolicy {
 public:
  explicit Lru(std::size_t capacity) : capacity_(capacity) {}
  bool request(std::uint64_t page) override {
    if (pages_.contains(page)) {
      pages_.to_front(page);
      return true;
    }
    if (pages_.size() == capacity_) pages_.pop_back();
    pages_.push_front(page);
    return false;
  }

 private:
  std::size_t capacity_;
  PageList pages_;
};

/// One reference bit a frame, and a hand that clears them.
class Clock final : public CachePolicy {
 public:
  explicit Clock(std::size_t capacity) : capacity_(capacity) {}
  bool request(std::uint64_t page) override {
    if (const auto found = frame_of_.find(page); found != frame_of_.end()) {
      frames_[found->second].referenced = true;
      return true;
    }
    if (frames_.size() < capacity_) {
      frame_of_[page] = frames_.size();
      frames_.push_back({page, true});
      return false;
    }
    for (; frames_[hand_].referenced; hand_ = (hand_ + 1) % capacity_) frames_[hand_].referenced = false;
    frame_of_.erase(frames_[hand_].page);
    frames_[hand_] = {page, true};
    frame_of_[page] = hand_;
    hand_ = (hand_ + 1) % capacity_;
    return false;
  }

 private:
  struct Frame {
    std::uint64_t page;
    bool referenced;
  };
  std::size_t capacity_;
  std::size_t hand_ = 0;
  std::vector<Frame> frames_;
  std::unordered_map<std::uint64_t, std::size_t> frame_of_;
};

/// The full version: A1in (a quarter of the cache, FIFO), A1out (numbers only, half as many as the cache has pages,
/// FIFO), Am (LRU).
class TwoQ final : public CachePolicy {
 public:
  explicit TwoQ(std::size_t capacity)
      : capacity_(capacity),
        in_max_(capacity / 4 > 0 ? capacity / 4 : 1),
        out_max_(capacity / 2 > 0 ? capacity / 2 : 1) {}
  bool request(std::uint64_t page) override {
    if (main_.contains(page)) {
      main_.to_front(page);
      return true;
    }
    if (in_.contains(page)) return true;
    const bool remembered = out_.contains(page);
    if (remembered) out_.remove(page);
    make_room();
    (remembered ? main_ : in_).push_front(page);
    return false;
  }

 private:
  void make_room() {
    if (in_.size() + main_.size() < capacity_) return;
    if (in_.size() > in_max_ || main_.size() == 0) {
      out_.push_front(in_.pop_back());
      if (out_.size() > out_max_) out_.pop_back();
    } else {
      main_.pop_back();
    }
  }

  std::size_t capacity_, in_max_, out_max_;
  PageList in_, out_, main_;
};

/// Evicts the page whose last use but one is longest ago; pages used once before all others, longest unused first.
class Lru2 final : public CachePolicy {
 public:
  explicit Lru2(std::size_t capacity) : capacity_(capacity) {}
  bool request(std::uint64_t page) override {
    Uses& uses = uses_[page];
    const bool hit = resident_.erase(key(page, uses)) > 0;
    if (!hit && resident_.size() == capacity_) resident_.erase(resident_.begin());
    uses = {uses.last, ++now_};
    resident_.insert(key(page, uses));
    return hit;
  }

 private:
  struct Uses {
    std::uint64_t last_but_one = 0;
    std::uint64_t last = 0;
  };
  using Key = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;
  static Key key(std::uint64_t page, const Uses& uses) { return {uses.last_but_one, uses.last, page}; }

  std::size_t capacity_;
  std::uint64_t now_ = 0;
  std::unordered_map<std::uint64_t, Uses> uses_;  // of pages that left, too
  std::set<Key> resident_;
};

}  // namespace pagedb::testing_support
