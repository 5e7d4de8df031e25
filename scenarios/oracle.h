// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Oracle: what was asked of the page file, what was acknowledged, and therefore what may be found.
//
// It shares no code with the engine: it reads the medium's sector versions itself, decodes pages with its own reader,
// and knows from the workload's own records what was written. Intent is recorded before a call and its result after, so
// that either outcome of an unfinished call stays legal.
//
// Legal after a crash: for each page, any version from its *floor* (the newest one that a successful sync covered)
// onwards. Legal in a running process: any version from the newest acknowledged one onwards. Each distinct page is
// decoded once, when it is written; after that, versions are told by identity.
//
// LSNs are handed out by the oracle, one a version, so an LSN names a version.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/page_file.h"
#include "engine/types.h"
#include "faults/obligations.h"
#include "scenarios/reference_allocation.h"
#include "scenarios/result.h"
#include "sim/file_state.h"
#include "sim/media.h"

namespace pagedb::scenarios {

/// Tags that the oracle gives to writes: an LSN, or this bit and a superblock's generation.
inline constexpr std::uint64_t kSuperblockTag = std::uint64_t{1} << 63;
/// And to nodes of the allocation map: this bit and the node's generation.
inline constexpr std::uint64_t kNodeTag = std::uint64_t{1} << 62;

/// What judging a page gave.
struct Verdict {
  enum class Kind : std::uint8_t { legal, repaired, detected, excused, broken } kind = Kind::legal;
  Invariant invariant{};  ///< broken: which promise
  std::string message;    ///< broken: one line
};

/// Names the moment at which a sync was asked for.
struct SyncTicket {
  std::uint64_t acks = 0;
  std::uint64_t losses = 0;
};

class Oracle {
 public:
  /// A model of a file of pages of `page_size`, of which the workload uses `pages`.
  Oracle(PageSize page_size, std::vector<PageId> pages, std::uint64_t seed, sim::Arena& arena);

  [[nodiscard]] PageSize page_size() const noexcept { return page_size_; }
  [[nodiscard]] const std::vector<PageId>& pages() const noexcept { return pages_; }

  // What the workload does. `page` is an index into pages().

  /// A new version of a page is about to be written: fills `out` (a whole page) with its contents and LSN. Returns the
  /// LSN.
  std::uint64_t intend(std::size_t page, std::span<std::byte> out);
  /// The same, for whoever puts the contents in place bit by bit: see `contents`.
  std::uint64_t intend(std::size_t page);
  /// A new version of a page that differs from its version `base` in `size` bytes of the payload from `offset` on.
  std::uint64_t intend_change(std::size_t page, std::uint64_t base, std::size_t offset, std::size_t size);
  /// What stands behind the header in version `lsn`.
  [[nodiscard]] std::span<const std::byte> contents(std::uint64_t lsn) const noexcept {
    return {versions_[lsn - 1].payload, payload_bytes()};
  }
  /// The LSN that the next version gets.
  [[nodiscard]] std::uint64_t next_lsn() const noexcept { return versions_.size() + 1; }
  /// The write of version `lsn` has returned.
  void returned(std::uint64_t lsn, bool ok);
  /// A sync is about to be asked for.
  [[nodiscard]] SyncTicket sync_begins() const noexcept { return {acks_, losses_}; }
  /// It has returned Ok: everything acknowledged when it was asked for is durable, but for what an earlier failed flush
  /// may have dropped.
  void sync_succeeded(const SyncTicket& ticket);
  /// The owner of page index `page` gives it up, or somebody else gets it: what stands there is promised no more.
  void given_up(std::size_t page);
  /// The device failed a flush, whoever asked for it: everything acknowledged so far, but not yet covered, is doubtful
  /// for ever.
  void flush_failed();
  /// `create` has returned Ok: the file must be there and open from now on.
  void created() noexcept;
  /// Version `lsn` is durable, and acknowledged as such: a checkpoint covered it.
  void checkpointed(std::uint64_t lsn);
  /// `redo_from = begin` is about to be asked for.
  void redo_from_asked(std::uint64_t begin) noexcept { redo_asked_ = std::max(redo_asked_, begin); }
  /// It has returned Ok: no later opener finds less.
  void redo_from_stored(std::uint64_t begin) noexcept;
  [[nodiscard]] bool is_created() const noexcept { return created_; }
  /// Puts the contents of version `lsn` into `out`, as `intend` did; for a log that replays it.
  void fill(std::uint64_t lsn, std::span<std::byte> out) const;
  /// Versions from `lsn` on have durable images in a log that recovery reads; see Protection::full_images. `lsn` never
  /// decreases.
  void images_from(std::uint64_t lsn) noexcept;
  /// What a log has of a version that it knows of.
  enum class Log : std::uint8_t {
    none,
    of_images,   ///< its image, or one of a version before it that is not below `images_from`, and the changes since
    of_changes,  ///< the change; images only where `image_logged` says so
  };
  /// There is a log; `images_from` applies.
  void has_log(Log log = Log::of_images) noexcept { log_ = log; }
  /// The record of version `lsn` is an image.
  void image_logged(std::uint64_t lsn) { model_[versions_[lsn - 1].page].images.push_back(lsn); }
  /// The write-ahead rule holds: no page is written before its LSN is durable in the log.
  void judge_write_ahead() noexcept { write_ahead_ = true; }
  /// The log is durable up to version `lsn`: that is every page's floor.
  void log_durable(std::uint64_t lsn);

