// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Models of SyncGate: no two syncs overlap, everybody is covered by one that began after the call, nobody sleeps for
// ever, and no waiter is touched after its task has ended.
#include "engine/internal/sync_gate.h"
#include "engine/sync.h"
#include "sim/model/testing/check_model.h"

namespace pagedb::sim::model {
namespace {

struct Gate {
  explicit Gate(Execution& execution) : model(execution), gate(execution) {}

  // Notes something to be made durable, then syncs until it is.
  void write_and_sync() {
    const int mine = written.fetch_add(1) + 1;
    const auto result = gate.run([this]() -> Result<void> {
      model.expect(syncing.fetch_add(1) == 0, "two syncs overlap");
      const int covered = written.load();
      if (durable < covered) durable = covered;  // plain: the gate is what orders it
      syncing.fetch_sub(1);
      return {};
    });
    model.expect(result.has_value(), "the sync was fine");
    model.expect(durable >= mine, "what was written before the call is not covered");
  }

  Execution& model;
  SyncGate gate;
  sync::Atomic<int> written{0};
  sync::Atomic<int> syncing{0};
  int durable = 0;
};

TEST(SyncGateModelTest, two_tasks) {
  check_exhaustively(6, [](Execution& model) {
    Gate gate(model);
    const auto task = [&] { gate.write_and_sync(); };
    model.run_tasks({{"a", task}, {"b", task}});
  });
}

TEST(SyncGateModelTest, two_tasks_twice) {
  check_exhaustively(5, [](Execution& model) {
    Gate gate(model);
    const auto task = [&] {
      gate.write_and_sync();
      gate.write_and_sync();
    };
    model.run_tasks({{"a", task}, {"b", task}});
  });
}

TEST(SyncGateModelTest, three_tasks) {
  check_exhaustively(4, [](Execution& model) {
    Gate gate(model);
    const auto task = [&] { gate.write_and_sync(); };
    model.run_tasks({{"a", task}, {"b", task}, {"c", task}});
  });
}

TEST(SyncGateModelTest, five_tasks_at_random) {
  check_randomly(20'000, [](Execution& model) {
    Gate gate(model);
    const auto task = [&] {
      gate.write_and_sync();
      gate.write_and_sync();
    };
    model.run_tasks({{"a", task}, {"b", task}, {"c", task}, {"d", task}, {"e", task}});
  });
}

}  // namespace
}  // namespace pagedb::sim::model
