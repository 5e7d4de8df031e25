// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Bench: an oracle and a medium, and small ways to lay pages on it by hand. Tests only.
//
// The workload uses pages 1, 2, 3 and 300 of 4 KiB; the file is 301 pages long unless a test says otherwise.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/oracle.h"
#include "scenarios/testing/hand_made.h"
#include "sim/media.h"

namespace pagedb::scenarios {

inline constexpr std::size_t kPage = 4096;

inline void expect_broken(const Verdict& verdict, Invariant invariant, const std::string& says) {
  EXPECT_EQ(verdict.kind, Verdict::Kind::broken) << "and should say: " << says;
  EXPECT_EQ(name(verdict.invariant), name(invariant)) << verdict.message;
  EXPECT_THAT(verdict.message, ::testing::HasSubstr(says));
}

struct Bench {
  /// A version of a page as an engine writes it, and its write, once it was submitted.
  struct Page {
    std::uint64_t lsn = 0;
    std::vector<std::byte> bytes{};
    const sim::WriteRecord* record = nullptr;
  };

  /// The next version of page `index`, sealed.
  Page intend(std::size_t index) {
    Page page{.bytes = std::vector<std::byte>(kPage)};
    page.lsn = oracle.intend(index, page.bytes);
    head_by_hand(page.bytes, oracle.pages()[index].value, page.lsn, 2, kHandTag);
    return page;
  }
  /// The same, and its write is on its way.
  Page write(std::size_t index) {
    Page page = intend(index);
    page.record = &submit(record(offset(index), page.bytes));
    return page;
  }
  /// The same, but the device puts it at byte `target`.
  Page misdirect(std::size_t index, std::uint64_t target) {
    Page page = intend(index);
    page.record = &submit(record(target, page.bytes, offset(index)));
    return page;
  }
  /// Two durable versions of page 0, of which the device put the second somewhere else.
  std::pair<Page, Page> one_and_astray() {
    const Page one = write(0);
    acknowledge(one);
    sync();
    land(one);
    const Page two = misdirect(0, 2 * kPage);
    acknowledge(two);
    sync();
    return {one, two};
  }
  void acknowledge(const Page& page) { oracle.returned(page.lsn, true); }
  void sync() { oracle.sync_succeeded(oracle.sync_begins()); }

  /// A write that lands at byte `at`; meant for `intended`, if that is said.
  sim::WriteRecord* record(std::uint64_t at, std::span<const std::byte> bytes, std::uint64_t intended = ~0ull) {
    std::byte* copy = arena.allocate(bytes.size());
    std::memcpy(copy, bytes.data(), bytes.size());
    sim::WriteRecord* made = arena.record();
    *made = {.id = next_id++,
             .offset = at,
             .intended = intended == ~0ull ? at : intended,
             .size = static_cast<std::uint32_t>(bytes.size()),
             .file = 1,
             .bytes = copy};
    return made;
  }
  const sim::WriteRecord& submit(sim::WriteRecord* made) {
    const Verdict verdict = oracle.submitted(*made, false);
    EXPECT_EQ(verdict.kind, Verdict::Kind::legal) << verdict.message;
    return *made;
  }

  void land(const sim::WriteRecord& made) { media.put(made); }
  void land(sim::WriteRecord* made) { media.put(*made); }
  void land(const Page& page) { media.put(*page.record); }
  /// Only `count` sectors of a write, from the one `first` of the page on.
  void land_sectors(const sim::WriteRecord& made, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = first; i < first + count; ++i) media.put(made.offset / sim::kSectorBytes + i, &made);
  }
  void land_sectors(const Page& page, std::uint64_t first, std::uint64_t count) {
    land_sectors(*page.record, first, count);
  }
  /// Sectors of a page as a write of their own: what a short transfer leaves to do.
  void land_piece(const Page& page, std::size_t first, std::size_t count) {
    std::uint64_t id = 0;
    std::memcpy(&id, page.bytes.data() + 8, sizeof id);
    const auto piece = std::span(page.bytes).subspan(first * sim::kSectorBytes, count * sim::kSectorBytes);
    land(submit(record(id * kPage + first * sim::kSectorBytes, piece)));
  }
  void damage(std::size_t index, std::uint64_t sector, const sim::Damage& what) {
    media.damage(offset(index) / sim::kSectorBytes + sector, what);
  }

  [[nodiscard]] std::uint64_t offset(std::size_t index) const { return oracle.pages()[index].value * kPage; }
  [[nodiscard]] faults::PageState state(std::size_t index, std::uint64_t floor) const {
    return oracle.state(media, length, index, floor);
  }
  [[nodiscard]] Verdict recovered(std::size_t index, std::span<const std::byte> bytes) const {
    return oracle.judge_recovered(index, nullptr, bytes, media, length);
  }
  [[nodiscard]] Verdict recovered(std::size_t index, ErrorCode code) const {
    const PageError error{.code = code};
    return oracle.judge_recovered(index, &error, {}, media, length);
  }
  [[nodiscard]] Verdict live(std::size_t index, std::span<const std::byte> bytes) const {
    return oracle.judge_live(index, nullptr, bytes, media, length);
  }
  [[nodiscard]] Verdict live(std::size_t index, ErrorCode code) const {
    const PageError error{.code = code};
    return oracle.judge_live(index, &error, {}, media, length);
  }

  sim::Arena arena;
  sim::Media media;
  Oracle oracle{PageSize{}, {PageId{1}, PageId{2}, PageId{3}, PageId{300}}, 5, arena};
  std::uint64_t length = 301 * kPage;
  std::uint64_t next_id = 1;
};

}  // namespace pagedb::scenarios
