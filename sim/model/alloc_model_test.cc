// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Models of the page allocator: tasks that allocate and free, against each other and against syncs.
#include "sim/model/testing/alloc_model.h"

#include "sim/model/testing/check_model.h"

namespace pagedb::sim::model {
namespace {

TEST(AllocModelTest, two_tasks_allocate_from_one_chunk) {
  check_exhaustively(3, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    const auto task = [&] {
      world.allocate();
      world.allocate();
    };
    model.run_tasks({{"a", task}, {"b", task}});
    world.finish();
  });
}

// Of the first chunk, the pages before 512, three are left.
TEST(AllocModelTest, two_tasks_of_a_lane_need_a_new_chunk) {
  check_exhaustively(3, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    world.run(252);
    world.run(223);
    const auto task = [&] {
      world.allocate();
      world.allocate();
    };
    model.run_tasks({{"a", task}, {"b", task}});
    world.finish();
  });
}

TEST(AllocModelTest, two_lanes_need_a_chunk) {
  check_exhaustively(3, [](Execution& model) {
    AllocModel world(model);
    const auto task = [&] {
      world.allocate();
      world.allocate();
    };
    model.run_tasks({{"a", task}, {"b", task}});
    world.finish();
  });
}

TEST(AllocModelTest, a_run_races_a_lane_for_its_chunk) {
  check_exhaustively(3, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    model.run_tasks({{"run",
                      [&] {
                        const std::uint64_t first = world.run(40);
                        world.free(first + 1);
                      }},
                     {"lane", [&] {
                        world.allocate();
                        world.near(50);
                      }}});
    world.finish();
  });
}

TEST(AllocModelTest, a_freed_page_waits_for_the_commit) {
  check_exhaustively(3, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    const std::uint64_t page = world.allocate();
    world.sync();
    model.run_tasks({{"owner",
                      [&] {
                        world.free(page);
                        world.sync();
                      }},
                     {"taker", [&] {
                        world.near(page);
                        world.near(page);
                      }}});
    world.finish();
  });
}

TEST(AllocModelTest, two_tasks_touch_a_clean_region_and_one_syncs) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    world.sync();
    model.run_tasks({{"a", [&] { world.allocate(); }}, {"b", [&] {
                                                          world.allocate();
                                                          world.sync();
                                                        }}});
    world.finish();
  });
}

TEST(AllocModelTest, two_syncs_and_a_task_that_allocates) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    world.allocate();
    const auto worker = [&] {
      world.allocate();
      world.sync();
    };
    model.run_tasks({{"a", worker}, {"b", worker}});
    world.finish();
  });
}

TEST(AllocModelTest, a_change_is_covered_as_a_whole) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    const std::uint64_t page = world.allocate();
    world.sync();
    model.run_tasks({{"change",
                      [&] {
                        world.change([&] {
                          world.allocate();
                          world.free(page);
                        });
                      }},
                     {"sync", [&] { world.sync(); }}});
    world.finish();
  });
}

TEST(AllocModelTest, a_run_is_covered_as_a_whole) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model);
    world.allocate();
    model.run_tasks({{"run", [&] { world.run(70); }}, {"sync", [&] { world.sync(); }}});
    world.finish();
  });
}

/// Takes all of the pages before 1024 but one, which is the last.
void fill_two_chunks(AllocModel& world) {
  world.run(253);
  world.run(226);
  world.run(511);
}

TEST(AllocModelTest, freed_pages_are_found_by_a_search_that_races_the_commit) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.options = {.end = PageId{1024}}});
    fill_two_chunks(world);
    const std::uint64_t last = world.allocate();
    model.expect(last == 1023 && !world.pages->allocate(), "the file is not full");
    model.run_tasks({{"owner",
                      [&] {
                        world.free(last);
                        world.free(7);
                        world.sync();
                      }},
                     {"taker", [&] { world.allocate_if_any(); }}});
    world.expect_all_reachable();
    world.finish();
  });
}

