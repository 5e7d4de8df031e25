// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Nodes on disk: exact bytes, what is right, and each of the rules 3 to 6 of FORMAT.md broken alone.
#include "engine/alloc/node_page.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

namespace pagedb::detail {
namespace {

constexpr std::uint32_t kTag = 0x01020304;

/// A node as its parts, made into a page with whatever is wrong with it, and checked as the reader does.
struct Sample {
  MapGeometry geometry{PageSize{}};
  std::uint64_t page_bytes = 4096;
  NodeHeader header{};
  std::vector<std::byte> body;
  NodeExpectation expected{};

  Sample(std::uint64_t bytes, unsigned level, std::uint64_t index, bool is_root, std::uint64_t high_water)
      : geometry(*PageSize::of(bytes)),
        page_bytes(bytes),
        header{.magic = kNodeMagic,
               .level = level,
               .index = index,
               .generation = 5,
               .high_water = is_root ? high_water : 0},
        body(body_bytes(geometry, level)),
        expected{.level = level,
                 .index = index,
                 .generation = 5,
                 .is_root = is_root,
                 .high_water = is_root ? 0 : high_water} {}

  /// Leaf: page `page` is allocated.
  Sample& allocate(std::uint64_t page) {
    const std::uint64_t bit = page - geometry.begin(0, header.index);
    body[bit / 8] |= static_cast<std::byte>(1u << bit % 8);
    return used(header.used + 1);
  }
  /// Inner node: child `at` is as `entry` says.
  Sample& put(std::uint32_t at, const NodeEntry& entry) {
    std::memcpy(body.data() + at * sizeof entry, &entry, sizeof entry);
    return used(header.used + entry.used);
  }
  Sample& used(std::uint64_t count) {
    header.used = expected.used = count;
    return *this;
  }
  std::vector<std::byte> page() const {
    std::vector<std::byte> bytes(page_bytes, std::byte{0xEE});
    std::memcpy(bytes.data() + kNodeBody, body.data(), body.size());
    write_node(geometry, header, bytes);
    set_page_lsn(bytes, Lsn{0});
    return bytes;
  }
  using Change = std::function<void(std::vector<std::byte>&)>;
  /// Whether the page is accepted with a checksum that holds and is the expected one.
  bool ok(const Change& change = {}, std::uint16_t flags = page_flags::kMetadata) const {
    std::vector<std::byte> bytes = page();
    if (change) change(bytes);
    const PageIdentity identity{.id = PageId{258}, .file_tag = kTag, .has_file_tag = true};
    seal(bytes, identity, flags);
    const auto sealed = verify(bytes, *PageSize::of(page_bytes), identity);
    EXPECT_TRUE(sealed);
    NodeExpectation wanted = expected;
    wanted.crc32c = sealed->crc32c;
    EXPECT_EQ(node_header(bytes).index, read<std::uint64_t>(bytes, 48));
    if (!check_node(geometry, *sealed, bytes, wanted)) return false;
    wanted.crc32c ^= 1;
    EXPECT_FALSE(check_node(geometry, *sealed, bytes, wanted)) << "a node with another checksum than is expected";
    return true;
  }
  template <class T>
  static T read(const std::vector<std::byte>& bytes, std::size_t at) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  }
};

/// Sets a field of the page.
template <class T>
Sample::Change with(std::size_t at, T value) {
  return [=](std::vector<std::byte>& bytes) { std::memcpy(bytes.data() + at, &value, sizeof value); };
}

Sample leaf(bool is_root = false) {
  Sample sample(4096, 0, 0, is_root, 400);
  for (const std::uint64_t page : {2u, 63u, 64u, 254u, 286u, 399u}) sample.allocate(page);
  return sample;
}
Sample far_leaf() {
  Sample sample(4096, 0, 3, false, 5 * 16384);
  for (const std::uint64_t page : {3u * 16384 + 5, 4u * 16384 - 1}) sample.allocate(page);
  return sample;
}
Sample inner(bool is_root = false) {
  Sample sample(4096, 1, 0, is_root, 3 * 16384 + 100);
  sample.put(0, {.generation = 4, .used = 10, .crc32c = 7});
  sample.put(2, {.generation = 9, .used = 1, .crc32c = 0});
  sample.put(3, {.generation = 1, .used = 95, .crc32c = 1});
  return sample;
}

TEST(NodePage, bytes_on_disk) {
  using namespace std::string_view_literals;
  const auto expect = [](const std::vector<std::byte>& page, std::size_t at, std::string_view bytes) {
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(page.data()) + at, bytes.size()), bytes) << at;
  };
  Sample sample = far_leaf();
  sample.header.generation = 0x0102030405060708;
  std::vector<std::byte> page = sample.page();
  expect(page, 32, "ALLOCMAP\x00\x00\x00\x00\x00\x00\x00\x00"sv);
  expect(page, 48, "\x03\x00\x00\x00\x00\x00\x00\x00\x08\x07\x06\x05\x04\x03\x02\x01"sv);
  expect(page, 64, "\x02\x00\x00\x00\x00\x00\x00\x00"sv);
  expect(page, 72, std::string(56, '\0'));
  expect(page, 128, "\x20\x00"sv);     // page 5 of the region
  expect(page, 128 + 2047, "\x80"sv);  // its last page
  expect(page, 128 + 2048, std::string(4096 - 128 - 2048, '\0'));

  page = inner(true).page();
  expect(page, 40, "\x01\x00\x00\x00"sv);
  expect(page, 64, "\x6A\x00\x00\x00\x00\x00\x00\x00\x64\xC0\x00\x00\x00\x00\x00\x00"sv);  // 106 used, high water
  expect(page, 128 + 24 * 2, "\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv);
  expect(page, 128 + 24 * 3, "\x01\0\0\0\0\0\0\0\x5F\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"sv);
  expect(page, 128 + 24 * 4, std::string(4096 - 128 - 24 * 4, '\0'));
}