  // What the disk tells.

  /// A write of the page file was submitted: sets its tag, and takes note when the device misdirects it. An ill-formed
  /// page, or one sent to the wrong place, is a broken promise of the engine.
  /// `recovering`: a recovery writes, and what it does must leave no mark on the model of the run that it branched
  /// from.
  [[nodiscard]] Verdict submitted(sim::WriteRecord& record, bool recovering);
  // Judging.

  /// What stands in the place of page index `page` on `media`, given the newest version that must not be lost (its LSN;
  /// 0: none).
  [[nodiscard]] faults::PageState state(const sim::Media& media, std::uint64_t length, std::size_t page,
                                        std::uint64_t floor) const;
  /// Judges what reading page index `page` gave in a recovered file, of which `media` is what the crash left. `error`
  /// is null for an Ok read.
  /// `images_from`: where the log that was recovered from begins, if that is not what `images_from` said.
  /// `promised`: false when nobody owns the page, so that anything that was ever written there will do.
  /// `reported`: the recovery said that the page has lost a write, and must not be used.
  [[nodiscard]] Verdict judge_recovered(std::size_t page, const PageError* error, std::span<const std::byte> bytes,
                                        const sim::Media& media, std::uint64_t length,
                                        std::optional<std::uint64_t> images_from = {}, bool promised = true,
                                        bool reported = false) const;
  /// Judges what reading page index `page` gave in the running process, of whose view `media` is.
  [[nodiscard]] Verdict judge_live(std::size_t page, const PageError* error, std::span<const std::byte> bytes,
                                   const sim::Media& media, std::uint64_t length, bool promised = true) const;
  /// Judges a flush that had to write version `lsn` of page index `page` and returned Ok.
  [[nodiscard]] Verdict judge_flushed(std::size_t page, std::uint64_t lsn, const sim::Media& media,
                                      std::uint64_t length) const;
  /// Judges how opening the file ended. `media` is what stands in it; null: there is no such file. `finished`: open was
  /// asked to finish an interrupted create, and `media` shows the file afterwards. `may_lose_both`: something besides a
  /// commit may damage superblocks (faults of the medium; users' pages beside them where pages straddle sectors).
  [[nodiscard]] Verdict judge_open(const PageError* error, bool interrupted_create, const sim::Media* media,
                                   std::uint64_t length, bool finished, bool may_lose_both = true) const;
  /// Judges what the superblocks say of where redo begins, and gives it in `redo_from`. `media` is what the crash left.
  [[nodiscard]] Verdict judge_redo_from(const sim::Media& media, std::uint64_t length, std::uint64_t& redo_from) const;
  /// Whether `bytes`, a whole page, say that they are version `lsn` of page index `page`, and are.
  [[nodiscard]] bool is_version(std::size_t page, std::uint64_t lsn, std::span<const std::byte> bytes) const noexcept;
  /// Whether `bytes` are a version of page index `page` that is no older than the newest acknowledged one: all that can
  /// be said where the medium cannot be looked at.
  [[nodiscard]] bool is_current(std::size_t page, std::span<const std::byte> bytes) const;

  /// Identity of all obligations: equal when the same versions must survive.
  [[nodiscard]] sim::StateHash obligations() const noexcept { return obligations_; }
  /// Newest version of page index `page` that a sync covered; 0: none.
  [[nodiscard]] std::uint64_t floor(std::size_t page) const noexcept { return model_[page].floor; }
  /// Newest acknowledged version of page index `page`; 0: none.
  [[nodiscard]] std::uint64_t acknowledged(std::size_t page) const noexcept { return model_[page].acked; }
  /// Index of the page at byte `offset`, if the workload uses it.
  [[nodiscard]] std::optional<std::size_t> index_at(std::uint64_t offset) const noexcept;

