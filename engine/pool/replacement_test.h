// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the tests of Replacement share: a pool without pages, that does to it what a BufferPool would.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "engine/pool/memory_store_test.h"
#include "engine/pool/reference_policies_test.h"
#include "engine/pool/replacement.h"
#include "engine/thread_scheduler.h"

namespace pagedb::testing_support {

/// A frame table, its Replacement, and which page is where.
class ReplacementWorld : public CachePolicy {
 public:
  explicit ReplacementWorld(std::uint32_t frames) : page_in_(frames) {
    const auto made = table.make(scheduler_, store_, frames);
    EXPECT_TRUE(made);
    const auto replacement_made = replacement.make(table);
    EXPECT_TRUE(replacement_made);
  }

  bool resident(std::uint64_t page) const { return frame_of_.contains(page); }
  std::uint32_t frame_of(std::uint64_t page) const { return frame_of_.at(page); }
  std::uint64_t page_in(std::uint32_t frame) const { return page_in_[frame]; }

  /// What a hit does.
  void use(std::uint64_t page) {
    auto& uses = table.info(frame_of_.at(page)).uses;
    const std::uint8_t before = uses.load(std::memory_order_relaxed);
    if (before < detail::kUsesMax) uses.store(static_cast<std::uint8_t>(before + 1), std::memory_order_relaxed);
  }
  bool request(std::uint64_t page) override {
    if (resident(page)) {
      use(page);
      return true;
    }
    bring_in(page, true);
    return false;
  }
  /// What a prefetch does.
  void prefetch(std::uint64_t page) {
    if (!resident(page)) bring_in(page, false);
  }
  /// Evicts what the policy offers; the frame is then in no queue.
  std::uint32_t evict() {
    const std::uint32_t frame = replacement.candidate();
    EXPECT_NE(frame, detail::kNoFrame);
    evicted(frame);
    return frame;
  }
  /// Gives the candidate `frame` to `page`.
  void put_instead(std::uint32_t frame, std::uint64_t page) {
    evicted(frame);
    admit(frame, page, true);
  }
  void drop(std::uint64_t page) {
    const std::uint32_t frame = frame_of_.at(page);
    EXPECT_TRUE(replacement.remove(frame));
    replacement.give_free(frame);
    frame_of_.erase(page);
  }
  /// Requests `count` pages from `first` on, each once.
  void scan(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t page = first; page < first + count; ++page) request(page);
  }

 private:
  void evicted(std::uint32_t frame) {
    const std::uint64_t page = page_in_[frame];
    EXPECT_EQ(frame_of_.erase(page), 1u) << "frame " << frame << " holds no page";
    replacement.evicted(frame, PageId{page});
  }
  void bring_in(std::uint64_t page, bool used) {
    std::uint32_t frame = replacement.take_free();
    if (frame == detail::kNoFrame) frame = evict();
    admit(frame, page, used);
  }
  void admit(std::uint32_t frame, std::uint64_t page, bool used) {
    frame_of_[page] = frame;
    page_in_[frame] = page;
    replacement.admit(frame, PageId{page}, used);
  }

  ThreadScheduler scheduler_;
  MemoryStore store_;

 public:
  detail::FrameTable table;
  detail::Replacement replacement;

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> frame_of_;
  std::vector<std::uint64_t> page_in_;
};

}  // namespace pagedb::testing_support