TEST(NodePage, what_is_right_is_accepted) {
  EXPECT_TRUE(leaf().ok());
  EXPECT_TRUE(leaf(true).ok());
  EXPECT_TRUE(far_leaf().ok());
  EXPECT_TRUE(inner().ok());
  EXPECT_TRUE(inner(true).ok());
  EXPECT_TRUE(Sample(4096, 0, 0, true, 0).ok()) << "a root below which nothing is allocated";
}

TEST(NodePage, the_largest_of_every_page_size_is_accepted) {
  for (std::uint64_t bytes = PageSize::kMinBytes; bytes <= PageSize::kMaxBytes; bytes *= 2) {
    const MapGeometry geometry(*PageSize::of(bytes));
    for (unsigned level = 0; level <= geometry.top_level(); ++level) {
      Sample sample(bytes, level, 0, true, geometry.end(level, 0));
      if (level == 0) {
        for (std::uint64_t page = 0; page < geometry.region_pages(); ++page)
          if (!geometry.reserved(page)) sample.allocate(page);
      } else {
        for (std::uint32_t child = 0; child < geometry.children(); ++child) {
          const std::uint64_t begin = geometry.begin(level - 1, child), end = geometry.end(level - 1, child);
          if (begin >= end) break;
          sample.put(child, {.generation = child + 1, .used = geometry.usable(begin, end), .crc32c = child});
        }
      }
      EXPECT_EQ(sample.header.used, geometry.usable(0, geometry.end(level, 0)));
      EXPECT_TRUE(sample.ok()) << bytes << " level " << level;
    }
  }
}

// Rule 3.
TEST(NodePage, a_node_in_the_wrong_place_or_of_another_generation_is_refused) {
  for (const Sample& sample : {leaf(), leaf(true), far_leaf(), inner(), inner(true)}) {
    EXPECT_FALSE(sample.ok({}, 0)) << "a user's page";
    EXPECT_FALSE(sample.ok(with<std::uint64_t>(16, 1))) << "an LSN";
    EXPECT_FALSE(sample.ok(with(32, kNodeMagic + 1)));
    EXPECT_FALSE(sample.ok(with(40, sample.header.level + 1)));
    EXPECT_FALSE(sample.ok(with<std::uint32_t>(40, ~0u))) << "a level that no tree has";
    EXPECT_FALSE(sample.ok(with(48, sample.header.index + 1)));
    EXPECT_FALSE(sample.ok(with(48, ~std::uint64_t{0})));
    for (const std::uint64_t generation : {0u, 3u, 4u, 6u, 7u}) EXPECT_FALSE(sample.ok(with(56, generation)));
  }
}

