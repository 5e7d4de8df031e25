// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PoolModel: what a buffer pool must show of each page, and when it may say that every frame is held.
//
// A page's newest version is the one whose exclusive guard was released last; a read that returns Ok returns exactly
// that one. A page whose newest version is unknown (dropped, or in a file that was opened again) may show whatever the
// store legally holds, and that is its newest version from then on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pagedb::scenarios {

class PoolModel {
 public:
  explicit PoolModel(std::size_t pages) : pages_(pages) {}

  /// What a page must show.
  struct Page {
    std::uint64_t lsn = 0;       ///< newest version; 0: none
    bool known = true;           ///< false: whatever the store holds
    bool changed = false;        ///< by this pool, so that a flush speaks of it
    std::uint64_t dropped = 0;   ///< how often it was
    std::uint32_t users = 0;     ///< tasks that are at work on it
    bool being_dropped = false;  ///< leave it alone
  };
  [[nodiscard]] const Page& page(std::size_t index) const noexcept { return pages_[index]; }

  /// The exclusive guard under which version `lsn` was made is about to be released.
  void changed(std::size_t index, std::uint64_t lsn) {
    pages_[index].lsn = lsn;
    pages_[index].known = pages_[index].changed = true;
  }
  /// An unknown page showed version `lsn`.
  void found(std::size_t index, std::uint64_t lsn) {
    pages_[index].lsn = lsn;
    pages_[index].known = true;
  }
  void begin_drop(std::size_t index) { pages_[index].being_dropped = true; }
  void end_drop(std::size_t index) {
    Page& page = pages_[index];
    page.known = page.changed = page.being_dropped = false;
    ++page.dropped;
  }
  /// The pool is given up: the store holds what it holds.
  void forget() {
    for (Page& page : pages_) page.known = page.changed = false;
  }

  /// Counts a task among those at work on a page while it lives.
  class Use {
   public:
    Use(PoolModel& model, std::size_t index) : page_(model.pages_[index]) { ++page_.users; }
    ~Use() { --page_.users; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Page& page_;
  };

  // ---- frames

  /// Counts one frame, which a guard or a call may be holding, while it lives; remembers the most that were counted
  /// meanwhile.
  class Frame {
   public:
    explicit Frame(PoolModel& model) : model_(model) {
      model_.frames_.push_back(this);
      for (Frame* other : model_.frames_) other->most_ = std::max(other->most_, model_.frames_.size());
    }
    ~Frame() { model_.frames_.erase(std::find(model_.frames_.begin(), model_.frames_.end(), this)); }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    /// The most frames, besides this one, that were held at once since it began.
    [[nodiscard]] std::size_t most_others() const noexcept { return most_ - 1; }

   private:
    PoolModel& model_;
    std::size_t most_ = 0;
  };

  // ---- what a flush covers

  /// Versions that a flush that begins now has to write.
  struct Covered {
    std::size_t page;
    std::uint64_t lsn;
    std::uint64_t dropped;
  };
  [[nodiscard]] Covered covered(std::size_t index) const {
    const Page& page = pages_[index];
    return {index, page.changed ? page.lsn : 0, page.dropped};
  }
  [[nodiscard]] std::vector<Covered> covered() const {
    std::vector<Covered> all;
    for (std::size_t index = 0; index < pages_.size(); ++index) {
      if (pages_[index].changed && !pages_[index].being_dropped) all.push_back(covered(index));
    }
    return all;
  }
  /// Whether it did: it was not dropped meanwhile.
  [[nodiscard]] bool holds(const Covered& what) const {
    const Page& page = pages_[what.page];
    return what.lsn != 0 && page.dropped == what.dropped && !page.being_dropped;
  }

 private:
  std::vector<Page> pages_;
  std::vector<Frame*> frames_;
};

}  // namespace pagedb::scenarios
