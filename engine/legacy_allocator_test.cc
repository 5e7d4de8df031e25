// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Reading what the allocator of 1.x left: a file that it wrote, byte for byte; each way in which a state can contradict
// itself, and which page is blamed; hostile numbers; and arbitrary chains against a model.
#include "engine/legacy_allocator.h"

#include <rapidcheck.h>

#include <limits>
#include <numeric>
#include <set>

#include "engine/page_file_test.h"

namespace pagedb::testing_support {
namespace {

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

/// A sealed page of a 1.x file whose payload begins with `front`.
std::string sealed(std::uint64_t page_bytes, std::uint64_t id, std::string_view front, Lsn lsn = {}) {
  std::string page(page_bytes, '\0');
  page.replace(kPageHeaderBytes, front.size(), front);
  const auto span = std::as_writable_bytes(std::span(page));
  set_page_lsn(span, lsn);
  seal(span, {.id = PageId{id}});
  return page;
}

/// Payload of page 0.
struct State {
  std::uint64_t free_head = kNone;
  std::uint64_t next_new = 1;
  std::uint64_t free_count = 0;
  std::string magic = "PGSB";
  std::uint16_t version = 1;
  std::uint16_t reserved = 0;
};
std::string front_of(const State& state) {
  return state.magic + little_endian(state.version, 2) + little_endian(state.reserved, 2) +
         little_endian(state.free_head, 8) + little_endian(state.next_new, 8) + little_endian(state.free_count, 8);
}

class LegacyAllocatorTest : public PageFileTest {
 protected:
  static constexpr std::uint64_t kPage = 4096;

  /// A file of `pages` pages in use, `page_bytes` each, whose page 0 is `state`.
  void make(std::uint64_t pages, const State& state, std::uint64_t page_bytes = kPage) {
    put_bytes(headerless_file(page_bytes, pages));
    put_state(state, page_bytes);
  }
  void put_state(const State& state, std::uint64_t page_bytes = kPage) {
    poke(0, sealed(page_bytes, 0, front_of(state)));
  }
  void put_free(std::uint64_t id, std::uint64_t next, std::uint64_t page_bytes = kPage) {
    poke(id * page_bytes, sealed(page_bytes, id, little_endian(next, 8)));
  }
  /// A file of `pages` pages, of which those of `chain` are free, in that order.
  State make_chain(std::uint64_t pages, const std::vector<std::uint64_t>& chain, std::uint64_t page_bytes = kPage) {
    const State state{
        .free_head = chain.empty() ? kNone : chain.front(), .next_new = pages, .free_count = chain.size()};
    make(pages, state, page_bytes);
    for (std::size_t i = 0; i < chain.size(); ++i)
      put_free(chain[i], i + 1 < chain.size() ? chain[i + 1] : kNone, page_bytes);
    return state;
  }

  /// Reads the file's allocation, counting the reads that it takes.
  Result<LegacyAllocation> read(std::uint64_t page_bytes = kPage) {
    OpenOptions options = legacy(page_bytes);
    options.access = Access::read_only;
    const auto file = opened(options);
    reads_ = 0;
    const auto answer = system_.on_read;
    system_.on_read = [&](off_t offset, std::size_t size) {
      ++reads_;
      return answer ? answer(offset, size) : std::nullopt;
    };
    auto allocation = read_legacy_allocation(*file);
    system_.on_read = answer;
    return allocation;
  }
  /// Expects the error `code`, about page `about`.
  PageError expect_error(ErrorCode code, std::uint64_t about) {
    const auto allocation = read();
    if (allocation) {
      ADD_FAILURE() << "read; expected " << name(code);
      return {};
    }
    EXPECT_EQ(name(allocation.error().code), name(code)) << allocation.error().message();
    EXPECT_TRUE(allocation.error().has_page);
    EXPECT_EQ(allocation.error().page, PageId{about}) << allocation.error().message();
    return allocation.error();
  }
  void expect_damaged(std::uint64_t about) { expect_error(ErrorCode::allocation_damaged, about); }
  /// Expects high water and the free pages, by every way of asking.
  static void expect_allocation(const Result<LegacyAllocation>& read, std::uint64_t high_water,
                                const std::set<std::uint64_t>& free) {
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->high_water(), high_water);
    EXPECT_EQ(read->free_count(), free.size());
    std::set<std::uint64_t> listed;
    for (auto id = read->next_free(PageId{0}); id; id = read->next_free(PageId{id->value + 1}))
      listed.insert(id->value);
    EXPECT_EQ(listed, free);
    for (std::uint64_t id = 0; id < high_water + 70; ++id) {
      EXPECT_EQ(read->is_free(PageId{id}), free.contains(id)) << id;
      EXPECT_EQ(read->is_in_use(PageId{id}), id > 0 && id < high_water && !free.contains(id)) << id;
    }
    for (const std::uint64_t id : {kNone, kNone - 1, std::uint64_t{1} << 63}) {
      EXPECT_FALSE(read->is_free(PageId{id}));
      EXPECT_FALSE(read->is_in_use(PageId{id}));
      EXPECT_FALSE(read->next_free(PageId{id}));
    }
  }

