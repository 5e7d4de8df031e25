// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Models of shrinking: what goes is nobody's, and what stays is all there, whatever others do meanwhile.
#include "sim/model/testing/alloc_model.h"
#include "sim/model/testing/check_model.h"

namespace pagedb::sim::model {
namespace {

constexpr std::uint64_t kRegion = 16384;

TEST(AllocShrinkModelTest, a_page_is_freed_while_the_file_is_shrunk) {
  check_exhaustively(3, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    const std::uint64_t last = world.run(300);
    world.sync();
    model.run_tasks({{"shrink", [&] { world.shrink(); }}, {"owner", [&] {
                                                             for (const std::uint64_t page : {299u, 298u})
                                                               world.free(last + page);
                                                           }}});
    world.finish();
  });
}

TEST(AllocShrinkModelTest, a_lane_allocates_while_the_file_is_shrunk) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    world.free(world.allocate());
    world.sync();
    world.allocate();
    model.run_tasks({{"shrink", [&] { world.shrink(); }}, {"taker", [&] {
                                                             // Past what is held, but no further.
                                                             model.expect(world.allocate() < 1024, "far away");
                                                             world.free(world.allocate());
                                                           }}});
    world.finish();
  });
}

TEST(AllocShrinkModelTest, with_reuse_before_sync) {
  check_exhaustively(1, [](Execution& model) {
    AllocModel world(model, {.options = {.reuse_before_sync = true}, .one_lane = true});
    world.allocate();
    const std::uint64_t last = world.allocate();
    world.sync();
    model.run_tasks({{"shrink", [&] { world.shrink(); }}, {"taker", [&] {
                                                             world.free(last);
                                                             world.allocate();
                                                           }}});
    world.finish();
  });
}

// High water in region 2, of which no leaf is in memory, nor has one a page.
TEST(AllocShrinkModelTest, a_page_is_wanted_near_a_region_that_is_cut_off) {
  static const MapImage image = AllocModel::image([](AllocModel& world) {
    world.allocate();
    for (int i = 0; i < 2; ++i) {
      const std::uint64_t first = world.run(kRegion - 400);
      for (std::uint64_t page = first; page < first + kRegion - 400; ++page) world.free(page);
    }
    world.sync();
  });
  check_exhaustively(
      1,
      [](Execution& model) {
        AllocModel world(model, {.image = &image});
        model.run_tasks({{"shrink", [&] { world.shrink(); }}, {"taker", [&] { world.near(kRegion + 100); }}});
        world.finish();
      },
      100'000);
}

TEST(AllocShrinkModelTest, two_tasks_shrink) {
  check_randomly(1'000, [](Execution& model) {
    AllocModel world(model);
    const std::uint64_t first = world.allocate();
    const std::uint64_t run = world.run(300);
    world.sync();
    const auto shrink = [&](std::uint64_t page) {
      return [&world, page] {
        world.free(page);
        world.shrink();
      };
    };
    model.run_tasks({{"a", shrink(run + 299)}, {"b", shrink(run + 298)}});
    model.expect(first < run && world.pages->high_water().value == run + 298,
                 "high water is not where the last page is");
    world.finish();
  });
}

}  // namespace
}  // namespace pagedb::sim::model