TEST(AllocModelTest, pages_freed_for_reuse_are_found_by_a_search) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.options = {.end = PageId{1024}, .reuse_before_sync = true}});
    fill_two_chunks(world);
    const std::uint64_t last = world.allocate();
    model.expect(last == 1023 && !world.pages->allocate(), "the file is not full");
    model.run_tasks({{"owner",
                      [&] {
                        world.free(last);
                        world.free(7);
                      }},
                     {"taker", [&] {
                        world.allocate_if_any();
                        world.allocate_if_any();
                      }}});
    world.expect_all_reachable();
    world.finish();
  });
}

// ---- regions

constexpr std::uint64_t kRegion = 16384;
constexpr std::uint64_t kManySteps = 100'000;

// High water in region 1; region 0 has room, and is a leaf below a root of level 1.
const MapImage& two_regions() {
  static const MapImage image = AllocModel::image([](AllocModel& world) {
    world.run(200);
    world.run(kRegion - 400);
    world.run(300);
  });
  return image;
}

TEST(AllocModelTest, two_tasks_need_a_leaf_that_is_not_in_memory) {
  const MapImage& image = two_regions();
  check_exhaustively(
      2,
      [&](Execution& model) {
        AllocModel world(model, {.image = &image});
        const std::uint64_t last = world.store.durable().pages.back();
        const auto look = [&] {
          const auto has = world.pages->is_allocated({last - 1});
          if (world.must(has)) model.expect(*has, "an allocated page is not");
        };
        model.run_tasks({{"a", look}, {"b", [&] { world.free(last); }}, {"c", [&] { world.near(last); }}});
        int reads = 0;
        for (const std::uint64_t home : world.store.durable().homes)
          if (home > kRegion) reads += world.store.reads(home);
        model.expect(reads == 1, "a leaf was read twice");
        world.finish();
      },
      kManySteps);
}

// Region 0 is full, but for a page.
const MapImage& full_region() {
  static const MapImage image = AllocModel::image([](AllocModel& world) {
    world.run(253);
    world.run(kRegion - 286);
    world.free(7);
  });
  return image;
}

TEST(AllocModelTest, the_tree_grows_while_a_sync_is_under_way) {
  const MapImage& image = full_region();
  check_exhaustively(
      2,
      [&](Execution& model) {
        AllocModel world(model, {.image = &image});
        world.free(8);
        model.run_tasks({{"sync", [&] { world.sync(); }}, {"grower", [&] {
                                                             world.run(3);
                                                             world.sync();
                                                           }}});
        world.finish();
      },
      kManySteps);
}

// ---- commits that fail

TEST(AllocModelTest, a_node_write_fails_while_others_go_on) {
  check_exhaustively(2, [](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    const std::uint64_t page = world.allocate();
    world.allocate();
    world.sync();
    world.store.node_writes_to_fail = 1;
    model.run_tasks({{"sync", [&] { static_cast<void>(world.pages->sync()); }}, {"worker", [&] {
                                                                                   world.free(page);
                                                                                   world.near(page);
                                                                                   static_cast<void>(
                                                                                       world.pages->sync());
                                                                                   world.near(page);
                                                                                 }}});
    world.finish();
  });
}

void slot_fails(bool lands) {
  check_exhaustively(2, [lands](Execution& model) {
    AllocModel world(model, {.one_lane = true});
    const std::uint64_t page = world.allocate();
    world.allocate();
    world.sync();
    world.store.failed_slots_land = lands;
    world.store.slots_to_fail = 1;
    const auto worker = [&] {
      static_cast<void>(world.pages->sync());
      world.near(page);
      static_cast<void>(world.pages->sync());
      world.near(page);
    };
    world.free(page);
    model.run_tasks({{"a", worker}, {"b", worker}});
    world.finish();
  });
}
TEST(AllocModelTest, a_slot_fails_and_keeps_the_old_superblock) { slot_fails(false); }
TEST(AllocModelTest, a_slot_fails_and_has_the_new_superblock) { slot_fails(true); }

}  // namespace
}  // namespace pagedb::sim::model