  std::uint64_t reads_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Caching, LegacyAllocatorTest, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

// What 1.x wrote.

/// Header of each page of a file that the Rust crate page-db 1.0 wrote, and what its payload begins with, where that is
/// not the rule of page_test.cc: byte i of page p is 31 p + i.
struct GoldenPage {
  std::string_view header;
  std::string_view front;
};
constexpr std::array kGolden{
    GoldenPage{"5047444201000000000000000000000000000000000000009e0a1bac00000000",
               "504753420100000003000000000000000b000000000000000300000000000000"},
    GoldenPage{"50474442010000000100000000000000e90300000000000001e780ac00000000", {}},
    GoldenPage{"50474442010000000200000000000000ea03000000000000e9995b7300000000", {}},
    GoldenPage{"504744420100000003000000000000000000000000000000f1c4b46600000000", "0700000000000000"},
    GoldenPage{"50474442010000000400000000000000ec03000000000000c2d84eaa00000000", {}},
    GoldenPage{"504744420100000005000000000000000000000000000000a83b6b8200000000", "ffffffffffffffff"},
    GoldenPage{"50474442010000000600000000000000ee0300000000000085ebb99d00000000", {}},
    GoldenPage{"50474442010000000700000000000000000000000000000095476f9600000000", "0500000000000000"},
    GoldenPage{"50474442010000000800000000000000f003000000000000b9636b4100000000", {}},
    GoldenPage{"50474442010000000900000000000000f10300000000000009bbfc9d00000000", {}},
    GoldenPage{"50474442010000000a00000000000000f2030000000000001f0438f100000000", {}},
};

std::string from_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
  return bytes;
}

TEST_P(LegacyAllocatorTest, a_file_that_the_peer_wrote) {
  std::string file;
  for (std::size_t id = 0; id < kGolden.size(); ++id) {
    std::string page = from_hex(kGolden[id].header) + from_hex(kGolden[id].front);
    std::size_t next = 31 * id;
    while (page.size() < kPage) page += kGolden[id].front.empty() ? static_cast<char>(next++) : '\0';
    file += page;
  }
  put_bytes(file);
  const Snapshot before = snapshot();
  expect_allocation(read(), 11, {3, 5, 7});
  EXPECT_EQ(reads_, 4u) << "page 0 and the free pages";
  EXPECT_EQ(snapshot(), before);
}

// Sound states.

TEST_P(LegacyAllocatorTest, an_empty_chain) {
  make(4, {.next_new = 4});
  expect_allocation(read(), 4, {});
  EXPECT_EQ(reads_, 1u);
}

TEST_P(LegacyAllocatorTest, nothing_was_ever_given_out) {
  make(1, {});
  expect_allocation(read(), 1, {});
}

TEST_P(LegacyAllocatorTest, a_chain_through_the_last_page) {
  make_chain(8, {7});
  expect_allocation(read(), 8, {7});
  make_chain(8, {2, 7, 1});
  expect_allocation(read(), 8, {1, 2, 7});
}

TEST_P(LegacyAllocatorTest, every_page_is_free) {
  std::vector<std::uint64_t> chain(199);
  std::iota(chain.rbegin(), chain.rend(), 1);
  make_chain(200, chain);
  expect_allocation(read(), 200, {chain.begin(), chain.end()});
  EXPECT_EQ(reads_, 200u);
}

TEST_P(LegacyAllocatorTest, every_page_size) {
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes; bytes *= 2) {
    make_chain(5, {3, 1}, bytes);
    expect_allocation(read(bytes), 5, {1, 3});
  }
}