// Rule 4.
TEST(NodePage, what_is_zero_is_zero) {
  for (const Sample& sample : {leaf(), leaf(true), far_leaf(), inner(), inner(true)}) {
    for (std::size_t at = 44; at < 48; ++at) EXPECT_FALSE(sample.ok(with<std::uint8_t>(at, 1))) << at;
    for (std::size_t at = 80; at < 128; ++at) EXPECT_FALSE(sample.ok(with<std::uint8_t>(at, 1))) << at;
    for (std::size_t at = 128 + sample.body.size(); at < 4096; ++at)
      ASSERT_FALSE(sample.ok(with<std::uint8_t>(at, 0x80))) << at;
  }
  for (const Sample& sample : {leaf(), far_leaf(), inner()}) {
    EXPECT_FALSE(sample.ok(with<std::uint64_t>(72, sample.expected.high_water))) << "high water, but no root";
    EXPECT_FALSE(sample.ok(with<std::uint64_t>(72, 1)));
  }
}

TEST(NodePage, high_water_is_no_more_than_the_root_covers) {
  for (const std::uint64_t bytes : {4096u, 65536u, 1048576u}) {
    const MapGeometry geometry(*PageSize::of(bytes));
    for (unsigned level = 0; level <= geometry.top_level(); ++level) {
      const Sample sample(bytes, level, 0, true, 0);
      EXPECT_TRUE(sample.ok(with(72, geometry.end(level, 0)))) << level;
      // The highest level covers more than there can be: FORMAT.md draws the line at 2^63 bytes.
      const std::uint64_t limit = std::uint64_t{1} << (63 - PageSize::of(bytes)->shift());
      const std::uint64_t most = level == geometry.top_level() ? limit : geometry.end(level, 0);
      EXPECT_FALSE(sample.ok(with(72, most + 1))) << level;
      EXPECT_FALSE(sample.ok(with(72, ~std::uint64_t{0}))) << level;
    }
  }
}

// Rule 5.
TEST(NodePage, used_is_what_is_counted_and_what_the_parent_says) {
  for (const Sample& right : {leaf(), leaf(true), far_leaf(), inner(), inner(true)}) {
    for (const std::uint64_t off : {std::uint64_t{1}, ~std::uint64_t{0}}) {
      Sample sample = right;
      sample.header.used += off;
      EXPECT_FALSE(sample.ok()) << "another count than the parent's";
      sample.expected.used += off;
      EXPECT_FALSE(sample.ok()) << "another count than that of the bits or entries";
      sample = right;
      sample.expected.used += off;
      EXPECT_EQ(sample.ok(), sample.expected.is_root) << "of a root nobody says it";
    }
  }
}

// Rule 6, leaves.
TEST(NodePage, no_reserved_page_is_allocated) {
  for (const std::uint64_t index : {0u, 1u, 127u, 128u, 129u, 16384u}) {
    Sample empty(4096, 0, index, false, (index + 1) * 16384);
    const std::uint64_t begin = empty.geometry.begin(0, index);
    for (std::uint64_t page = begin; page < begin + 400; ++page) {
      Sample sample = empty;
      EXPECT_EQ(sample.allocate(page).ok(), !empty.geometry.reserved(page)) << "page " << page;
    }
  }
}

TEST(NodePage, no_page_at_or_past_high_water_is_allocated) {
  for (const bool is_root : {false, true}) {
    for (const std::uint64_t high_water : {0u, 3u, 63u, 64u, 65u, 300u, 16383u, 16384u}) {
      for (std::uint64_t page = 2; page < 16384; page += page < 400 || page > 16300 ? 1 : 61) {
        Sample sample(4096, 0, 0, is_root, high_water);
        if (sample.geometry.reserved(page)) continue;
        EXPECT_EQ(sample.allocate(page).ok(), page < high_water) << "page " << page << ", high water " << high_water;
      }
    }
  }
}

