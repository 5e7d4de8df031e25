// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Reading, writing and syncing the pages of an open file.
#include "engine/page_file.h"

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <utility>

#include "engine/check.h"
#include "engine/internal/page_file_state.h"
#include "engine/internal/raise_to.h"
#include "engine/internal/superblock_io.h"
#include "engine/io/transfer.h"

namespace pagedb {
namespace {

constexpr std::uint64_t kLengthMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());  // off_t

}  // namespace

PageFile::PageFile(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
PageFile::~PageFile() = default;

std::optional<PageError> PageFile::State::refuse_sync() const noexcept {
  if (poisoned.load(std::memory_order_acquire)) return PageError{.code = ErrorCode::poisoned};
  if (!writable) return PageError{.code = ErrorCode::read_only};
  return std::nullopt;
}

std::optional<PageError> PageFile::State::refuse(IoOp op, PageId page_id, Owner owner) const noexcept {
  const auto refusal = [&](PageError error) { return std::optional<PageError>(error.about(page_id)); };
  if (poisoned.load(std::memory_order_acquire)) return refusal({.code = ErrorCode::poisoned});
  if (op == IoOp::write && !writable) return refusal({.code = ErrorCode::read_only});
  if (page_id.value >= kLengthMax >> size.shift()) return refusal({.code = ErrorCode::page_id_overflow});
  if (owner == Owner::user && reserves(page_id)) return refusal({.code = ErrorCode::reserved_page});
  if (op == IoOp::read) {
    const std::uint64_t count = page_count.load(std::memory_order_acquire);
    if (page_id.value >= count) return refusal({.code = ErrorCode::beyond_end, .actual = count});
  }
  return std::nullopt;
}

std::optional<PageError> PageFile::State::refuse(IoOp op, PageId page_id, std::span<std::byte> page,
                                                 Owner owner) const noexcept {
  PAGEDB_CHECK(page.size() == size.bytes(), "the span for a page has page_size() bytes");
  if (const auto refusal = refuse(op, page_id, owner)) return refusal;
  if ((reinterpret_cast<std::uintptr_t>(page.data()) & (limits.memory_align - 1)) != 0) {
    return PageError{.code = ErrorCode::misaligned, .expected = limits.memory_align}.about(page_id);
  }
  return std::nullopt;
}

IoRequest PageFile::State::request(IoOp op, PageId page_id, std::span<std::byte> page) const noexcept {
  return {.op = op, .offset = page_id.value << size.shift(), .data = page.data(), .size = page.size()};
}

void PageFile::State::wrote(PageId page_id) noexcept { detail::raise_to(page_count, page_id.value + 1); }

Result<PageHeader> PageFile::State::read_page(PageId page_id, std::span<std::byte> page, Owner owner) noexcept {
  if (const auto refusal = refuse(IoOp::read, page_id, page, owner)) return failure(*refusal);
  if (const auto moved = transfer(*file, scheduler, request(IoOp::read, page_id, page)); !moved)
    return failure(moved.error().about(page_id));
  return verify(page, size, identity(page_id));
}

Result<PageHeader> PageFile::read(PageId id, std::span<std::byte> page) noexcept {
  return state_->read_page(id, page, State::Owner::user);
}

Result<void> PageFile::write(PageId id, std::span<std::byte> page) noexcept {
  State& s = *state_;
  if (const auto refusal = s.refuse(IoOp::write, id, page, State::Owner::user)) return failure(*refusal);
  seal(page, s.identity(id));
  if (const auto moved = transfer(*s.file, s.scheduler, s.request(IoOp::write, id, page)); !moved)
    return failure(moved.error().about(id));
  s.wrote(id);
  return {};
}

Result<void> PageFile::State::run_batch(IoOp op, std::span<PageIo> batch, PageDone done, Owner owner) noexcept {
  // A batch goes in parts, each deeper than the device's queue, with scratch on the stack for a small one. A large one
  // asks for more, and does without when there is none.
  constexpr std::size_t kSmallPart = 128;  // 5 KiB
  constexpr std::size_t kPart = 1024;
  std::array<IoRequest, kSmallPart> few_requests;
  std::array<PageIo*, kSmallPart> few_entries;
  std::span<IoRequest> requests = few_requests;
  std::span<PageIo*> entries = few_entries;
  std::unique_ptr<IoRequest[]> more_requests;
  std::unique_ptr<PageIo*[]> more_entries;
  if (batch.size() > kSmallPart) {
    const std::size_t room = std::min(batch.size(), kPart);
    more_requests.reset(new (std::nothrow) IoRequest[room]);
    more_entries.reset(new (std::nothrow) PageIo*[room]);
    if (more_requests != nullptr && more_entries != nullptr) {
      requests = {more_requests.get(), room};
      entries = {more_entries.get(), room};
    }
  }

  const auto finish = [&](PageIo& entry, const Result<void>& result) {
    entry.result = result;
    done(entry);
  };
  for (std::size_t base = 0; base < batch.size(); base += requests.size()) {
    std::size_t count = 0;
    for (PageIo& entry : batch.subspan(base, std::min(requests.size(), batch.size() - base))) {
      if (const auto refusal = refuse(op, entry.id, entry.page, owner)) {
        finish(entry, failure(*refusal));
        continue;
      }
      if (op == IoOp::write) seal(entry.page, identity(entry.id), owner == Owner::library ? page_flags::kMetadata : 0);
      requests[count] = request(op, entry.id, entry.page);
      entries[count++] = &entry;
    }
    // Pages are verified as they arrive, while others are still on their way.
    transfer_batch(*file, scheduler, requests.first(count), [&](std::size_t i, const Result<void>& moved) {
      PageIo& entry = *entries[i];
      if (!moved) {
        finish(entry, failure(moved.error().about(entry.id)));
      } else if (op == IoOp::write) {
        wrote(entry.id);
        finish(entry, {});
      } else {
        finish(entry, verify(entry.page, size, identity(entry.id)).map([](const PageHeader&) {}));
      }
    });
  }
  for (const PageIo& entry : batch) {
    if (!entry.result) return entry.result;
  }
  return {};
}

Result<void> PageFile::read_batch(std::span<PageIo> batch, PageDone done) noexcept {
  return state_->run_batch(IoOp::read, batch, done, State::Owner::user);
}

Result<void> PageFile::write_batch(std::span<PageIo> batch, PageDone done) noexcept {
  return state_->run_batch(IoOp::write, batch, done, State::Owner::user);
}

Result<void> PageFile::State::sync() noexcept {
  return gate.run([&]() -> Result<void> {
    if (poisoned.load(std::memory_order_acquire)) return failure(PageError{.code = ErrorCode::poisoned});
    const auto synced = sync_file(*file, scheduler);
    // A write may return Ok just after this, yet nobody can come to believe in it: that takes a later sync.
    if (!synced) poisoned.store(true, std::memory_order_release);
    return synced;
  });
}

Result<void> PageFile::State::store(SlotWriter& writer, Superblock next) noexcept {
  // Never a number that an attempt already used: what that one wrote may stand in a slot.
  const std::uint64_t more = begins_with(next.generation + 1) == start ? 1 : 2;
  if (next.generation > std::numeric_limits<std::uint64_t>::max() - more)
    return failure(PageError{.code = ErrorCode::superblock_damaged});
  next.generation += more;
  attempted = next;
  settled = false;
  if (const auto done = writer.commit(next, start, [&] { return sync(); }); !done) return done;
  settled = true;
  generation.store(next.generation, std::memory_order_release);
  redo_from.store(next.redo_from.value, std::memory_order_release);
  return participant != nullptr ? participant->committed() : Result<void>();
}

Result<void> PageFile::State::commit() noexcept {
  auto writer = SlotWriter::make(*file, scheduler, size);
  if (!writer) return failure(writer.error());
  // Whoever wants a value has seen its writes return before it said so: the barrier before the slots covers them.
  const Lsn wanted{wanted_redo_from.load(std::memory_order_acquire)};
  if (participant != nullptr && participant->has_changes()) {
    // After a failed commit a slot may hold the state before, or hold it again after a crash. The participant
    // overwrites what only that refers to.
    if (!settled) {
      if (const auto again = store(*writer, attempted); !again) return again;
    }
    const auto root = participant->prepare();
    if (!root) return failure(root.error());
    attempted.allocation = *root;
    settled = false;
  }
  Superblock next = attempted;
  next.redo_from = wanted;
  return store(*writer, next);
}

Result<void> PageFile::sync() noexcept {
  if (const auto refusal = state_->refuse_sync()) return failure(*refusal);
  return state_->sync();
}

Result<void> PageFile::commit_redo_from(Lsn redo_from) noexcept {
  State& s = *state_;
  if (const auto refusal = s.refuse_sync()) return failure(*refusal);
  if (!s.has_superblock) return failure(PageError{.code = ErrorCode::unsupported});
  detail::raise_to(s.wanted_redo_from, redo_from.value);
  return s.commit_gate.run([&] { return s.commit(); });
}

Result<void> PageFile::may_write(PageId id) const noexcept {
  if (const auto refusal = state_->refuse(IoOp::write, id, State::Owner::user)) return failure(*refusal);
  return {};
}

std::uint64_t PageFile::page_count() const noexcept { return state_->page_count.load(std::memory_order_acquire); }
PageSize PageFile::page_size() const noexcept { return state_->size; }
FileId PageFile::file_id() const noexcept { return state_->id; }
std::uint64_t PageFile::generation() const noexcept { return state_->generation.load(std::memory_order_acquire); }
Lsn PageFile::redo_from() const noexcept { return {state_->redo_from.load(std::memory_order_acquire)}; }
detail::AllocationStore& PageFile::allocation_store() noexcept { return state_->map_file; }
bool PageFile::is_reserved(PageId id) const noexcept { return state_->reserves(id); }
bool PageFile::poisoned() const noexcept { return state_->poisoned.load(std::memory_order_acquire); }
const OpenReport& PageFile::open_report() const noexcept { return state_->report; }
IoLimits PageFile::limits() const noexcept { return state_->limits; }

}  // namespace pagedb