TEST_P(LegacyAllocatorTest, next_free_across_words) {
  make_chain(260, {1, 63, 64, 127, 128, 259});
  expect_allocation(read(), 260, {1, 63, 64, 127, 128, 259});
}

// A crash of 1.x can leave either: pages were given out and not written, or written and not yet recorded.
TEST_P(LegacyAllocatorTest, high_water_and_length_may_differ) {
  State state = make_chain(8, {6, 2});
  state.next_new = 1000;
  put_state(state);
  expect_allocation(read(), 1000, {2, 6});
  state.next_new = 7;
  put_state(state);
  expect_allocation(read(), 7, {2, 6});
}

TEST_P(LegacyAllocatorTest, the_reserved_field_is_ignored) {
  make(2, {.next_new = 2, .reserved = 0xABCD});
  expect_allocation(read(), 2, {});
}

TEST_P(LegacyAllocatorTest, it_moves) {
  make_chain(4, {2});
  auto first = read();
  ASSERT_TRUE(first);
  LegacyAllocation second = std::move(*first);
  EXPECT_TRUE(second.is_free(PageId{2}));
  *first = std::move(second);
  EXPECT_EQ(first->next_free(PageId{0}), PageId{2});
}

// No state of this kind.

TEST_P(LegacyAllocatorTest, a_file_with_a_superblock_has_none) {
  const auto file = created();
  const auto allocation = read_legacy_allocation(*file);
  ASSERT_FALSE(allocation);
  EXPECT_EQ(allocation.error().code, ErrorCode::no_allocation);
}

TEST_P(LegacyAllocatorTest, a_file_without_allocator) {
  put_bytes(headerless_file(kPage, 3));
  const auto allocation = read();
  ASSERT_FALSE(allocation);
  EXPECT_EQ(allocation.error().code, ErrorCode::no_allocation);
  EXPECT_FALSE(allocation.error().has_page);
}

TEST_P(LegacyAllocatorTest, another_version) {
  for (const int version : {0, 2, 0xFFFF}) {
    make(2, {.next_new = 0, .version = static_cast<std::uint16_t>(version)});
    EXPECT_EQ(expect_error(ErrorCode::unknown_format, 0).actual, static_cast<std::uint64_t>(version));
  }
}

TEST_P(LegacyAllocatorTest, an_empty_file) {
  put_bytes("");
  expect_error(ErrorCode::beyond_end, 0);
  put_bytes(std::string(kPage, '\0'));
  expect_error(ErrorCode::never_written, 0);
}

// Pages that cannot be had.

TEST_P(LegacyAllocatorTest, page_0_does_not_verify) {
  make_chain(4, {2});
  poke(kPage - 1, "x");
  expect_error(ErrorCode::bad_checksum, 0);
  poke(0, std::string(kPage, '\0'));
  expect_error(ErrorCode::never_written, 0);
}

TEST_P(LegacyAllocatorTest, a_free_page_does_not_verify) {
  const auto expect = [&](ErrorCode code, std::string_view page) {
    make_chain(9, {5, 8, 3});
    poke(8 * kPage, page);
    expect_error(code, 8);
  };
  expect(ErrorCode::never_written, std::string(kPage, '\0'));
  expect(ErrorCode::bad_magic, "X");
  expect(ErrorCode::wrong_page_id, sealed(kPage, 7, little_endian(3, 8)));
  // One bad bit in the bytes that a free page does not use: its checksum covers them.
  std::string rotten = sealed(kPage, 8, little_endian(3, 8));
  rotten[2000] ^= 0x10;
  expect(ErrorCode::bad_checksum, rotten);
}

TEST_P(LegacyAllocatorTest, a_page_that_cannot_be_read) {
  make_chain(9, {5, 8, 3});
  system_.on_read = [](off_t offset, std::size_t size) -> FaultySystem::Answer {
    // Opening looks at more than one page at a time.
    if (size == kPage && offset == off_t{8 * kPage}) return -EIO;
    return std::nullopt;
  };
  EXPECT_EQ(expect_error(ErrorCode::io_error, 8).sys_errno, EIO);
}