 private:
  struct Version {
    std::size_t page = 0;
    const std::byte* payload = nullptr;
    std::uint64_t acked = 0;         // on the clock of acknowledgements; 0: not, or failed
    std::uint64_t first_record = 0;  // id of the first write that carried it
    std::uint64_t doubtful = 0;      // the failed flush (counted from 1) that may have dropped it; 0: none
    bool misdirected = false;        // the device put it, or a part of it, somewhere else
  };
  struct PageModel {
    std::vector<std::uint64_t> versions;  // LSNs, oldest first
    std::uint64_t floor = 0;
    std::uint64_t acked = 0;              // newest acknowledged
    std::uint64_t given_up = 0;           // versions up to it were an earlier owner's
    bool hit = false;                     // a misdirected write landed here
    std::vector<std::uint64_t> images{};  // versions that were logged whole
  };

  /// What a page's sectors hold, by identity.
  struct Sectors {
    const sim::WriteRecord* first = nullptr;
    bool same = false;  ///< all hold the same write
    bool damaged = false;
    friend bool operator==(const Sectors&, const Sectors&) = default;
  };
  /// As `state`; `lsn` gets the version that stands there whole, 0 where none does.
  [[nodiscard]] faults::PageState look(const sim::Media& media, std::uint64_t length, std::size_t page,
                                       std::uint64_t floor, std::uint64_t& lsn) const;
  [[nodiscard]] std::size_t payload_bytes() const noexcept;
  /// The generation of an allocation map's node that stands where it belongs; 0: `bytes`, a sound page, are none.
  [[nodiscard]] std::uint64_t node_generation(std::span<const std::byte> bytes, std::uint64_t page) const noexcept;
  [[nodiscard]] Sectors look_at(const sim::Media& media, std::uint64_t offset) const noexcept;
  [[nodiscard]] const Version* version(std::uint64_t lsn) const noexcept {
    return lsn == 0 || lsn > versions_.size() ? nullptr : &versions_[lsn - 1];
  }
  [[nodiscard]] bool matches(std::size_t page, std::uint64_t lsn, std::span<const std::byte> bytes) const noexcept;
  [[nodiscard]] Verdict judge(std::size_t page, const PageError* error, std::span<const std::byte> bytes,
                              const sim::Media& media, std::uint64_t length, std::uint64_t floor, bool recovered,
                              std::uint64_t images_from, bool reported = false) const;
  /// What a log that begins at `images_from` has for a page of that floor.
  [[nodiscard]] faults::Protection protection(std::size_t page, std::uint64_t floor, std::uint64_t images_from) const;
  /// The oldest version of a page from which a log of changes that begins at `images_from` leads on.
  [[nodiscard]] std::uint64_t base(std::size_t page, std::uint64_t images_from) const noexcept;
  [[nodiscard]] std::uint64_t effective_floor(std::size_t page, std::uint64_t floor) const noexcept;
  [[nodiscard]] bool promise_kept(const sim::Media& media, std::uint64_t length, std::size_t page,
                                  std::uint64_t floor) const;
  [[nodiscard]] faults::PageState superblock_state(const sim::Media& media, std::uint64_t length,
                                                   std::uint64_t offset) const;
  [[nodiscard]] Verdict broken(Invariant invariant, std::size_t page, const std::string& what) const;
  void raise_floor(std::size_t page, std::uint64_t lsn);

  PageSize page_size_;
  ReferenceGeometry geometry_;
  std::vector<PageId> pages_;
  std::uint64_t seed_;
  sim::Arena& arena_;
  std::vector<Version> versions_;  // index: LSN - 1
  std::vector<PageModel> model_;
  std::uint64_t acks_ = 0;
  std::uint64_t losses_ = 0;  // failed flushes so far
  std::uint64_t images_from_ = 1;
  std::uint64_t log_durable_ = 0;
  std::uint64_t redo_asked_ = 0;   // highest value that may be found
  std::uint64_t redo_stored_ = 0;  // lowest
  Log log_ = Log::none;
  bool write_ahead_ = false;
  bool created_ = false;
  mutable std::vector<std::byte> scratch_;
  sim::StateHash obligations_;
};

}  // namespace pagedb::scenarios
