// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Models of write-back: what is dirty reaches the store, in the order that the log demands, and nothing else does.
#include "sim/model/testing/check_model.h"
#include "sim/model/testing/pool_model.h"

namespace pagedb::sim::model {
namespace {

TEST(PoolWritingModelTest, a_change_that_races_a_flush_is_never_lost) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    const auto writer = [&] {
      world.change(1, 101);
      world.change(1, 102);
    };
    model.run_tasks({{"writer", writer}, {"flusher", [&] { world.must(world.pool->flush({1})); }}});
    world.fetch_and_expect(1, 102);
    world.close_and_expect(1, 102);
  });
}

TEST(PoolWritingModelTest, two_flushes_race_a_change) {
  check_exhaustively(2, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.change(1, 101);
    const auto flush = [&] {
      world.must(world.pool->flush({1}));
      model.expect(world.store.value(1) >= 101, "flush returned before the page was written");
    };
    model.run_tasks({{"writer", [&] { world.change(1, 102); }}, {"a", flush}, {"b", flush}});
    world.close_and_expect(1, 102);
  });
}

TEST(PoolWritingModelTest, flush_all_races_a_writer_of_two_pages) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(3));
    world.change(1, 101);
    world.change(2, 201);
    const auto writer = [&] {
      world.change(2, 202);
      world.change(1, 102);
    };
    const auto flusher = [&] {
      world.must(world.pool->flush_all());
      model.expect(world.store.value(1) >= 101 && world.store.value(2) >= 201, "flush_all left out a dirty page");
    };
    model.run_tasks({{"writer", writer}, {"flusher", flusher}});
    world.close_and_expect(1, 102);
    model.expect(world.store.value(2) == 202, "the other page is written too");
  });
}

TEST(PoolWritingModelTest, a_failed_write_leaves_the_page_dirty) {
  check_exhaustively(2, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.change(1, 101);
    world.store.writes_to_fail = 1;
    const auto flush = [&] {
      if (!world.pool->flush({1})) return;
      model.expect(world.store.value(1) >= 101, "flush said Ok without a write");
    };
    model.run_tasks({{"a", flush}, {"b", flush}, {"writer", [&] { world.change(1, 102); }}});
    world.close_and_expect(1, 102);
  });
}

TEST(PoolWritingModelTest, the_barrier_races_an_eviction) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::logged(2));
    world.fetch_and_expect(2, 200);
    const auto evictor = [&] {
      world.fetch_and_expect(3, 300);
      world.fetch_and_expect(4, 400);
    };
    model.run_tasks({{"writer", [&] { world.change(1, 101); }}, {"evictor", evictor}});
    world.fetch_and_expect(1, 101);
    world.close_and_expect(1, 101);
  });
}

TEST(PoolWritingModelTest, a_failed_barrier_leaves_the_page_dirty_and_unwritten) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::logged(2));
    world.log.fails = true;
    world.change(1, 101);
    const auto flusher = [&] { model.expect(!world.pool->flush({1}), "the barrier's error is the caller's"); };
    model.run_tasks({{"a", flusher}, {"b", flusher}});
    model.expect(world.store.writes(1) == 0 && world.pool->stats().dirty == 1, "nothing was written");
    world.log.fails = false;
    world.close_and_expect(1, 101);
  });
}

TEST(PoolWritingModelTest, who_holds_a_page_shared_flushes_it_while_a_writer_waits) {
  check_exhaustively(2, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.change(1, 101);
    const auto holder = [&] {
      const auto guard = world.pool->fetch({1});
      if (world.must(guard)) world.must(world.pool->flush_all());
    };
    model.run_tasks({{"holder", holder},
                     {"writer", [&] { world.change(1, 102); }},
                     {"flusher", [&] { world.must(world.pool->flush({1})); }}});
    world.close_and_expect(1, 102);
  });
}

TEST(PoolWritingModelTest, the_background_writer_races_a_drop) {
  check_exhaustively(3, [](Execution& model) {
    BufferPoolOptions options = PoolModel::plain(2);
    options.background_writer = true;
    PoolModel world(model, options);
    world.change(1, 101);
    const auto dropper = [&] {
      world.pool->drop({1});
      world.store.free(1);
    };
    model.run_tasks({{"dropper", dropper}, {"evictor", [&] {
                                              world.fetch_and_expect(2, 200);
                                              world.fetch_and_expect(3, 300);
                                            }}});
    world.close();
  });
}

TEST(PoolWritingModelTest, a_flush_races_a_drop) {
  check_exhaustively(5, [](Execution& model) {
    PoolModel world(model, PoolModel::plain(2));
    world.change(1, 101);
    const auto dropper = [&] {
      world.pool->drop({1});
      world.store.free(1);
    };
    model.run_tasks({{"dropper", dropper}, {"flusher", [&] { world.must(world.pool->flush({1})); }}});
    world.close();
  });
}

// What a checkpoint covers is durable; the store judges the images.
void checkpoint_and_judge(PoolModel& world) {
  const Lsn begin = world.log.next();
  const auto done = world.pool->checkpoint(begin);
  if (!world.must(done)) return;
  world.model.expect(*done == begin && world.pool->redo_from() >= begin, "a checkpoint returns its begin");
  for (std::uint64_t id = 0; id < kPages; ++id)
    world.model.expect(world.store.durable_lsn(id) >= world.log.last_below({id}, begin),
                       "a change below the checkpoint's begin is not durable");
}

TEST(PoolWritingModelTest, a_checkpoint_races_a_writer) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::logged(2));
    world.change(1, 101);
    const auto writer = [&] {
      world.change(1, 102);
      world.change(1, 103);
    };
    model.run_tasks({{"writer", writer}, {"checkpoint", [&] { checkpoint_and_judge(world); }}});
    world.close_and_expect(1, 103);
  });
}

TEST(PoolWritingModelTest, a_checkpoint_races_a_writer_and_a_flush) {
  check_exhaustively(2, [](Execution& model) {
    PoolModel world(model, PoolModel::logged(2));
    world.change(1, 101);
    const auto writer = [&] {
      world.change(1, 102);
      world.change(1, 103);
    };
    model.run_tasks({{"writer", writer},
                     {"checkpoint", [&] { checkpoint_and_judge(world); }},
                     {"flusher", [&] { world.must(world.pool->flush({1})); }}});
    world.close_and_expect(1, 103);
  });
}

TEST(PoolWritingModelTest, two_checkpoints_race_a_writer) {
  check_exhaustively(4, [](Execution& model) {
    PoolModel world(model, PoolModel::logged(2));
    const auto checkpoint = [&] {
      checkpoint_and_judge(world);
      checkpoint_and_judge(world);
    };
    const auto writer = [&] {
      world.change(1, 101);
      world.change(1, 102);
    };
    model.run_tasks({{"writer", writer}, {"checkpoint", checkpoint}});
    world.close_and_expect(1, 102);
  });
}

}  // namespace
}  // namespace pagedb::sim::model