TEST_P(LegacyAllocatorTest, a_free_page_past_the_end) {
  State state = make_chain(9, {5, 8, 3});
  put_free(8, 9);
  expect_damaged(8);  // past the high water
  state.next_new = 10;
  put_state(state);
  EXPECT_EQ(expect_error(ErrorCode::beyond_end, 9).actual, 9u);
}

TEST_P(LegacyAllocatorTest, a_damaged_page_in_use_does_not_matter) {
  make_chain(9, {5, 8, 3});
  poke(4 * kPage, "XXXX");
  expect_allocation(read(), 9, {3, 5, 8});
}

TEST_P(LegacyAllocatorTest, a_poisoned_file) {
  make_chain(4, {2});
  const auto file = opened(legacy(kPage));
  system_.on_sync = [] { return -EIO; };
  EXPECT_FALSE(file->sync());
  const auto allocation = read_legacy_allocation(*file);
  ASSERT_FALSE(allocation);
  EXPECT_EQ(allocation.error().code, ErrorCode::poisoned);
}

// Contradictions: the page that says what cannot be is blamed.

TEST_P(LegacyAllocatorTest, high_water_of_0) {
  make(4, {.next_new = 0});
  expect_damaged(0);
}

TEST_P(LegacyAllocatorTest, high_water_past_what_a_file_can_have) {
  // Page 2^51 - 1 of 4 KiB would end at 2^63, which is no file offset.
  constexpr std::uint64_t kLimit = (std::uint64_t{1} << 51) - 1;
  make(4, {.next_new = kLimit});
  const auto most = read();
  ASSERT_TRUE(most);
  EXPECT_EQ(most->high_water(), kLimit);
  EXPECT_TRUE(most->is_in_use(PageId{kLimit - 1}));
  for (const std::uint64_t next_new : {kLimit + 1, std::uint64_t{1} << 52, std::uint64_t{1} << 63, kNone}) {
    put_state({.next_new = next_new});
    expect_damaged(0);
  }
}

TEST_P(LegacyAllocatorTest, more_free_pages_than_pages) {
  constexpr std::uint64_t kMost = (std::uint64_t{1} << 51) - 1;
  struct Claim {
    std::uint64_t free_count;
    std::uint64_t next_new;
  };
  State state = make_chain(6, {1, 2, 3});
  // As many as were given out, page 0 included; as many as the file has; and what no file has.
  for (const Claim claim : {Claim{4, 4}, Claim{6, 1000}, Claim{6, kMost}, Claim{std::uint64_t{1} << 32, kMost},
                            Claim{std::uint64_t{1} << 63, kMost}, Claim{kNone, kMost}, Claim{kNone, 4}}) {
    state.free_count = claim.free_count;
    state.next_new = claim.next_new;
    put_state(state);
    expect_damaged(0);
    EXPECT_EQ(reads_, 1u) << claim.free_count;
  }
}

TEST_P(LegacyAllocatorTest, a_head_that_cannot_be) {
  State state = make_chain(6, {4, 2});
  for (const std::uint64_t head : {std::uint64_t{0}, std::uint64_t{6}, std::uint64_t{1} << 63, kNone - 1, kNone}) {
    state.free_head = head;
    put_state(state);
    expect_damaged(0);
    EXPECT_EQ(reads_, 1u);
  }
}

TEST_P(LegacyAllocatorTest, a_next_page_that_cannot_be) {
  make_chain(6, {4, 2, 5});
  for (const std::uint64_t next : {std::uint64_t{0}, std::uint64_t{6}, std::uint64_t{1} << 63, kNone - 1}) {
    put_free(2, next);
    expect_damaged(2);
  }
}

TEST_P(LegacyAllocatorTest, a_chain_longer_than_its_count) {
  State state = make_chain(6, {4, 2, 5});
  state.free_count = 2;
  put_state(state);
  expect_damaged(2);
  state.free_count = 0;
  put_state(state);
  expect_damaged(0);
  state.free_count = 3;
  put_state(state);
  for (const std::uint64_t next : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{6}, kNone - 1}) {
    put_free(5, next);
    expect_damaged(5);
  }
}

