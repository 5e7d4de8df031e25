// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Models of the buffer pool's latches and versions: pins, upgrades, optimistic reads.
#include <span>

#include "sim/model/testing/check_model.h"
#include "sim/model/testing/pool_model.h"

namespace pagedb::sim::model {
namespace {

TEST(PoolLatchModelTest, a_pinned_page_is_never_evicted) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.fetch_and_expect(1, 100);
    world.fetch_and_expect(2, 200);
    const auto holder = [&] {
      const auto guard = world.pool->fetch({1});
      if (!world.must(guard)) return;
      for (int i = 0; i < 2; ++i) {
        model.read(&world);  // whoever wants to may go in between
        model.expect(guard->id().value == 1, "the page left its frame under a guard");
        world.expect_value(guard->page().data(), 100);
      }
    };
    const auto other = [&] {
      world.fetch_and_expect(3, 300);
      world.fetch_and_expect(4, 400);
    };
    model.run_tasks({{"holder", holder}, {"other", other}});
    world.close();
  });
}

TEST(PoolLatchModelTest, writers_exclude_each_other_and_readers) {
  check_exhaustively(3, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto add = [&] {
      auto guard = world.pool->fetch_exclusive({1});
      if (!world.must(guard)) return;
      const std::uint64_t value = value_in(guard->page().data()).once;
      world.change(*guard, value + 1);
    };
    const auto read = [&] {
      const auto guard = world.pool->fetch({1});
      if (!world.must(guard)) return;
      const Value value = value_in(guard->page().data());
      model.read(&world);
      model.expect(value.once == value.again && value_in(guard->page().data()).once == value.once,
                   "a page changed under a shared guard");
    };
    world.fetch_and_expect(1, 100);
    model.run_tasks({{"a", add}, {"b", add}, {"reader", read}});
    world.close_and_expect(1, 102);
  });
}

TEST(PoolLatchModelTest, two_tasks_upgrade) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto add = [&] {
      auto shared = world.pool->fetch({1});
      if (!world.must(shared)) return;
      const std::uint64_t seen = value_in(shared->page().data()).once;
      if (auto upgraded = shared->try_upgrade()) {
        model.expect(!*shared, "the upgraded guard is empty");
        world.expect_value(upgraded.page().data(), seen);
        world.change(upgraded, seen + 1);
        return;
      }
      shared->release();
      auto guard = world.pool->fetch_exclusive({1});
      if (world.must(guard)) world.change(*guard, value_in(guard->page().data()).once + 1);
    };
    world.fetch_and_expect(1, 100);
    model.run_tasks({{"a", add}, {"b", add}});
    world.close_and_expect(1, 102);
  });
}

TEST(PoolLatchModelTest, downgrade_lets_nobody_change_the_page_in_between) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto writer = [&] {
      auto guard = world.pool->fetch_exclusive({1});
      if (!world.must(guard)) return;
      const std::uint64_t value = value_in(guard->page().data()).once + 1;
      world.change(*guard, value);
      const SharedGuard shared = guard->downgrade();
      world.expect_value(shared.page().data(), value);
      model.read(&world);
      world.expect_value(shared.page().data(), value);
    };
    world.fetch_and_expect(1, 100);
    model.run_tasks({{"a", writer}, {"b", writer}});
    world.close_and_expect(1, 102);
  });
}

// What an optimistic reader copies is one version as a whole, and not older than when it began.
void expect_whole(PoolModel& world, std::uint64_t id, std::uint64_t low, std::uint64_t high) {
  Value value;
  const auto read = world.pool->read({id}, kValueAt, std::as_writable_bytes(std::span(&value, 1)));
  if (!world.must(read)) return;
  world.model.expect(value.once == value.again, "a torn copy was validated");
  world.model.expect(value.once >= low && value.once <= high, "a copy of another page, or of another time");
}

TEST(PoolLatchModelTest, an_optimistic_read_races_a_write) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    std::uint64_t done = 100;  // plain: read before the racy copy only as a bound
    const auto writer = [&] {
      world.change(1, 101);
      model.write(&done);
      done = 101;
    };
    const auto reader = [&] {
      model.read(&done);
      expect_whole(world, 1, done, 101);
    };
    world.fetch_and_expect(1, 100);
    model.run_tasks({{"writer", writer}, {"reader", reader}});
    world.close_and_expect(1, 101);
  });
}

TEST(PoolLatchModelTest, an_optimistic_read_races_an_eviction) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.store.announces_bytes = true;
    world.fetch_and_expect(1, 100);
    world.fetch_and_expect(2, 200);
    const auto evictor = [&] {
      world.fetch_and_expect(3, 300);
      world.fetch_and_expect(4, 400);
    };
    model.run_tasks({{"evictor", evictor}, {"reader", [&] { expect_whole(world, 1, 100, 100); }}});
    world.close();
  });
}

TEST(PoolLatchModelTest, an_optimistic_guard_becomes_a_latch_only_of_what_it_saw) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.fetch_and_expect(1, 100);
    const auto add = [&] {
      while (true) {
        const auto guard = world.pool->fetch_optimistic({1});
        if (!world.must(guard)) return;
        Value value;
        if (!guard->copy(kValueAt, std::as_writable_bytes(std::span(&value, 1)))) continue;
        model.expect(value.once == value.again, "a torn copy was validated");
        if (auto exclusive = guard->try_exclusive()) {
          world.expect_value(exclusive.page().data(), value.once);
          world.change(exclusive, value.once + 1);
          return;
        }
        auto locked = world.pool->fetch_exclusive({1});
        if (!world.must(locked)) return;
        world.change(*locked, value_in(locked->page().data()).once + 1);
        return;
      }
    };
    model.run_tasks({{"a", add}, {"b", add}});
    world.close_and_expect(1, 102);
  });
}

}  // namespace
}  // namespace pagedb::sim::model
