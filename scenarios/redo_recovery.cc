// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/redo_recovery.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "scenarios/log_recovery.h"
#include "scenarios/page_workload.h"
#include "scenarios/real_run.h"
#include "scenarios/redo_log.h"
#include "scenarios/sim_run.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kClient = 401, kOperation };

constexpr std::size_t kPages = 32;
constexpr std::uint32_t kClients = 3;
constexpr std::uint32_t kOperationsMax = 40;
constexpr std::string_view kLog = "log";

/// What the clients share.
struct Shared {
  Host& host;
  Subject& pages;
  RedoLog& log;
  std::vector<std::uint64_t> logged;     // by page: LSN of its newest record
  std::vector<std::uint64_t> unwritten;  // by client: LSN of the change whose page is not written yet; 0: none
  std::uint32_t left = kOperationsMax;
  std::uint64_t next_lsn = 1;
};

/// Changes pages the way a database does: log first, then the page, now and then a checkpoint.
class RedoClient {
 public:
  RedoClient(Shared& shared, std::uint32_t number)
      : shared_(shared), number_(number), span_(shared.host.span(), kClient, number) {
    auto memory = AlignedBuffer::allocate(RedoLog::kImageBytes);
    PAGEDB_CHECK(memory.has_value(), "the harness needs memory for a page");
    page_ = std::move(*memory);
  }

  void run() {
    for (std::uint64_t operation = 0; shared_.left != 0 && !shared_.host.over(); ++operation) {
      sim::Span own(span_, kOperation, operation);
      const std::uint32_t kind = shared_.host.choices().draw(own, sim::Site::op_kind, 32);  // 0: stop
      if (kind == 0) return;
      --shared_.left;
      shared_.host.operation_begins();
      if (kind < 27 ? !change(own) : !checkpoint()) return;
    }
  }

 private:
  bool change(sim::Span& span) {
    Oracle& oracle = shared_.host.oracle();
    const std::uint32_t own_pages =
        static_cast<std::uint32_t>((oracle.pages().size() - number_ + kClients - 1) / kClients);
    const std::size_t page =
        number_ + std::size_t{shared_.host.choices().draw(span, sim::Site::op_page, own_pages)} * kClients;
    const std::uint64_t lsn = oracle.intend(page, page_.span());
    shared_.next_lsn = lsn + 1;
    shared_.unwritten[number_] = lsn;
    const std::uint64_t position =
        shared_.log.append_image(oracle.pages()[page], lsn, shared_.logged[page], page_.span());
    shared_.logged[page] = lsn;
    oracle.returned(lsn, true);
    if (!shared_.log.commit(position)) return failed("the log cannot be written");
    const Result<void> written = shared_.pages.write(oracle.pages()[page], page_.span());
    shared_.host.judge_write(page, written ? nullptr : &written.error());
    shared_.unwritten[number_] = 0;
    return written.has_value();
  }

  bool checkpoint() {
    // Every change below redo_from has its page written; the sync makes those pages durable.
    std::uint64_t redo_from = shared_.next_lsn;
    for (const std::uint64_t lsn : shared_.unwritten) {
      if (lsn != 0) redo_from = std::min(redo_from, lsn);
    }
    const Result<void> synced = shared_.pages.sync();
    shared_.host.judge_sync(synced ? nullptr : &synced.error(), shared_.pages.poisoned());
    if (!synced) return false;
    shared_.host.oracle().images_from(redo_from);
    return shared_.log.commit(shared_.log.append_checkpoint(redo_from)) || failed("the log cannot be written");
  }

  bool failed(const std::string& what) {
    if (!shared_.host.over()) shared_.host.violation(Invariant::liveness, what);
    return false;
  }

  Shared& shared_;
  std::uint32_t number_;
  sim::Span span_;
  AlignedBuffer page_;
};

void run_redo_workload(Host& host) {
  Oracle& oracle = host.oracle();
  oracle.has_log();
  oracle.judge_write_ahead();
  const std::unique_ptr<Subject> pages = create_page_file(host);
  if (pages == nullptr) return;
  const std::unique_ptr<RedoLog> log = RedoLog::create(host.scheduler(), host.backend(), host.side_path(kLog),
                                                       [&](std::uint64_t lsn) { oracle.log_durable(lsn); });
  if (log == nullptr) return host.violation(Invariant::liveness, "the log cannot be created");
  Shared shared{.host = host,
                .pages = *pages,
                .log = *log,
                .logged = std::vector<std::uint64_t>(oracle.pages().size()),
                .unwritten = std::vector<std::uint64_t>(kClients)};
  std::vector<std::unique_ptr<RedoClient>> clients;
  std::vector<TaskId> tasks;
  for (std::uint32_t number = 0; number < kClients; ++number) {
    clients.push_back(std::make_unique<RedoClient>(shared, number));
    tasks.push_back(host.scheduler().spawn("client " + std::to_string(number), [client = clients.back().get()] {
      const sim::HarnessScope scope;
      client->run();
    }));
  }
  for (const TaskId task : tasks) host.scheduler().join(task);
}

/// The log is read from its beginning, and says where redo begins.
void recover(Branch& branch) {
  RedoReader log;
  if (!log.read(branch.disk(), std::string(kLog))) return branch.report(Invariant::liveness, "the log cannot be read");
  std::uint64_t redo_from = 0;
  for (const LogRecord& record : log.records()) redo_from = std::max(redo_from, record.redo_from);
  const auto file = branch.open();
  if (file == nullptr) return;
  if (redo(branch, *file, kLog, Lsn{redo_from}, 0)) branch.verify(*file);
}

class RedoRecovery final : public Scenario {
 public:
  std::string_view name() const override { return "redo_recovery"; }
  std::string_view summary() const override {
    return "pages and a redo log with full images; torn, stale and damaged pages must come back";
  }
  std::string_view default_profile() const override { return "nvme-512"; }
  RunResult run(const RunRequest& request) const override { return run_redo_recovery(request, production_engine()); }
  RunResult run_real(const RealRequest& request) const override {
    const sim::HarnessScope scope;
    RealRun run(request, name(), {}, workload_pages({}, kPages));
    run_redo_workload(run);
    return run.finish();
  }
};

}  // namespace

RunResult run_redo_recovery(const RunRequest& request, const Engine& engine) {
  const sim::HarnessScope scope;
  SimPlan plan;
  plan.engine = &engine;
  plan.faults = {.misdirected_write = 800, .bit_rot = 400, .latent_sector_error = 200};
  plan.crash_damage = 64;
  plan.pages = workload_pages(plan.page_size, kPages);
  plan.recover = recover;
  SimRun run(request, "redo_recovery", std::move(plan));
  run_redo_workload(run);
  return run.finish();
}

const Scenario& redo_recovery() {
  static const RedoRecovery scenario;
  return scenario;
}

}  // namespace pagedb::scenarios