TEST_P(LegacyAllocatorTest, a_chain_shorter_than_its_count) {
  State state = make_chain(6, {4, 2});
  state.free_count = 3;
  put_state(state);
  expect_damaged(2);
}

TEST_P(LegacyAllocatorTest, a_cycle_of_each_length) {
  // The chain is 1, 2, ... 9, and page 9 names an earlier one or itself. The count says that there is more to come, or
  // that this was all.
  std::vector<std::uint64_t> chain(9);
  std::iota(chain.begin(), chain.end(), 1);
  State state = make_chain(20, chain);
  for (const std::uint64_t count : {9u, 10u, 19u}) {
    state.free_count = count;
    put_state(state);
    for (const std::uint64_t back_to : chain) {
      put_free(9, back_to);
      expect_damaged(9);
      EXPECT_EQ(reads_, 10u) << "a cycle is noticed as it closes";
    }
  }
}

TEST_P(LegacyAllocatorTest, a_sparse_file_of_hostile_length) {
  constexpr std::uint64_t kPages = std::uint64_t{1} << 24;  // 64 GiB
  make_chain(4, {1, 2});
  put_free(2, 1);
  put_state({.free_head = 1, .next_new = kPages, .free_count = kPages - 1});
  std::filesystem::resize_file(path_, kPages * kPage);
  expect_damaged(2);
  EXPECT_EQ(reads_, 3u);
  put_free(2, kPages - 1);
  expect_error(ErrorCode::never_written, kPages - 1);
}

// Property: whatever stands in page 0 and in the links, what comes out is the chain if it is one, and an error about a
// page on the way otherwise, after no more reads than the count allows.

class LegacyAllocatorProperty : public LegacyAllocatorTest {};
INSTANTIATE_TEST_SUITE_P(Caching, LegacyAllocatorProperty, testing::Values(Caching::buffered), caching_name);

TEST_P(LegacyAllocatorProperty, what_is_read_is_the_chain) {
  constexpr std::uint64_t kPages = 7;
  EXPECT_TRUE(rc::check([&](bool mostly_sound) {
    // A chain, and with it what may have happened to it.
    std::vector<std::uint64_t> chain =
        *rc::gen::unique<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(1, kPages));
    State state = make_chain(kPages, chain);
    std::vector<std::uint64_t> next(kPages, kNone);
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) next[chain[i]] = chain[i + 1];
    const auto any_link = rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, kPages + 2), rc::gen::just(kNone));
    const int changes = *rc::gen::inRange(0, mostly_sound ? 2 : 4);
    std::set<std::uint64_t> rotten;
    for (int i = 0; i < changes; ++i) {
      const std::uint64_t at = *rc::gen::inRange<std::uint64_t>(0, kPages);
      const int what = *rc::gen::inRange(0, 4);
      if (what == 0) {
        state.free_count = *rc::gen::inRange<std::uint64_t>(0, kPages + 2);
      } else if (what == 1) {
        state.next_new = *rc::gen::inRange<std::uint64_t>(0, kPages + 2);
      } else if (what == 2 && at != 0) {
        rotten.insert(at);
      } else {
        (at == 0 ? state.free_head : next[at]) = *any_link;
      }
    }
    put_state(state);
    for (std::uint64_t id = 1; id < kPages; ++id) put_free(id, next[id]);
    for (const std::uint64_t id : rotten) poke(id * kPage + 3000, "rot");

    // The chain as it stands, to where it ends or must not go on.
    std::set<std::uint64_t> way;
    std::uint64_t at = state.free_head;
    while (at > 0 && at < std::min(kPages, state.next_new) && !rotten.contains(at) && way.insert(at).second)
      at = next[at];
    const bool is_chain = state.next_new > 0 && at == kNone && way.size() == state.free_count;

    const auto allocation = read();
    RC_ASSERT(reads_ <= std::min(state.free_count, kPages) + 1);
    RC_ASSERT(allocation.has_value() == is_chain);
    if (is_chain) {
      expect_allocation(allocation, state.next_new, way);
      RC_ASSERT(!HasFailure());
    } else {
      RC_ASSERT(allocation.error().has_page);
      const std::uint64_t page = allocation.error().page.value;
      RC_ASSERT(page == 0 || page == at || way.contains(page));
    }
  }));
}

}  // namespace
}  // namespace pagedb::testing_support
