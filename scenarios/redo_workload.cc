// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/redo_workload.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/check.h"
#include "scenarios/log_recovery.h"
#include "scenarios/page_workload.h"
#include "scenarios/redo_log.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kClient = 401, kOperation };

constexpr std::uint32_t kClients = 3;
constexpr std::string_view kLog = "log";
constexpr std::size_t kHeader = 32;

/// What the clients share.
struct Shared {
  Host& host;
  Subject& pages;
  RedoLog& log;
  const RedoShape& shape;
  std::vector<std::uint64_t> logged{};     // by page: LSN of its newest record
  std::vector<std::uint64_t> unwritten{};  // by page: LSN of its first record that no page write has covered; 0: none
  std::uint32_t left = 0;
};

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
      const std::uint32_t kind = choices().draw(own, sim::Site::op_kind, 32);  // 0: stop
      if (kind == 0) return;
      --shared_.left;
      shared_.host.operation_begins();
      if (kind < 27 ? !change(own) : !checkpoint(own)) return;
    }
  }

 private:
  bool change(sim::Span& span) {
    Oracle& oracle = this->oracle();
    const auto own_pages = static_cast<std::uint32_t>((oracle.pages().size() - number_ + kClients - 1) / kClients);
    const std::size_t page = number_ + std::size_t{choices().draw(span, sim::Site::op_page, own_pages)} * kClients;
    const std::uint64_t previous = shared_.logged[page];
    const bool image = previous == 0 || choices().draw(span, sim::Site::op_kind, 8) < shared_.shape.images_in_8;
    std::uint64_t lsn = 0, position = 0;
    if (image) {
      lsn = oracle.intend(page, page_.span());
      oracle.image_logged(lsn);
      position = shared_.log.append_image(oracle.pages()[page], lsn, previous, page_.span());
    } else {
      const std::size_t size = 16 + 8 * std::size_t{choices().draw(span, sim::Site::op_size, 32)};
      const auto places = static_cast<std::uint32_t>((RedoLog::kImageBytes - kHeader - size) / 8 + 1);
      const std::size_t offset = 8 * std::size_t{choices().draw(span, sim::Site::op_value, places)};
      lsn = oracle.intend_change(page, previous, offset, size);
      position = shared_.log.append_delta(oracle.pages()[page], lsn, previous, kHeader + offset,
                                          oracle.contents(lsn).subspan(offset, size));
    }
    shared_.logged[page] = lsn;
    if (shared_.unwritten[page] == 0) shared_.unwritten[page] = lsn;
    if (choices().draw(span, sim::Site::op_kind, 8) >= shared_.shape.written_in_8) return true;
    return write(page, position);
  }

  /// The newest version of a page, once the log has it up to `position`.
  bool write(std::size_t page, std::uint64_t position) {
    if (!shared_.log.commit(position)) return failed("the log cannot be written");
    const std::uint64_t lsn = shared_.logged[page];
    oracle().fill(lsn, page_.span());
    const Result<void> written = shared_.pages.write(oracle().pages()[page], page_.span());
    shared_.host.judge_write(page, written ? nullptr : &written.error());
    if (!written) return false;
    oracle().returned(lsn, true);
    shared_.unwritten[page] = 0;
    return true;
  }

  bool checkpoint(sim::Span& span) {
    for (std::size_t page = number_; page < shared_.unwritten.size(); page += kClients) {
      if (shared_.unwritten[page] == 0 || choices().draw(span, sim::Site::op_page, 4) == 0) continue;
      if (!write(page, shared_.log.end())) return false;
    }
    // Every change below redo_from has its page written; the sync makes those pages durable.
    std::uint64_t redo_from = oracle().next_lsn();
    for (const std::uint64_t lsn : shared_.unwritten) {
      if (lsn != 0) redo_from = std::min(redo_from, lsn);
    }
    const Result<void> synced = shared_.pages.sync();
    shared_.host.judge_sync(synced ? nullptr : &synced.error(), shared_.pages.poisoned());
    if (!synced) return false;
    oracle().images_from(redo_from);
    return shared_.log.commit(shared_.log.append_checkpoint(redo_from)) || failed("the log cannot be written");
  }

  bool failed(const std::string& what) {
    if (!shared_.host.over()) shared_.host.violation(Invariant::liveness, what);
    return false;
  }
  [[nodiscard]] Oracle& oracle() { return shared_.host.oracle(); }
  [[nodiscard]] sim::Choices& choices() { return shared_.host.choices(); }

  Shared& shared_;
  std::uint32_t number_;
  sim::Span span_;
  AlignedBuffer page_;
};

}  // namespace

void run_redo_workload(Host& host, const RedoShape& shape) {
  Oracle& oracle = host.oracle();
  oracle.has_log(shape.images_in_8 == 8 ? Oracle::Log::of_images : Oracle::Log::of_changes);
  oracle.judge_write_ahead();
  const std::unique_ptr<Subject> pages = create_page_file(host);
  if (pages == nullptr) return;
  const std::unique_ptr<RedoLog> log = RedoLog::create(host.scheduler(), host.backend(), host.side_path(kLog),
                                                       [&](std::uint64_t lsn) { oracle.log_durable(lsn); });
  if (log == nullptr) return host.violation(Invariant::liveness, "the log cannot be created");
  Shared shared{.host = host, .pages = *pages, .log = *log, .shape = shape, .left = shape.operations_max};
  shared.logged.resize(oracle.pages().size());
  shared.unwritten.resize(oracle.pages().size());
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

void recover_redo_workload(Branch& branch) {
  RedoReader log;
  if (!log.read(branch.disk(), std::string(kLog))) return branch.report(Invariant::liveness, "the log cannot be read");
  std::uint64_t redo_from = 0;
  for (const LogRecord& record : log.records()) redo_from = std::max(redo_from, record.redo_from);
  const auto file = branch.open();
  if (file == nullptr) return;
  if (redo(branch, *file, kLog, Lsn{redo_from}, 0)) branch.verify(*file);
}

}  // namespace pagedb::scenarios
