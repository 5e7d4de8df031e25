// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Redo, page by page: see page_redo.h for who does what, decision.h for what a record does.
#include "engine/redo/page_redo.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "engine/page.h"
#include "engine/redo/decision.h"

namespace pagedb::detail {
namespace {

// What reading a page says of that page's bytes only. Everything else is about the store, and ends the recovery.
[[nodiscard]] bool about_its_bytes(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::io_error:
    case ErrorCode::bad_length:
    case ErrorCode::bad_magic:
    case ErrorCode::bad_version:
    case ErrorCode::bad_checksum:
    case ErrorCode::wrong_page_id:
    case ErrorCode::wrong_file:
      return true;
    default:
      return false;
  }
}

[[nodiscard]] bool was_never_written(ErrorCode code) noexcept {
  return code == ErrorCode::never_written || code == ErrorCode::beyond_end;
}

}  // namespace

void PageRedo::Group::damaged(RedoDamage why, ErrorCode error, std::optional<Lsn> found, Lsn needed) noexcept {
  GatheredRecord& first = records.front();
  if (first.why != RedoDamage::none) return;
  first.why = why;
  first.error = error;
  first.found = found.value_or(Lsn{});
  first.needed = needed;
}

bool PageRedo::reserve(std::size_t records) noexcept {
  pages_ = std::min(std::max(kPagesMin, kMemory / page_bytes_), records);
  auto memory = AlignedBuffer::allocate(pages_ * page_bytes_,
                                        std::max<std::size_t>(AlignedBuffer::kAlignment, store_.limits().memory_align));
  groups_.reset(new (std::nothrow) Group[pages_]);
  ios_.reset(new (std::nothrow) PageIo[pages_]);
  if (!memory || groups_ == nullptr || ios_ == nullptr) return false;
  memory_ = std::move(*memory);
  return true;
}

void PageRedo::run(std::span<GatheredRecord> records, FunctionRef<void()> after_pages) noexcept {
  while (!shared_.stop.load(std::memory_order_relaxed)) {
    const std::size_t begin = shared_.next_window.fetch_add(1, std::memory_order_relaxed) * shared_.window;
    if (begin >= records.size()) return;
    result_ = redo_window(records, begin, after_pages);
    if (result_) continue;
    shared_.stop.store(true, std::memory_order_relaxed);
    return;
  }
}

Result<void> PageRedo::redo_window(std::span<GatheredRecord> records, std::size_t begin,
                                   FunctionRef<void()> after_pages) noexcept {
  const std::size_t end = std::min(begin + shared_.window, records.size());
  std::size_t at = begin;
  // A group that began in an earlier window is somebody else's.
  while (at > 0 && at < end && records[at].page == records[at - 1].page) ++at;
  while (at < end) {
    std::size_t count = 0;
    while (at < end && count < pages_) {
      std::size_t last = at + 1;
      while (last < records.size() && records[last].page == records[at].page) ++last;
      groups_[count++] = {.records = records.subspan(at, last - at), .page = records[at].page};
      at = last;
    }
    if (const auto done = redo_groups(count); !done) return done;
    after_pages();
  }
  return {};
}

Result<void> PageRedo::redo_groups(std::size_t count) noexcept {
  // Pages that may not be written are not read either. Those that may come first.
  std::size_t usable = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Group& group = groups_[i];
    if (const auto may = store_.may_write(group.page); !may) {
      const ErrorCode code = may.error().code;
      if (code != ErrorCode::reserved_page && code != ErrorCode::page_id_overflow) return may;
      group.damaged(RedoDamage::refused, code, {}, group.records.front().lsn);
      continue;
    }
    std::swap(groups_[usable], group);
    ios_[usable] = {.id = groups_[usable].page, .page = memory_.span().subspan(usable * page_bytes_, page_bytes_)};
    ++usable;
  }

  const std::span<PageIo> ios(ios_.get(), usable);
  static_cast<void>(store_.read_batch(ios, [](PageIo&) {}));  // each has a result of its own
  for (const PageIo& io : ios) {
    if (!io.result && !about_its_bytes(io.result.error().code) && !was_never_written(io.result.error().code))
      return io.result;
  }
  shared_.page_reads.fetch_add(usable, std::memory_order_relaxed);
  done_.pages_scanned += usable;

  std::size_t changed = 0;
  for (std::size_t i = 0; i < usable; ++i) {
    if (redo_group(groups_[i], ios_[i])) std::swap(ios_[changed++], ios_[i]);
  }
  if (changed == 0) return {};
  done_.pages_redone += changed;
  return store_.write_batch({ios_.get(), changed}, [](PageIo&) {});
}

// Redoes the records on the page that `io` has read. True: it must be written.
bool PageRedo::redo_group(Group& group, PageIo& io) noexcept {
  std::optional<Lsn> lsn = Lsn{};
  ErrorCode invalid{};
  if (io.result) {
    lsn = page_lsn(io.page);
  } else if (was_never_written(io.result.error().code)) {
    std::memset(io.page.data(), 0, io.page.size());
  } else {
    lsn.reset();
    invalid = io.result.error().code;
  }

  GatheredRecord& page = group.records.front();
  bool changed = false;
  bool spoilt = false;  // a change was refused halfway: what is in memory is nobody's page
  bool restored = false;
  for (const GatheredRecord& gathered : group.records) {
    const Standing standing = standing_of(spoilt ? std::nullopt : lsn, gathered.previous, gathered.lsn);
    page.lost = page.lost || standing == Standing::below_previous;
    switch (decide(gathered.kind, standing)) {
      case Decision::skip:
        ++done_.records_skipped;
        continue;
      case Decision::lost_write:
        group.damaged(RedoDamage::lost_write, {}, lsn, gathered.lsn);
        continue;
      case Decision::broken_chain:
        group.damaged(RedoDamage::broken_chain, {}, lsn, gathered.lsn);
        continue;
      case Decision::wait:
        group.damaged(RedoDamage::invalid, invalid, {}, gathered.lsn);
        continue;
      case Decision::install:
        if (gathered.body_bytes != page_bytes_) {
          group.damaged(RedoDamage::refused, ErrorCode::bad_length, lsn, gathered.lsn);
          continue;
        }
        std::memcpy(io.page.data(), gathered.body, page_bytes_);
        ++done_.images_installed;
        restored = restored || standing == Standing::invalid || page.lost || page.why != RedoDamage::none;
        page.healed = true;
        page.why = RedoDamage::none;
        spoilt = false;
        break;
      case Decision::apply:
        if (const auto applied = apply_(gathered.record(), io.page); !applied) {
          group.damaged(RedoDamage::refused, applied.error().code, lsn, gathered.lsn);
          spoilt = true;
          changed = restored = page.healed = false;  // an image before it goes with the rest
          continue;
        }
        ++done_.changes_applied;
        break;
    }
    lsn = gathered.lsn;
    set_page_lsn(io.page, gathered.lsn);
    changed = true;
  }
  if (restored) ++done_.restored_from_image;
  return changed;
}

void PageRedo::add_to(RecoveryReport& report) noexcept {
  report.records_skipped += done_.records_skipped;
  report.changes_applied += done_.changes_applied;
  report.images_installed += done_.images_installed;
  report.pages_scanned += done_.pages_scanned;
  report.pages_redone += done_.pages_redone;
  report.restored_from_image += done_.restored_from_image;
  done_ = {};
}

}  // namespace pagedb::detail
