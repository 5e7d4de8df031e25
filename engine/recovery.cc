// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Recovery: gathers, redoes, gathers again. What a record does to a page is in redo/.
#include "engine/recovery.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "engine/redo/damage_list.h"
#include "engine/redo/gathering.h"
#include "engine/redo/page_redo.h"

namespace pagedb {
namespace {

using detail::DamageList;
using detail::Gathering;
using detail::PageRedo;
using detail::RedoShared;

/// Entries that a task takes at a time: as many pages as it reads at once, where they have a few records each.
constexpr std::size_t kWindowMax = 1024;
/// What is left of a log of which nobody knows how long it is.
constexpr std::size_t kRecordsMany = std::numeric_limits<std::size_t>::max();
constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};

class Recovery {
 public:
  Recovery(Scheduler& scheduler, PageStore& store, RedoSource& source, RedoApply apply, const RecoveryOptions& options)
      : scheduler_(scheduler), store_(store), source_(source), apply_(apply), options_(options) {}

  [[nodiscard]] Result<RecoveryReport> run() noexcept {
    if (!gathering_.reserve(std::max(options_.redo_memory, kRedoMemoryMin))) return failure(kNoMemory);
    if (const auto all = take_all(); !all) return failure(all.error());
    if (const auto redone = redo_gathered(Gathered::last); !redone) return failure(redone.error());
    // Also when nothing was written: an attempt before this one, which failed, may have written what was found.
    if (report_.pages_scanned != 0) {
      if (const auto synced = store_.sync(); !synced) return failure(synced.error());
    }
    report_.lost_writes = damage_.lost_writes();
    report_.unrecoverable = damage_.release();
    return std::move(report_);
  }

 private:
  [[nodiscard]] Result<void> take_all() noexcept {
    while (true) {
      const auto next = source_.next();
      if (!next) return failure(next.error());
      if (!*next) return {};
      if (const auto taken = take(**next); !taken) return taken;
    }
  }

  [[nodiscard]] Result<void> take(const RedoRecord& record) noexcept {
    ++report_.records;
    const bool of_allocation = record.kind == RedoKind::allocate || record.kind == RedoKind::free;
    if (record.lsn < options_.redo_from || (of_allocation && options_.allocation == nullptr)) {
      ++report_.records_skipped;
      return {};
    }
    if (of_allocation) {
      ++report_.allocations_redone;
      return record.kind == RedoKind::allocate ? options_.allocation->redo_allocate(record.page)
                                               : options_.allocation->redo_free(record.page);
    }
    if (gathering_.add(record)) return {};
    if (const auto redone = redo_gathered(Gathered::full); !redone) return redone;
    if (gathering_.add(record)) return {};
    return failure(
        PageError{.code = ErrorCode::out_of_memory, .expected = gathering_.capacity(), .actual = record.body.size()}
            .about(record.page));
  }

  enum class Gathered : std::uint8_t { full, last };

  [[nodiscard]] Result<void> redo_gathered(Gathered which) noexcept {
    const std::span<detail::GatheredRecord> records = gathering_.records();
    if (records.empty()) return {};
    if (const auto started = start(which == Gathered::last ? records.size() : kRecordsMany); !started) return started;
    gathering_.sort();
    shared_.window = std::clamp<std::size_t>(records.size() / (4 * tasks_), 1, kWindowMax);
    shared_.next_window.store(0, std::memory_order_relaxed);

    // The first of them works on this task, and is the one that tells how far they are. What a helper captures is
    // small enough to need no memory.
    for (unsigned i = 1; i < tasks_; ++i) {
      helpers_[i] = scheduler_.spawn("redo", [this, i] { redo_[i]->run(gathering_.records(), [] {}); });
    }
    redo_[0]->run(records, [this] { tell(); });
    for (unsigned i = 1; i < tasks_; ++i) {
      if (helpers_[i].value != 0) scheduler_.join(helpers_[i]);
    }

    for (unsigned i = 0; i < tasks_; ++i) {
      redo_[i]->add_to(report_);
      if (!redo_[i]->result()) return redo_[i]->result();
    }
    if (!damage_.take(records, gathering_.capacity())) return failure(kNoMemory);
    gathering_.clear();
    tell();
    return {};
  }

  // Memory for the tasks, once there is something to do for them: not more than a log of `records` records needs.
  [[nodiscard]] Result<void> start(std::size_t records) noexcept {
    if (redo_ != nullptr) return {};
    const unsigned tasks = std::max(options_.tasks, 1u);
    redo_.reset(new (std::nothrow) std::unique_ptr<PageRedo>[tasks]);
    helpers_.reset(new (std::nothrow) TaskId[tasks]);
    if (redo_ == nullptr || helpers_ == nullptr) return failure(kNoMemory);
    for (unsigned i = 0; i < tasks; ++i) {
      redo_[i].reset(new (std::nothrow) PageRedo(store_, apply_, shared_));
      if (redo_[i] == nullptr || !redo_[i]->reserve(records)) return failure(kNoMemory);
    }
    tasks_ = tasks;
    return {};
  }

  void tell() noexcept {
    if (!options_.progress) return;
    options_.progress({.records = report_.records, .page_reads = shared_.page_reads.load(std::memory_order_relaxed)});
  }

  Scheduler& scheduler_;
  PageStore& store_;
  RedoSource& source_;
  RedoApply apply_;
  const RecoveryOptions& options_;
  Gathering gathering_;
  DamageList damage_;
  RedoShared shared_;
  std::unique_ptr<std::unique_ptr<PageRedo>[]> redo_;
  std::unique_ptr<TaskId[]> helpers_;
  unsigned tasks_ = 0;
  RecoveryReport report_;
};

}  // namespace

std::string_view name(RedoDamage why) noexcept {
  switch (why) {
    case RedoDamage::none:
      return "none";
    case RedoDamage::lost_write:
      return "lost_write";
    case RedoDamage::broken_chain:
      return "broken_chain";
    case RedoDamage::invalid:
      return "invalid";
    case RedoDamage::refused:
      return "refused";
  }
  return "?";
}

Result<RecoveryReport> recover(Scheduler& scheduler, PageStore& store, RedoSource& source, RedoApply apply,
                               const RecoveryOptions& options) noexcept {
  return Recovery(scheduler, store, source, apply, options).run();
}

}  // namespace pagedb
