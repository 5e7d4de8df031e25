// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Models of how pages come into the buffer pool and leave it: misses, evictions, failed reads, drops.
#include <optional>

#include "sim/model/testing/check_model.h"
#include "sim/model/testing/pool_model.h"

namespace pagedb::sim::model {
namespace {

TEST(PoolResidencyModelTest, two_misses_on_one_page_do_one_read) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto fetch = [&] { world.fetch_and_expect(1, 100); };
    model.run_tasks({{"a", fetch}, {"b", fetch}});
    model.expect(world.store.reads(1) == 1, "one read serves both");
    world.close();
  });
}

TEST(PoolResidencyModelTest, three_misses_on_two_pages) {
  check_exhaustively(3, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(3));
    const auto fetch = [&] { world.fetch_and_expect(1, 100); };
    model.run_tasks({{"a", fetch}, {"b", fetch}, {"c", [&] { world.fetch_and_expect(2, 200); }}});
    model.expect(world.store.reads(1) == 1 && world.store.reads(2) == 1, "one read a page");
    world.close();
  });
}

TEST(PoolResidencyModelTest, an_eviction_races_a_fetch) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.fetch_and_expect(1, 100);
    world.fetch_and_expect(2, 200);
    const auto fetcher = [&] {
      world.fetch_and_expect(1, 100);
      world.fetch_and_expect(1, 100);
    };
    const auto evictor = [&] {
      world.fetch_and_expect(3, 300);
      world.fetch_and_expect(4, 400);
    };
    model.run_tasks({{"fetcher", fetcher}, {"evictor", evictor}});
    world.close();
  });
}

TEST(PoolResidencyModelTest, two_evictors_race_a_writer) {
  check_exhaustively(2, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(3));
    world.fetch_and_expect(1, 100);
    world.fetch_and_expect(2, 200);
    const auto evictor = [&](std::uint64_t page) {
      return [&world, page] {
        world.fetch_and_expect(page, page * 100);
        world.fetch_and_expect(2, 200);
      };
    };
    model.run_tasks({{"writer", [&] { world.change(1, 101); }}, {"a", evictor(3)}, {"b", evictor(4)}});
    world.fetch_and_expect(1, 101);
    world.close_and_expect(1, 101);
  });
}

TEST(PoolResidencyModelTest, a_failed_read_is_shared_and_leaves_the_pool_as_it_was) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.store.reads_to_fail = 1;
    int errors = 0;  // plain: counted at the end of each task, after its last step
    const auto fetch = [&] {
      const auto guard = world.pool->fetch({1});
      if (guard) {
        world.expect_value(guard->page().data(), 100);
      } else {
        model.expect(guard.error().code == ErrorCode::io_error, "the store's error is the caller's");
        ++errors;
      }
    };
    model.run_tasks({{"a", fetch}, {"b", fetch}});
    model.expect(errors >= 1 && errors + world.store.reads(1) == 3,
                 "who waited for the failed read gets its error; who came later reads again");
    // Both frames are there for two pages at once.
    const auto one = world.pool->fetch({1});
    const auto two = world.pool->fetch({2});
    world.must(one);
    world.must(two);
    model.expect(world.pool->stats().resident == 2, "no frame was lost");
  });
}

TEST(PoolResidencyModelTest, new_page_races_a_fetch_of_it) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto maker = [&] {
      auto guard = world.pool->new_page({1});
      if (world.must(guard)) world.change(*guard, 7);
    };
    const auto fetcher = [&] {
      const auto guard = world.pool->fetch({1});
      if (!world.must(guard)) return;
      const Value value = value_in(guard->page().data());
      model.expect(value.once == value.again && (value.once == 7 || value.once == 100),
                   "neither the old page nor the new");
    };
    model.run_tasks({{"maker", maker}, {"fetcher", fetcher}});
    world.close_and_expect(1, 7);
  });
}

TEST(PoolResidencyModelTest, every_frame_held_is_said_and_a_free_one_found) {
  // Two tasks hold one page each; the third finds no frame, or one that was given back.
  check_exhaustively(3, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto hold = [&](std::uint64_t id) {
      return [&, id] {
        const auto guard = world.pool->fetch({id});
        model.expect(guard.has_value() || guard.error().code == ErrorCode::pool_exhausted, "no other error");
        if (guard) world.expect_value(guard->page().data(), id * 100);
      };
    };
    model.run_tasks({{"a", hold(1)}, {"b", hold(2)}, {"c", hold(3)}});
    world.fetch_and_expect(4, 400);
    world.close();
  });
}

TEST(PoolResidencyModelTest, one_page_a_task_is_always_found_room_for) {
  // As many frames as tasks that hold one page at a time: nobody is told that the pool is exhausted.
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.fetch_and_expect(1, 100);
    world.fetch_and_expect(2, 200);
    const auto touch = [&](std::uint64_t id) { return [&world, id] { world.fetch_and_expect(id, id * 100); }; };
    model.run_tasks({{"a", touch(3)}, {"b", touch(4)}});
    world.close();
  });
}

TEST(PoolResidencyModelTest, a_drop_races_a_fetch) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.change(1, 101);
    const auto fetcher = [&] {
      const auto guard = world.pool->fetch({1});
      if (!world.must(guard)) return;
      const Value value = value_in(guard->page().data());
      model.expect(value.once == value.again && (value.once == 101 || value.once == 100),
                   "the page in memory, or the store's");
    };
    model.run_tasks({{"dropper", [&] { world.pool->drop({1}); }}, {"fetcher", fetcher}});
    model.expect(world.pool->stats().dirty == 0, "the dropped page's dirt is gone");
    world.close_and_expect(1, 100);
  });
}

TEST(PoolResidencyModelTest, a_drop_races_an_eviction) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.fetch_and_expect(1, 100);
    world.fetch_and_expect(2, 200);
    const auto evictor = [&] {
      world.fetch_and_expect(3, 300);
      world.fetch_and_expect(4, 400);
    };
    model.run_tasks({{"dropper", [&] { world.pool->drop({1}); }}, {"evictor", evictor}});
    // Both frames can still be had at once.
    const auto five = world.pool->fetch({5});
    const auto six = world.pool->fetch({6});
    world.must(five);
    world.must(six);
  });
}

TEST(PoolResidencyModelTest, a_prefetch_races_a_fetch_and_a_drop) {
  check_exhaustively(3, [](Execution& model) {
    BufferPoolOptions options = PoolModel::plain(2);
    options.background_reader = true;
    PoolModel world(model, options);
    const PageId wanted[] = {{1}, {2}};
    world.pool->prefetch(wanted);
    model.run_tasks(
        {{"fetcher", [&] { world.fetch_and_expect(1, 100); }}, {"dropper", [&] { world.pool->drop({2}); }}});
    world.close();
  });
}

}  // namespace
}  // namespace pagedb::sim::model
