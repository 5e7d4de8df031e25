// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Larger mixes over the page allocator, by random and PCT schedules: four tasks on a file of three chunks or of two
// regions. What each task does is drawn from the test's number; the schedule is drawn anew each time.
#include <cstdint>
#include <vector>

#include "sim/model/draw.h"
#include "sim/model/testing/alloc_model.h"
#include "sim/model/testing/check_model.h"

namespace pagedb::sim::model {
namespace {

constexpr unsigned kTasks = 4;
constexpr unsigned kSteps = 6;
constexpr std::uint64_t kRegion = 16384;

class Mix {
 public:
  Mix(Execution& model, const AllocSetup& setup, std::uint64_t script, bool fails)
      : model_(model), world_(model, setup), script_(script), fails_(fails), setup_(setup) {}

  void run() {
    world_.allocate();
    if (setup_.options.end) {  // three chunks of 512: some of each is left, and not much
      world_.run(225);
      world_.run(480);
      world_.run(480);
    }
    for (auto& pages : pages_)
      for (int i = 0; i < 3; ++i) keep(pages, world_.allocate_if_any());
    world_.sync();
    model_.run_tasks({{"a", [this] { task(0); }}, {"b", [this] { task(1); }}, {"c", [this] { task(2); }}, {"d", [this] {
                                                                                                             task(3);
                                                                                                           }}});
    world_.store.node_writes_to_fail = world_.store.slots_to_fail = 0;
    if (setup_.options.end && !fails_) world_.expect_all_reachable();
    world_.finish();
  }

 private:
  void task(unsigned number) {
    std::vector<std::uint64_t>& mine = pages_[number];
    for (unsigned step = 0; step < kSteps; ++step) {
      const auto pick = [&](std::uint32_t what, std::uint64_t bound) {
        return draw(script_, number, what, step, bound);
      };
      switch (pick(1, 12)) {
        case 0:
        case 1:
        case 2:
          keep(mine, world_.allocate_if_any());
          break;
        case 3:
          keep(mine, world_.near_if_any(pick(2, 2) * kRegion + pick(3, 1400)));
          break;
        case 4: {
          const std::uint64_t count = 1 + pick(2, 40), first = world_.run_if_any(count);
          for (std::uint64_t page = first; first != AllocModel::kNone && page < first + count; ++page) keep(mine, page);
          break;
        }
        case 5:
        case 6:
        case 7:
          give(mine, pick(2, 100));
          break;
        case 8:
          world_.change([&] {
            keep(mine, world_.allocate_if_any());
            give(mine, pick(2, 100));
          });
          break;
        case 9:
          look(pick(2, 2) * kRegion + pick(3, 1400));
          break;
        default:
          if (fails_ && pick(2, 3) == 0) world_.store.node_writes_to_fail = 1;
          if (fails_ && pick(3, 3) == 0) {
            world_.store.slots_to_fail = 1;
            world_.store.failed_slots_land = pick(4, 2) == 0;
          }
          const auto done = pick(5, 3) == 0 ? world_.pages->shrink_to_fit() : world_.pages->sync();
          if (!fails_) world_.must(done);
          break;
      }
    }
  }

  static void keep(std::vector<std::uint64_t>& pages, std::uint64_t page) {
    if (page != AllocModel::kNone) pages.push_back(page);
  }
  void give(std::vector<std::uint64_t>& pages, std::uint64_t which) {
    if (pages.empty()) return;
    const auto at = pages.begin() + static_cast<std::ptrdiff_t>(which % pages.size());
    const std::uint64_t page = *at;
    pages.erase(at);
    world_.free(page);
  }
  void look(std::uint64_t page) {
    world_.must(world_.pages->is_allocated({page}));
    const std::uint64_t free = world_.pages->free_count();
    model_.expect(free <= 4 * kRegion, "more pages are free than there are");
  }

  Execution& model_;
  AllocModel world_;
  const std::uint64_t script_;
  const bool fails_;
  const AllocSetup setup_;
  std::vector<std::uint64_t> pages_[kTasks];
};

// Region 0 and 1 have some pages each, and much room.
const MapImage& two_regions() {
  static const MapImage image = AllocModel::image([](AllocModel& world) {
    world.run(100);
    const std::uint64_t first = world.run(kRegion - 400);
    for (std::uint64_t page = first; page < first + kRegion - 420; ++page) world.free(page);
    world.run(300);
  });
  return image;
}

class AllocMixModelTest : public testing::TestWithParam<int> {
 protected:
  static void check_mix(const AllocSetup& setup, int first_script, bool fails) {
    const auto script = static_cast<std::uint64_t>(first_script + GetParam());
    check_randomly(200, [&](Execution& model) { Mix(model, setup, script, fails).run(); }, 200'000);
  }
};

TEST_P(AllocMixModelTest, with_little_room) { check_mix({.options = {.end = PageId{1536}}}, 0, false); }
TEST_P(AllocMixModelTest, in_one_lane) { check_mix({.one_lane = true}, 100, false); }
TEST_P(AllocMixModelTest, in_two_regions) { check_mix({.image = &two_regions()}, 200, false); }
TEST_P(AllocMixModelTest, with_commits_that_fail) { check_mix({.one_lane = true}, 300, true); }
TEST_P(AllocMixModelTest, with_reuse_before_sync) {
  check_mix({.options = {.end = PageId{1536}, .reuse_before_sync = true}}, 400, false);
}

INSTANTIATE_TEST_SUITE_P(Scripts, AllocMixModelTest, testing::Range(0, 4));

}  // namespace
}  // namespace pagedb::sim::model
