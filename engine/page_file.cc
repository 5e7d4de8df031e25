// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Reading, writing and syncing the pages of an open file.
#include "engine/page_file.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "engine/check.h"
#include "engine/internal/page_file_state.h"
#include "engine/io/transfer.h"

namespace pagedb {
namespace {

constexpr std::uint64_t kLengthMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());  // off_t

}  // namespace

PageFile::PageFile(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
PageFile::~PageFile() = default;

std::optional<PageError> PageFile::State::refuse(IoOp op, PageId page_id, std::span<std::byte> page) const noexcept {
  PAGEDB_CHECK(page.size() == size.bytes(), "the span for a page has page_size() bytes");
  const auto refusal = [&](PageError error) { return std::optional<PageError>(error.about(page_id)); };
  if (poisoned.load(std::memory_order_acquire)) return refusal({.code = ErrorCode::poisoned});
  if (op == IoOp::write && !writable) return refusal({.code = ErrorCode::read_only});
  if (page_id.value >= kLengthMax >> size.shift()) return refusal({.code = ErrorCode::page_id_overflow});
  if (reserves(page_id)) return refusal({.code = ErrorCode::reserved_page});
  if (op == IoOp::read) {
    const std::uint64_t count = page_count.load(std::memory_order_acquire);
    if (page_id.value >= count) return refusal({.code = ErrorCode::beyond_end, .actual = count});
  }
  if ((reinterpret_cast<std::uintptr_t>(page.data()) & (limits.memory_align - 1)) != 0) {
    return refusal({.code = ErrorCode::misaligned, .expected = limits.memory_align});
  }
  return std::nullopt;
}

IoRequest PageFile::State::request(IoOp op, PageId page_id, std::span<std::byte> page) const noexcept {
  return {.op = op, .offset = page_id.value << size.shift(), .data = page.data(), .size = page.size()};
}

void PageFile::State::wrote(PageId page_id) noexcept {
  const std::uint64_t end = page_id.value + 1;
  std::uint64_t count = page_count.load(std::memory_order_relaxed);
  while (count < end &&
         !page_count.compare_exchange_weak(count, end, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

Result<PageHeader> PageFile::read(PageId id, std::span<std::byte> page) noexcept {
  State& s = *state_;
  if (const auto refusal = s.refuse(IoOp::read, id, page)) return failure(*refusal);
  if (const auto moved = transfer(*s.file, s.scheduler, s.request(IoOp::read, id, page)); !moved)
    return failure(moved.error().about(id));
  return verify(page, s.size, s.identity(id));
}

Result<void> PageFile::write(PageId id, std::span<std::byte> page) noexcept {
  State& s = *state_;
  if (const auto refusal = s.refuse(IoOp::write, id, page)) return failure(*refusal);
  seal(page, s.identity(id));
  if (const auto moved = transfer(*s.file, s.scheduler, s.request(IoOp::write, id, page)); !moved)
    return failure(moved.error().about(id));
  s.wrote(id);
  return {};
}

Result<void> PageFile::State::run_batch(IoOp op, std::span<PageIo> batch) noexcept {
  // Scratch is bounded: a longer batch goes in parts, each far deeper than any device's queue.
  constexpr std::size_t kPart = 1024;
  const std::size_t room = std::min(batch.size(), kPart);
  const std::unique_ptr<IoRequest[]> requests(new (std::nothrow) IoRequest[room]);
  const std::unique_ptr<PageIo*[]> entries(new (std::nothrow) PageIo*[room]);
  const bool have_memory = requests != nullptr && entries != nullptr;

  for (std::size_t base = 0; base < batch.size(); base += kPart) {
    std::size_t count = 0;
    for (PageIo& entry : batch.subspan(base, std::min(kPart, batch.size() - base))) {
      entry.result = {};
      if (const auto refusal = refuse(op, entry.id, entry.page)) {
        entry.result = failure(*refusal);
      } else if (!have_memory) {
        entry.result = failure(PageError{.code = ErrorCode::out_of_memory}.about(entry.id));
      } else {
        if (op == IoOp::write) seal(entry.page, identity(entry.id));
        requests[count] = request(op, entry.id, entry.page);
        entries[count++] = &entry;
      }
    }
    // Pages are verified as they arrive, while others are still on their way.
    transfer_batch(*file, scheduler, {requests.get(), count}, [&](std::size_t i, const Result<void>& moved) {
      PageIo& entry = *entries[i];
      if (!moved) {
        entry.result = failure(moved.error().about(entry.id));
      } else if (op == IoOp::write) {
        wrote(entry.id);
      } else if (const auto header = verify(entry.page, size, identity(entry.id)); !header) {
        entry.result = failure(header.error());
      }
    });
  }
  for (const PageIo& entry : batch) {
    if (!entry.result) return entry.result;
  }
  return {};
}

Result<void> PageFile::read_batch(std::span<PageIo> batch) noexcept { return state_->run_batch(IoOp::read, batch); }

Result<void> PageFile::write_batch(std::span<PageIo> batch) noexcept { return state_->run_batch(IoOp::write, batch); }

Result<void> PageFile::sync() noexcept {
  State& s = *state_;
  if (!s.writable) return failure(PageError{.code = s.poisoned ? ErrorCode::poisoned : ErrorCode::read_only});
  return s.gate.run([&]() -> Result<void> {
    if (s.poisoned.load(std::memory_order_acquire)) return failure(PageError{.code = ErrorCode::poisoned});
    const auto synced = sync_file(*s.file, s.scheduler);
    // A write may return Ok just after this, yet nobody can come to believe in it: that takes a later sync.
    if (!synced) s.poisoned.store(true, std::memory_order_release);
    return synced;
  });
}

std::uint64_t PageFile::page_count() const noexcept { return state_->page_count.load(std::memory_order_acquire); }
PageSize PageFile::page_size() const noexcept { return state_->size; }
FileId PageFile::file_id() const noexcept { return state_->id; }
std::uint64_t PageFile::generation() const noexcept { return state_->generation; }
bool PageFile::is_reserved(PageId id) const noexcept { return state_->reserves(id); }
bool PageFile::poisoned() const noexcept { return state_->poisoned.load(std::memory_order_acquire); }
const OpenReport& PageFile::open_report() const noexcept { return state_->report; }
IoLimits PageFile::limits() const noexcept { return state_->limits; }

}  // namespace pagedb
