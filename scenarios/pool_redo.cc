// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/pool_redo.h"

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/check.h"
#include "scenarios/pool_workload.h"
#include "scenarios/redo_log.h"

namespace pagedb::scenarios {
namespace {

constexpr std::size_t kLsnAt = 16;  // in a page's header

/// A page while the log is replayed on it.
struct Replayed {
  std::span<std::byte> page;
  std::optional<std::uint64_t> lsn;  // none: it does not verify, and waits for an image
  bool changed = false;

  void apply(const RedoRecord& record) {
    if (lsn && *lsn >= record.lsn) return;                                 // it has it already
    if (record.kind == RedoKind::delta && lsn != record.previous) return;  // no image, or a broken chain: judged below
    std::memcpy(page.data() + record.offset, record.bytes.data(), record.bytes.size());
    std::memcpy(page.data() + kLsnAt, &record.lsn, sizeof record.lsn);
    lsn = record.lsn;
    changed = true;
  }
};

/// The page as a batch read it. Never written is version 0.
Replayed replayed(const PageIo& io) {
  Replayed made{.page = io.page, .lsn = 0};
  if (io.result) {
    std::uint64_t lsn;
    std::memcpy(&lsn, io.page.data() + kLsnAt, sizeof lsn);
    made.lsn = lsn;
  } else if (io.result.error().code != ErrorCode::never_written && io.result.error().code != ErrorCode::beyond_end) {
    made.lsn.reset();
  }
  return made;
}

}  // namespace

void recover_by_redo(Branch& branch) {
  const auto file = branch.open();
  if (file == nullptr) return;
  RedoReader log;
  if (!log.read(branch.disk(), kPoolLog, branch.redo_from()))
    return branch.report(Invariant::liveness, "the log cannot be read");

  const std::size_t page_bytes = branch.oracle().page_size().bytes();
  std::vector<std::size_t> place(branch.oracle().pages().size(), ~std::size_t{0});  // in the batch, by page index
  std::vector<PageIo> batch;
  const auto index_of = [&](const RedoRecord& record) {
    return branch.oracle().index_at(record.page.value * page_bytes);
  };
  for (const RedoRecord& record : log.records()) {
    const auto index = index_of(record);
    if (!index || place[*index] != ~std::size_t{0}) continue;
    place[*index] = batch.size();
    batch.push_back({.id = record.page});
  }
  if (batch.empty()) return branch.verify(*file);
  auto memory = AlignedBuffer::allocate(batch.size() * page_bytes);
  PAGEDB_CHECK(memory.has_value(), "the harness needs memory for every page");
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i].page = memory->span().subspan(i * page_bytes, page_bytes);
  static_cast<void>(file->read_batch(batch));

  std::vector<Replayed> pages;
  for (const PageIo& io : batch) pages.push_back(replayed(io));
  for (const RedoRecord& record : log.records()) {
    if (const auto index = index_of(record)) pages[place[*index]].apply(record);
  }
  std::vector<PageIo> install;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (pages[i].changed) install.push_back({.id = batch[i].id, .page = batch[i].page});
  }
  if (!install.empty() && (!file->write_batch(install) || !file->sync()))
    return branch.report(Invariant::liveness, "redo cannot write the pages it must restore");
  branch.verify(*file);
}

}  // namespace pagedb::scenarios
