// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Recovery: the pages of a store brought up to their log, by LSN.
//
// When. After opening, before a pool is made over the store and before anything is allocated. Give it the log from
// `redo_from` on. When it returns Ok, what it redid is durable; the log may be cut only by the next checkpoint.
//
// What it does. Records are gathered, up to `redo_memory` bytes of them, sorted by page and LSN, and redone page by
// page: each page is read and written once a gathering, many at a time, by several tasks. What a record does to a page
// follows from the page's LSN alone (the table in engine/redo/decision.cc):
//
//   the page             an image             a change
//   has the LSN          skip                 skip               redo is idempotent
//   has the previous     install              apply
//   is below previous    install              lost write         a write that was acknowledged is not there
//   is in between        install              broken chain       the record was made of another page
//   does not verify      install              wait               for an image, which may follow
//
// A page that was never written has LSN 0. What is left waiting, lost or broken at the end is in the report, page by
// page, and stays on disk as it was found: recovery does not invent bytes and does not destroy evidence. Allocate and
// free records are redone as they come.
//
// What it cannot see: a lost write of which the log has no later record, such as one older than `redo_from`.
//
// Idempotent: a recovery that is cut off anywhere is begun again from the same log, with the same pages in the end.
//
// Memory: redo_memory, a mebibyte of pages (or 8 of them) a task, and two lists of 32 bytes for each page in the
// report, which may not outgrow redo_memory. It does not grow with the log.
//
// Source: redo by page LSN is the redo pass of ARIES (Mohan et al., TODS 17:1, 1992), without undo, which is the
// caller's; the previous LSN in the record is how it notices a page that went back in time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/log.h"
#include "engine/page_store.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb {

/// Makes a change of the caller's on `page` (page_size() bytes; the header is recovery's business): called only where
/// the page is exactly what the change was made of. By several tasks at once, for pages that differ. An error says that
/// the record makes no sense: the page is reported as `refused` and stays as it was found.
using RedoApply = FunctionRef<Result<void>(const RedoRecord& record, std::span<std::byte> page)>;

/// Why a page could not be brought up to its log.
enum class RedoDamage : std::uint8_t {
  none,          ///< it could
  lost_write,    ///< it is older than the log says it was: a write that was acknowledged is not there
  broken_chain,  ///< a record was made of another version of it
  invalid,       ///< it does not verify or cannot be read, and the log has no image
  refused,       ///< a record is none that can be redone: the change function said no, an image has another size than a
                 ///< page, or the page is none that may be written
};

/// The name as it stands in the enumeration.
[[nodiscard]] std::string_view name(RedoDamage why) noexcept;

/// A page that could not be brought up to its log.
struct DamagedPage {
  PageId page{};      ///< which
  RedoDamage why{};   ///< why; the first reason, when there were several
  ErrorCode error{};  ///< invalid: what reading it said; refused: what the refusal said
  Lsn found{};        ///< its LSN on disk, or where redo stopped; 0 where it has none
  Lsn needed{};       ///< the LSN of the record that could not be redone
};

/// What a recovery did.
struct RecoveryReport {
  std::uint64_t records = 0;              ///< read from the log
  std::uint64_t records_skipped = 0;      ///< the page had them, or they stand below redo_from
  std::uint64_t changes_applied = 0;      ///< by the caller's function
  std::uint64_t images_installed = 0;     ///< pages replaced by an image
  std::uint64_t allocations_redone = 0;   ///< allocate and free records
  std::uint64_t pages_scanned = 0;        ///< pages read; one with records in two gatherings counts twice
  std::uint64_t pages_redone = 0;         ///< pages written; the same
  std::uint64_t restored_from_image = 0;  ///< pages that did not verify, or had lost a write, and have an image's bytes
  std::uint64_t lost_writes = 0;          ///< pages that were found below their previous LSN, healed or not
  std::vector<DamagedPage> unrecoverable{};  ///< in order of page ids

  /// Whether every page is what its log says. If not, those in `unrecoverable` must not be used.
  [[nodiscard]] bool complete() const noexcept { return unrecoverable.empty(); }
};

/// How far a recovery is.
struct RecoveryProgress {
  std::uint64_t records = 0;     ///< read from the log so far
  std::uint64_t page_reads = 0;  ///< and pages so far
};

/// How to recover.
struct RecoveryOptions {
  /// Bytes of records to gather. The more, the fewer times a page with many records is read and written. At least
  /// kRedoMemoryMin is used. A single record that does not fit ends the recovery with out_of_memory.
  std::size_t redo_memory = std::size_t{64} << 20;
  unsigned tasks = 4;                    ///< that redo pages side by side, the caller's included; at least 1
  Lsn redo_from{};                       ///< records below are skipped
  RedoAllocation* allocation = nullptr;  ///< what allocate and free records are redone on; null: they are skipped
  /// Told now and then how far it is, on the task that called. Empty: nobody is.
  std::function<void(const RecoveryProgress&)> progress{};
};

inline constexpr std::size_t kRedoMemoryMin = std::size_t{1} << 16;  ///< the least that redo_memory is, in bytes

/// Redoes `source` on `store`, and makes the result durable: see the head of this file. Ok: all of the log was read,
/// and each page is either up to it or in the report. An error: nothing is known to be durable, and it may be called
/// again, with the log from its beginning, once what it complains of is mended (after `poisoned`: on a store opened
/// anew). Errors: those of the source; of reading and writing pages, unless they are about one page's bytes; of redoing
/// allocations; of the sync; out_of_memory, also for a record or a report that is larger than redo_memory.
[[nodiscard]] Result<RecoveryReport> recover(Scheduler& scheduler, PageStore& store, RedoSource& source,
                                             RedoApply apply, const RecoveryOptions& options = {}) noexcept;

}  // namespace pagedb
