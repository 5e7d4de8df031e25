// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Larger mixes over the buffer pool, by random and PCT schedules: five tasks, four frames, eight pages. What each task
// does is drawn from the test's number; the schedule is drawn anew each time.
//
// Every change adds one to a page's value under its exclusive latch, and to a shadow of it outside the pool. So a
// reader under a latch sees the shadow's value, an optimistic one a value between what the shadow was before and after.
#include <array>
#include <cstdint>
#include <span>

#include "sim/model/draw.h"
#include "sim/model/testing/check_model.h"
#include "sim/model/testing/pool_model.h"

namespace pagedb::sim::model {
namespace {

constexpr unsigned kSteps = 5;
constexpr unsigned kDropped = 7;  // this page is only ever made, read and dropped

class Mix {
 public:
  Mix(Execution& model, BufferPoolOptions options, std::uint64_t script)
      : model_(model), world_(model, options), script_(script), options_(options) {
    for (std::uint64_t id = 0; id < kPages; ++id) shadow_[id] = id * 100;
  }

  void run() {
    model_.run_tasks({{"a", [this] { task(0); }},
                      {"b", [this] { task(1); }},
                      {"c", [this] { task(2); }},
                      {"d", [this] { task(3); }},
                      {"e", [this] { task(4); }}});
    world_.close();
    for (std::uint64_t id = 0; id < kDropped; ++id)
      model_.expect(world_.store.value(id) == shadow_[id], "the store has not the last value of a page");
  }

 private:
  void task(unsigned number) {
    for (unsigned step = 0; step < kSteps; ++step) {
      const auto pick = [&](std::uint32_t what, std::uint64_t bound) {
        return draw(script_, number, what, step, bound);
      };
      const std::uint64_t id = pick(1, kDropped);
      switch (pick(2, 12)) {
        case 0:
        case 1:
        case 2:
          change(id);
          break;
        case 3:
        case 4:
          look(id);
          break;
        case 5:
        case 6:
          look_optimistically(id);
          break;
        case 7:
          upgrade(id);
          break;
        case 8:
          flush(id);
          break;
        case 9:
          number == 0 && options_.log != nullptr ? checkpoint() : flush_all();
          break;
        case 10:
          make_and_drop();
          break;
        default:
          prefetch(id);
          break;
      }
    }
  }

  void change(ExclusiveGuard& guard, std::uint64_t id) {
    world_.expect_value(guard.page().data(), shadow_[id]);
    world_.change(guard, ++shadow_[id]);
  }
  void change(std::uint64_t id) {
    auto guard = world_.pool->fetch_exclusive({id});
    if (guard_or_exhausted(guard)) change(*guard, id);
  }
  void look(std::uint64_t id) {
    const auto guard = world_.pool->fetch({id});
    if (guard_or_exhausted(guard)) world_.expect_value(guard->page().data(), shadow_[id]);
  }
  void look_optimistically(std::uint64_t id) {
    const std::uint64_t low = shadow_[id];
    Value value;
    const auto read = world_.pool->read({id}, kValueAt, std::as_writable_bytes(std::span(&value, 1)));
    if (!guard_or_exhausted(read)) return;
    // A writer counts its shadow up first, so one more than it has now cannot have been read.
    model_.expect(value.once == value.again, "a torn copy was validated");
    model_.expect(value.once + 1 >= low && value.once <= shadow_[id], "a copy of another page, or of another time");
  }
  void upgrade(std::uint64_t id) {
    auto shared = world_.pool->fetch({id});
    if (!guard_or_exhausted(shared)) return;
    if (auto guard = shared->try_upgrade()) change(guard, id);
  }
  void flush(std::uint64_t id) { world_.must(world_.pool->flush({id})); }
  void flush_all() { world_.must(world_.pool->flush_all()); }
  void checkpoint() { world_.must(world_.pool->checkpoint(world_.log.next())); }
  void make_and_drop() {
    {
      auto guard = world_.pool->new_page({kDropped});
      if (!guard_or_exhausted(guard)) return;
      world_.change(*guard, 7);
    }
    world_.pool->drop({kDropped});
  }
  void prefetch(std::uint64_t id) {
    const std::array<PageId, 2> ids{PageId{id}, PageId{(id + 3) % kDropped}};
    world_.pool->prefetch(ids);
  }

  template <class T>
  bool guard_or_exhausted(const Result<T>& result) {
    model_.expect(result || result.error().code == ErrorCode::pool_exhausted, "no other error is due");
    return result.has_value();
  }

  Execution& model_;
  PoolModel world_;
  const std::uint64_t script_;
  const BufferPoolOptions options_;
  std::array<std::uint64_t, kPages> shadow_{};  // plain: a page's latch is what orders it
};

class PoolMixModelTest : public testing::TestWithParam<int> {};

TEST_P(PoolMixModelTest, without_tasks_of_its_own) {
  check_randomly(
      6'000, [](Execution& model) { Mix(model, PoolModel::plain(4), static_cast<std::uint64_t>(GetParam())).run(); });
}

TEST_P(PoolMixModelTest, with_a_log_and_background_tasks) {
  check_randomly(6'000, [](Execution& model) {
    BufferPoolOptions options = PoolModel::logged(4);
    options.background_writer = options.background_reader = true;
    Mix(model, options, 100 + static_cast<std::uint64_t>(GetParam())).run();
  });
}

TEST_P(PoolMixModelTest, with_two_frames) {
  check_randomly(6'000, [](Execution& model) {
    BufferPoolOptions options = PoolModel::logged(2);
    options.exhausted_wait = std::chrono::seconds(10);
    options.background_writer = true;
    Mix(model, options, 200 + static_cast<std::uint64_t>(GetParam())).run();
  });
}

INSTANTIATE_TEST_SUITE_P(Scripts, PoolMixModelTest, testing::Range(0, 6));

}  // namespace
}  // namespace pagedb::sim::model
