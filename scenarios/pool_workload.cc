// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/pool_workload.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scenarios/page_workload.h"
#include "scenarios/pool_client.h"
#include "scenarios/pool_model.h"
#include "scenarios/redo_log.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kRound = 551 };

constexpr unsigned kCloseAttempts = 3;

/// How this run's pool is made. Zero draws: the smallest pool, with nothing in the background.
BufferPoolOptions draw_options(Host& host, const PoolShape& shape, LogBarrier* log, sim::Span& span) {
  sim::Choices& choices = host.choices();
  BufferPoolOptions options;
  options.frames = shape.frames_min + choices.draw(span, sim::Site::plan, shape.frames_max - shape.frames_min + 1);
  options.log = log;
  options.background_writer = choices.draw(span, sim::Site::plan, 4) != 0;
  options.background_reader = choices.draw(span, sim::Site::plan, 4) != 0;
  options.write_batch_pages = 1 + choices.draw(span, sim::Site::plan, 8);
  if (shape.waits_when_full && choices.draw(span, sim::Site::plan, 2) != 0)
    options.exhausted_wait = std::chrono::microseconds(1 + choices.draw(span, sim::Site::plan, 500));
  return options;
}

/// Ends a pool: closed if that can be had, else given up. What close covers is durable.
void end_pool(PoolShared& shared, bool give_up) {
  Host& host = shared.host;
  Oracle& oracle = host.oracle();
  for (unsigned attempt = 0; attempt < kCloseAttempts && !give_up && !host.over() && !shared.file.poisoned();
       ++attempt) {
    const auto covered = shared.model.covered();
    host.operation_begins();
    const Time since = host.scheduler().now();
    const Result<void> closed = in_engine([&] { return shared.pool.close(); });
    const PageError* error = closed ? nullptr : &closed.error();
    const bool refused = error != nullptr && shared.log != nullptr && FickleBarrier::made(*error);
    if (!refused && !host.judge_call(error, "close", Owes::syncs, since))
      host.violation(Invariant::typed_errors, "close failed, and no injected fault explains it: " + error->message());
    if (!closed) continue;
    for (const PoolModel::Covered& what : covered) {
      if (shared.log == nullptr) {
        oracle.checkpointed(what.lsn);
      } else if (oracle.acknowledged(what.page) < what.lsn) {
        oracle.returned(what.lsn, true);
      }
    }
    return;
  }
  in_engine([&] { static_cast<void>(shared.pool.abandon()); });
}

}  // namespace

void run_pool_workload(Host& host, const PoolShape& shape) {
  std::unique_ptr<Subject> file = create_page_file(host);
  if (file == nullptr) return;
  std::unique_ptr<RedoLog> log;
  if (shape.log) {
    Oracle& oracle = host.oracle();
    oracle.has_log();
    oracle.judge_write_ahead();
    log = RedoLog::create(host.scheduler(), host.backend(), host.side_path(kPoolLog),
                          [&oracle](std::uint64_t lsn) { oracle.log_durable(lsn); });
    if (log == nullptr) return host.violation(Invariant::liveness, "the log cannot be created");
  }
  std::optional<FickleBarrier> barrier;
  if (log != nullptr) barrier.emplace(host, *log);
  PoolModel model(host.oracle().pages().size());
  std::uint32_t operations_left = shape.operations_max;
  for (std::uint32_t round = 0; round < shape.rounds_max && !host.over(); ++round) {
    if (round != 0) {
      file.reset();
      file = reopen_page_file(host);
      if (file == nullptr) return;
      model.forget();
    }
    sim::Span span(host.span(), kRound, round);
    auto pool = host.engine().make_pool(host.scheduler(), *file,
                                        draw_options(host, shape, barrier ? &*barrier : nullptr, span));
    if (!pool) return host.violation(Invariant::liveness, "a pool cannot be made: " + pool.error().message());
    PoolShared shared{.host = host,
                      .file = *file,
                      .pool = **pool,
                      .model = model,
                      .shape = shape,
                      .log = log.get(),
                      .operations_left = operations_left};
    std::vector<std::unique_ptr<PoolClient>> clients;
    std::vector<TaskId> tasks;
    for (std::uint32_t number = 0; number < shape.fibers; ++number) {
      clients.push_back(std::make_unique<PoolClient>(shared, number, round));
      tasks.push_back(host.scheduler().spawn("client " + std::to_string(number), [client = clients.back().get()] {
        const sim::HarnessScope scope;
        client->run();
      }));
    }
    for (const TaskId task : tasks) host.scheduler().join(task);
    operations_left = shared.operations_left;
    end_pool(shared, host.choices().chance(span, sim::Site::op_kind, 1, 4));
    in_engine([&] { pool->reset(); });
    if (!file->poisoned()) return;
  }
}

}  // namespace pagedb::scenarios