// Rule 6, other nodes.
TEST(NodePage, entries_are_whole_or_zero) {
  const NodeEntry entries[] = {
      {.generation = 0, .used = 1, .crc32c = 0}, {.generation = 0, .used = 0, .crc32c = 1},
      {.generation = 1, .used = 0, .crc32c = 0}, {.generation = 1, .used = 0, .crc32c = 1},
      {.generation = 1, .used = 1, .zero = 1},   {.generation = 0, .used = 0, .zero = 1},
  };
  for (const bool is_root : {false, true})
    for (const NodeEntry& entry : entries) EXPECT_FALSE(inner(is_root).put(1, entry).ok());
}

TEST(NodePage, no_child_has_more_than_its_pages_for_users) {
  for (const unsigned level : {1u, 2u, 6u}) {
    for (const std::uint32_t child : {0u, 1u, 3u}) {
      const MapGeometry geometry{PageSize{}};
      const std::uint64_t begin = geometry.begin(level - 1, child), end = geometry.end(level - 1, child);
      // Below high water only.
      for (const std::uint64_t high_water : {end, end + 5, begin + 1000}) {
        if (high_water > geometry.page_limit()) continue;
        const std::uint64_t most = geometry.usable(begin, std::min(end, high_water));
        for (const bool is_root : {false, true}) {
          const auto with_used = [&](std::uint64_t used) {
            return Sample(4096, level, 0, is_root, high_water).put(child, {.generation = 1, .used = used}).ok();
          };
          EXPECT_TRUE(with_used(1));
          EXPECT_TRUE(with_used(most));
          EXPECT_FALSE(with_used(most + 1));
          EXPECT_FALSE(with_used(~std::uint64_t{0}));
        }
      }
    }
  }
}

TEST(NodePage, children_at_or_past_high_water_have_no_entry) {
  for (const bool is_root : {false, true}) {
    for (const std::uint64_t high_water : {0u, 16384u, 16384u + 6, 2 * 16384u, 3 * 16384u}) {
      for (std::uint32_t child = 0; child < 5; ++child) {
        Sample sample(4096, 1, 0, is_root, high_water);
        sample.put(child, {.generation = 1, .used = 1});
        EXPECT_EQ(sample.ok(), std::uint64_t{child} * 16384 < high_water) << child << ", high water " << high_water;
      }
    }
  }
}

// Sums that come out right modulo 2^64 only.
TEST(NodePage, counts_do_not_wrap) {
  Sample sample = inner(true);
  sample.put(1, {.generation = 1, .used = std::uint64_t{0} - 10});
  EXPECT_FALSE(sample.ok());
}

TEST(NodePage, forbidden_pages_are_the_reserved_ones_and_those_past_the_end) {
  for (const std::uint64_t bytes : {4096u, 8192u, 65536u, 1048576u}) {
    const MapGeometry geometry(*PageSize::of(bytes));
    const std::uint64_t region = geometry.region_pages(), fan = geometry.children();
    for (const std::uint64_t r : {std::uint64_t{0}, std::uint64_t{1}, fan, fan + 1, fan * fan}) {
      for (std::uint64_t page = r * region; page < r * region + 1024; page += 64) {
        for (const std::uint64_t end :
             {std::uint64_t{0}, page, page + 1, page + 31, page + 63, page + 64, page + 65, ~std::uint64_t{0}}) {
          std::uint64_t mask = 0;
          for (unsigned bit = 0; bit < 64; ++bit)
            mask |= std::uint64_t{geometry.reserved(page + bit) || page + bit >= end} << bit;
          ASSERT_EQ(forbidden_pages(geometry, page, end), mask) << bytes << " page " << page << " end " << end;
        }
      }
    }
  }
}

}  // namespace
}  // namespace pagedb::detail
