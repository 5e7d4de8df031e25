// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/log_recovery.h"

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

#include "engine/recovery.h"
#include "scenarios/redo_log.h"
#include "scenarios/sim_run.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

/// The records of a log as the engine takes them. A change's body is where it goes, and the bytes.
class LogSource final : public RedoSource {
 public:
  explicit LogSource(std::span<const LogRecord> records) : records_(records) {}

  Result<std::optional<RedoRecord>> next() noexcept override {
    const sim::HarnessScope scope;
    while (!records_.empty() && records_.front().kind == LogKind::checkpoint) records_ = records_.subspan(1);
    if (records_.empty()) return std::nullopt;
    const LogRecord& record = records_.front();
    records_ = records_.subspan(1);
    RedoRecord out{.kind = record.kind == LogKind::image ? RedoKind::image : RedoKind::change,
                   .page = record.page,
                   .lsn = Lsn{record.lsn},
                   .previous = Lsn{record.previous},
                   .body = record.bytes};
    if (out.kind == RedoKind::change) {
      body_.resize(sizeof record.offset + record.bytes.size());
      std::memcpy(body_.data(), &record.offset, sizeof record.offset);
      std::memcpy(body_.data() + sizeof record.offset, record.bytes.data(), record.bytes.size());
      out.body = body_;
    }
    return out;
  }

 private:
  std::span<const LogRecord> records_;
  std::vector<std::byte> body_;
};

/// Puts a change's bytes where it says.
Result<void> put_bytes(const RedoRecord& record, std::span<std::byte> page) {
  const sim::HarnessScope scope;
  std::size_t offset = 0;
  std::memcpy(&offset, record.body.data(), sizeof offset);
  std::memcpy(page.data() + offset, record.body.data() + sizeof offset, record.body.size() - sizeof offset);
  return {};
}

}  // namespace

bool redo(Branch& branch, Subject& file, std::string_view log_path, Lsn redo_from, std::uint64_t cut_to) {
  RedoReader log;
  if (!log.read(branch.disk(), std::string(log_path), cut_to)) {
    branch.report(Invariant::liveness, "the log cannot be read");
    return false;
  }
  // Zero draws: one task, and several gatherings where the log is long.
  RecoveryOptions options{.redo_memory = 0, .redo_from = redo_from};
  options.tasks = 1 + branch.run().choices().draw(branch.span(), sim::Site::plan, 3);
  if (branch.run().choices().draw(branch.span(), sim::Site::plan, 2) != 0) options.redo_memory = std::size_t{1} << 18;
  LogSource source(log.records());
  const Result<RecoveryReport> report =
      branch.run().engine().recover(branch.scheduler(), file, source, put_bytes, options);
  if (branch.disk().sealed()) return false;
  if (!report) {
    branch.report(Invariant::liveness, "recovery from the log failed: " + report.error().message());
    return false;
  }
  // Pages that do not verify or lost a write, and have no image, are judged when they are read. Nothing else may be
  // wrong with them: the log has each change.
  for (const DamagedPage& page : report->unrecoverable) {
    if (page.why == RedoDamage::invalid) continue;
    const auto index = branch.oracle().index_at(page.page.value * branch.oracle().page_size().bytes());
    if (page.why == RedoDamage::lost_write && index) {
      branch.lost_write(*index);
      continue;
    }
    branch.report(Invariant::durability,
                  fmt::format("recovery reports page {} as {}: its lsn {} and a record of lsn {}", page.page.value,
                              name(page.why), page.found.value, page.needed.value));
  }
  return true;
}

void recover_by_redo(Branch& branch, std::string_view log_path) {
  const auto file = branch.open();
  if (file == nullptr) return;
  const std::uint64_t redo_from = branch.redo_from();
  if (redo(branch, *file, log_path, Lsn{redo_from}, redo_from)) branch.verify(*file);
}

}  // namespace pagedb::scenarios
