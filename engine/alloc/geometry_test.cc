// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Where the nodes of an allocation map stand: FORMAT.md's table, and homes, zones and reserved pages against a model
// that is written down from FORMAT.md and counts.
#include "engine/alloc/geometry.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

namespace pagedb::detail {
namespace {

constexpr std::uint64_t kSizes[] = {4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576};

MapGeometry geometry_of(std::uint64_t page_bytes) { return MapGeometry(*PageSize::of(page_bytes)); }

/// FORMAT.md, with loops in the place of shifts.
struct Model {
  explicit Model(std::uint64_t page_bytes)
      : bytes(page_bytes), region(4 * bytes), fan(bytes / 32), twin((1u << 20) / bytes) {
    // The lowest whose node 0 covers 2^63 bytes.
    for (std::uint64_t covered = region; covered < (std::uint64_t{1} << 63) / bytes; covered *= fan) ++top;
  }
  std::uint64_t bytes, region, fan, twin;
  unsigned top = 0;

  std::uint64_t zone(std::uint64_t r) const { return r == 0 ? twin + 1 : r * region; }
  unsigned highest_in(std::uint64_t r) const {
    unsigned level = 0;
    if (r == 0) return top;
    while (level < top && r % fan == 0) {
      r /= fan;
      ++level;
    }
    return level;
  }
  std::uint64_t zone_pages(std::uint64_t r) const { return 4 * (highest_in(r) + 1) + 1; }
  std::uint64_t first_region(unsigned level, std::uint64_t index) const {
    for (; level > 0; --level) index *= fan;
    return index;
  }
  bool reserved(std::uint64_t page) const {
    const std::uint64_t r = page / region;
    if (page >= zone(r) && page < zone(r) + zone_pages(r)) return true;
    return page == 0 || page == 1 || page == twin || page == twin - 1;
  }
};

/// Regions at which something changes: the first ones, and those around powers of the fan-out.
std::vector<std::uint64_t> regions_of(const Model& model, const MapGeometry& geometry) {
  std::set<std::uint64_t> regions{0, 1, 2, 3};
  std::uint64_t power = 1;
  for (unsigned level = 1; level <= geometry.top_level(); ++level) {
    power *= model.fan;
    for (const std::uint64_t around : {power, 2 * power, 3 * power, power * (model.fan - 1)})
      for (const std::uint64_t r : {around - 1, around, around + 1}) regions.insert(r);
  }
  std::erase_if(regions, [&](std::uint64_t r) { return (r + 1) * model.region > geometry.page_limit(); });
  return {regions.begin(), regions.end()};
}

TEST(MapGeometry, is_the_table_of_the_format) {
  struct Row {
    std::uint64_t bytes, region, children;
    unsigned top;
  };
  for (const Row& row : {Row{4096, 16384, 128, 6}, Row{16384, 65536, 512, 4}, Row{1048576, 4194304, 32768, 2}}) {
    const MapGeometry geometry = geometry_of(row.bytes);
    EXPECT_EQ(geometry.region_pages(), row.region);
    EXPECT_EQ(geometry.children(), row.children);
    EXPECT_EQ(geometry.top_level(), row.top);
  }
}

TEST(MapGeometry, sizes_and_limits_follow_from_the_page_size) {
  for (const std::uint64_t bytes : kSizes) {
    const MapGeometry geometry = geometry_of(bytes);
    const Model model(bytes);
    EXPECT_EQ(geometry.region_pages(), model.region);
    EXPECT_EQ(std::uint64_t{1} << geometry.region_shift(), model.region);
    EXPECT_EQ(geometry.children(), model.fan);
    EXPECT_EQ(1u << geometry.fan_shift(), model.fan);
    EXPECT_EQ(geometry.top_level(), model.top);
    std::uint64_t covers = model.region;
    for (unsigned level = 0; level <= model.top; ++level, covers *= model.fan) {
      EXPECT_EQ(std::uint64_t{1} << geometry.cover_shift(level), covers);
      EXPECT_EQ(geometry.begin(level, 0), 0u);
      EXPECT_EQ(geometry.end(level, 0), std::min(covers, geometry.page_limit()));
      if (level == model.top) continue;
      EXPECT_EQ(geometry.begin(level, 1), geometry.end(level, 0));
    }
    // The last page of a file ends before byte 2^63.
    EXPECT_EQ(geometry.page_limit(), ((std::uint64_t{1} << 63) - 1) / bytes);
    EXPECT_EQ(geometry.end(model.top, 0), geometry.page_limit());
  }
}

TEST(MapGeometry, zones_and_reserved_pages_are_those_of_the_model) {
  for (const std::uint64_t bytes : kSizes) {
    const MapGeometry geometry = geometry_of(bytes);
    const Model model(bytes);
    for (const std::uint64_t region : regions_of(model, geometry)) {
      ASSERT_EQ(geometry.zone(region), model.zone(region)) << bytes << " region " << region;
      ASSERT_EQ(geometry.zone_pages(region), model.zone_pages(region)) << bytes << " region " << region;
      const std::uint64_t begin = region * model.region, end = begin + model.region;
      const std::uint64_t looked_at = std::min<std::uint64_t>(model.region, 4096);
      for (std::uint64_t page = begin; page < begin + looked_at; ++page)
        ASSERT_EQ(geometry.reserved(page), model.reserved(page)) << bytes << " page " << page;
      for (std::uint64_t page = end - 64; page < end; ++page)
        ASSERT_EQ(geometry.reserved(page), model.reserved(page)) << bytes << " page " << page;
    }
  }
}

// By walking from the file's beginning through the first regions, and, further out, from counts of whole regions.
TEST(MapGeometry, reserved_pages_are_counted_right) {
  for (const std::uint64_t bytes : {4096u, 8192u, 524288u, 1048576u}) {
    const MapGeometry geometry = geometry_of(bytes);
    const Model model(bytes);
    std::uint64_t count = 0;
    for (std::uint64_t page = 0; page < std::min<std::uint64_t>(3 * model.region, 5'000'000); ++page) {
      ASSERT_EQ(geometry.reserved_before(page), count) << bytes << " page " << page;
      count += model.reserved(page);
    }
  }
  const MapGeometry geometry = geometry_of(4096);
  const Model model(4096);
  std::uint64_t count = 0;
  for (std::uint64_t region = 0; region < 2 * 128 * 128 + 300; ++region) {
    ASSERT_EQ(geometry.reserved_before(region * model.region), count) << "region " << region;
    std::uint64_t inside = count;
    if (region % 128 <= 1) {
      for (std::uint64_t page = region * model.region; page < region * model.region + 300; ++page) {
        ASSERT_EQ(geometry.reserved_before(page), inside) << page;
        inside += model.reserved(page);
      }
    }
    count += region == 0 ? 4 + model.zone_pages(0) : model.zone_pages(region);
  }
}

// Further out than anybody can walk: the counts before the begin and the end of a region differ by what is in it.
TEST(MapGeometry, reserved_pages_of_any_region_are_counted_right) {
  for (const std::uint64_t bytes : kSizes) {
    const MapGeometry geometry = geometry_of(bytes);
    const Model model(bytes);
    for (const std::uint64_t region : regions_of(model, geometry)) {
      const std::uint64_t begin = region * model.region, end = begin + model.region;
      std::uint64_t in_region = 0, before = geometry.reserved_before(begin);
      for (std::uint64_t page = begin; page < begin + std::min<std::uint64_t>(model.region, 2048); ++page) {
        ASSERT_EQ(geometry.reserved_before(page), before + in_region) << bytes << " page " << page;
        in_region += model.reserved(page);
      }
      ASSERT_EQ(geometry.reserved_before(end) - before, in_region) << bytes << " region " << region;
      ASSERT_EQ(geometry.usable(begin, end), model.region - in_region);
      ASSERT_EQ(geometry.usable(end, begin), 0u);
      ASSERT_EQ(geometry.usable(begin, begin), 0u);
    }
    // Whole nodes: what their children have, together.
    std::uint64_t sum = 0;
    for (std::uint64_t child = 0; child < model.fan; ++child)
      sum += geometry.usable(geometry.begin(0, child), geometry.end(0, child));
    EXPECT_EQ(geometry.usable(0, geometry.end(1, 0)), sum);
  }
}

TEST(MapGeometry, homes_stand_in_their_zone_and_nowhere_twice) {
  for (const std::uint64_t bytes : kSizes) {
    const MapGeometry geometry = geometry_of(bytes);
    const Model model(bytes);
    // Each home with the node that has it; every node whose first region is among those looked at.
    std::map<std::uint64_t, std::pair<unsigned, std::uint64_t>> homes;
    for (const std::uint64_t region : regions_of(model, geometry)) {
      std::uint64_t index = region;
      for (unsigned level = 0; level <= model.highest_in(region); ++level, index /= model.fan) {
        ASSERT_EQ(model.first_region(level, index), region);
        for (std::uint64_t generation = 1; generation <= 4; ++generation) {
          const std::uint64_t home = geometry.home(level, index, generation);
          ASSERT_EQ(home, model.zone(region) + 1 + 4 * level + 2 * (generation % 2));
          ASSERT_LT(home, model.zone(region) + model.zone_pages(region) - 1) << "a guard follows";
          ASSERT_EQ(home, geometry.home(level, index, generation + 2));
          ASSERT_NE(home, geometry.home(level, index, generation + 1));
          const auto [at, is_new] = homes.emplace(home, std::pair(level, index));
          ASSERT_EQ(at->second, std::pair(level, index)) << bytes << ": two nodes share page " << home;
          ASSERT_EQ(is_new, generation <= 2);
        }
      }
    }
    for (const auto& [home, node] : homes) {
      ASSERT_TRUE(home != 0 && home != model.twin);
      // A page on either side that nobody ever writes.
      for (const std::uint64_t beside : {home - 1, home + 1}) {
        ASSERT_TRUE(geometry.reserved(beside)) << bytes << ": a user's page beside home " << home;
        ASSERT_FALSE(homes.contains(beside)) << bytes << ": homes " << home << " and " << beside;
        ASSERT_TRUE(beside != 0 && beside != model.twin) << bytes << ": a superblock beside home " << home;
      }
    }
  }
}

TEST(MapGeometry, superblocks_have_no_neighbours_but_reserved_pages) {
  for (const std::uint64_t bytes : kSizes) {
    const MapGeometry geometry = geometry_of(bytes);
    const Model model(bytes);
    for (const std::uint64_t page : {std::uint64_t{0}, std::uint64_t{1}, model.twin - 1, model.twin, model.twin + 1})
      EXPECT_TRUE(geometry.reserved(page)) << bytes << " page " << page;
    if (model.twin < 4) continue;  // then these four and the zone are one
    EXPECT_FALSE(geometry.reserved(2) || geometry.reserved(model.twin - 2)) << bytes;
  }
}

TEST(MapGeometry, a_roots_home_tells_its_level) {
  for (const std::uint64_t bytes : kSizes) {
    const MapGeometry geometry = geometry_of(bytes);
    std::map<std::uint64_t, std::pair<unsigned, unsigned>> roots;
    for (unsigned level = 0; level <= geometry.top_level(); ++level)
      for (unsigned generation : {0u, 1u}) roots[geometry.home(level, 0, generation)] = {level, generation};
    EXPECT_EQ(roots.size(), 2 * (geometry.top_level() + 1));
    for (std::uint64_t page = 0; page < geometry.zone(0) + 200; ++page) {
      unsigned level = 99, which = 99;
      const auto root = roots.find(page);
      ASSERT_EQ(geometry.root_home(page, level, which), root != roots.end()) << bytes << " page " << page;
      if (root == roots.end()) continue;
      ASSERT_EQ(std::pair(level, which), root->second);
    }
    unsigned level = 99, which = 99;
    for (const std::uint64_t page : {geometry.home(0, 1, 0), geometry.home(1, 1, 1), ~std::uint64_t{0}})
      EXPECT_FALSE(geometry.root_home(page, level, which)) << bytes << " page " << page;
  }
}

}  // namespace
}  // namespace pagedb::detail
