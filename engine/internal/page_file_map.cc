// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The pages of an allocation map, to and from a page file, and its share in a commit.
#include "engine/internal/page_file_map.h"

#include "engine/check.h"
#include "engine/internal/page_file_state.h"
#include "engine/internal/retry.h"
#include "engine/io/transfer.h"

namespace pagedb::detail {

Scheduler& PageFileMap::scheduler() noexcept { return file_.scheduler; }
PageSize PageFileMap::page_size() const noexcept { return file_.size; }
const sync::Atomic<bool>& PageFileMap::poisoned() const noexcept { return file_.poisoned; }
bool PageFileMap::writable() const noexcept { return file_.writable; }
AllocationRoot PageFileMap::root() const noexcept { return file_.attempted.allocation; }

void PageFileMap::attach(CommitParticipant& participant) noexcept {
  PAGEDB_CHECK(file_.participant == nullptr, "a page file has one allocator at a time");
  file_.participant = &participant;
  file_.has_map.store(true, std::memory_order_release);
}

void PageFileMap::detach() noexcept { file_.participant = nullptr; }

Result<PageHeader> PageFileMap::read_node(PageId id, std::span<std::byte> page) noexcept {
  return file_.read_page(id, page, PageFile::State::Owner::library);
}

Result<void> PageFileMap::write_nodes(std::span<PageIo> batch) noexcept {
  return file_.run_batch(IoOp::write, batch, [](PageIo&) {}, PageFile::State::Owner::library);
}

Result<void> PageFileMap::commit() noexcept {
  if (const auto refusal = file_.refuse_sync()) return failure(*refusal);
  return file_.commit_gate.run([this] { return file_.commit(); });
}

Result<void> PageFileMap::cut(std::uint64_t pages) noexcept {
  if (const auto refusal = file_.refuse_sync()) return failure(*refusal);
  if (pages >= file_.page_count.load(std::memory_order_acquire)) return {};
  const int error = retry_interrupted(file_.scheduler, [&] { return file_.file->resize(pages << file_.size.shift()); });
  if (error != 0) return failure(io_failure(error));
  file_.page_count.store(pages, std::memory_order_release);
  return file_.sync();
}

}  // namespace pagedb::detail
