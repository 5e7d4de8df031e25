// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "scenarios/reference_page.h"

namespace pagedb::scenarios {

using faults::Obligation;
using faults::PageState;
using faults::Protection;
using sim::kSectorBytes;
using sim::kSectorsPerBlock;

namespace {

constexpr std::size_t kHeader = 32;

/// Terms of the obligations' hash; the numbers keep them apart from page indices.
constexpr std::uint64_t kCreatedTerm = ~std::uint64_t{0}, kImagesTerm = ~std::uint64_t{1},
                        kRedoTerm = ~std::uint64_t{2};

/// The contents of a version: every word differs, and differs from the same word of every other version.
void fill_payload(std::span<std::byte> payload, std::uint64_t seed, std::uint64_t lsn) {
  const sim::StateHash start = sim::hash_term(seed, lsn, payload.size());
  std::uint64_t word = start.low;
  for (std::size_t at = 0; at + 8 <= payload.size(); at += 8) {
    std::memcpy(payload.data() + at, &word, 8);
    word += start.high | 1;
  }
}

bool is_superblock_offset(std::uint64_t offset) {
  return offset == kSuperblockOffsets[0] || offset == kSuperblockOffsets[1];
}

}  // namespace

Oracle::Oracle(PageSize page_size, std::vector<PageId> pages, std::uint64_t seed, sim::Arena& arena)
    : page_size_(page_size),
      geometry_(page_size.bytes()),
      pages_(std::move(pages)),
      seed_(seed),
      arena_(arena),
      model_(pages_.size()),
      scratch_(page_size.bytes()) {
  versions_.reserve(512);
  // `index_at` halves its way through them.
  std::sort(pages_.begin(), pages_.end());
}

std::optional<std::size_t> Oracle::index_at(std::uint64_t offset) const noexcept {
  const PageId id{offset >> page_size_.shift()};
  const auto found = std::lower_bound(pages_.begin(), pages_.end(), id);
  if (found == pages_.end() || *found != id) return std::nullopt;
  return static_cast<std::size_t>(found - pages_.begin());
}

std::size_t Oracle::payload_bytes() const noexcept { return page_size_.bytes() - kHeader; }

std::uint64_t Oracle::intend(std::size_t page) {
  const std::uint64_t lsn = next_lsn();
  std::byte* payload = arena_.allocate(payload_bytes());
  fill_payload({payload, payload_bytes()}, seed_, lsn);
  versions_.push_back({.page = page, .payload = payload});
  model_[page].versions.push_back(lsn);
  return lsn;
}

std::uint64_t Oracle::intend(std::size_t page, std::span<std::byte> out) {
  const std::uint64_t lsn = intend(page);
  fill(lsn, out);
  return lsn;
}

std::uint64_t Oracle::intend_change(std::size_t page, std::uint64_t base, std::size_t offset, std::size_t size) {
  const std::uint64_t lsn = next_lsn();
  std::byte* payload = arena_.allocate(payload_bytes());
  std::memcpy(payload, versions_[base - 1].payload, payload_bytes());
  fill_payload({payload + offset, size}, seed_, lsn);
  versions_.push_back({.page = page, .payload = payload});
  model_[page].versions.push_back(lsn);
  return lsn;
}

void Oracle::fill(std::uint64_t lsn, std::span<std::byte> out) const {
  std::memset(out.data(), 0, kHeader);
  std::memcpy(out.data() + 16, &lsn, sizeof lsn);  // where the header keeps it
  std::memcpy(out.data() + kHeader, versions_[lsn - 1].payload, out.size() - kHeader);
}

void Oracle::returned(std::uint64_t lsn, bool ok) {
  if (!ok) return;
  Version& version = versions_[lsn - 1];
  version.acked = ++acks_;
  model_[version.page].acked = std::max(model_[version.page].acked, lsn);
}

void Oracle::raise_floor(std::size_t page, std::uint64_t lsn) {
  PageModel& model = model_[page];
  if (lsn <= model.floor) return;
  if (model.floor != 0) obligations_ ^= sim::hash_term(page, model.floor, 1);
  model.floor = lsn;
  obligations_ ^= sim::hash_term(page, model.floor, 1);
}

void Oracle::sync_succeeded(const SyncTicket& ticket) {
  for (std::size_t page = 0; page < model_.size(); ++page) {
    const auto& lsns = model_[page].versions;
    for (std::size_t i = lsns.size(); i-- > 0 && lsns[i] > std::max(model_[page].floor, model_[page].given_up);) {
      const Version& version = versions_[lsns[i] - 1];
      if (version.acked == 0 || version.acked > ticket.acks) continue;
      // A flush that failed while this sync was under way is no excuse: an Ok is a promise.
      if (version.doubtful != 0 && version.doubtful <= ticket.losses) continue;
      raise_floor(page, lsns[i]);
      break;
    }
  }
}

void Oracle::given_up(std::size_t page) {
  PageModel& model = model_[page];
  if (model.floor != 0) obligations_ ^= sim::hash_term(page, model.floor, 1);
  model.floor = model.acked = 0;
  if (!model.versions.empty()) model.given_up = model.versions.back();
}

void Oracle::flush_failed() {
  ++losses_;
  for (const PageModel& model : model_) {
    for (std::size_t i = model.versions.size(); i-- > 0 && model.versions[i] > model.floor;) {
      Version& version = versions_[model.versions[i] - 1];
      if (version.acked != 0 && version.doubtful == 0) version.doubtful = losses_;
    }
  }
}

void Oracle::created() noexcept {
  if (!created_) obligations_ ^= sim::hash_term(kCreatedTerm, 1, 1);
  created_ = true;
}

void Oracle::checkpointed(std::uint64_t lsn) {
  returned(lsn, true);
  raise_floor(versions_[lsn - 1].page, lsn);
}

void Oracle::redo_from_stored(std::uint64_t begin) noexcept {
  obligations_ ^= sim::hash_term(kRedoTerm, redo_stored_, 1);
  redo_stored_ = std::max(redo_stored_, begin);
  obligations_ ^= sim::hash_term(kRedoTerm, redo_stored_, 1);
}

void Oracle::log_durable(std::uint64_t lsn) {
  while (log_durable_ < lsn) {
    ++log_durable_;
    raise_floor(versions_[log_durable_ - 1].page, log_durable_);
  }
}

void Oracle::images_from(std::uint64_t lsn) noexcept {
  obligations_ ^= sim::hash_term(kImagesTerm, images_from_, 1);
  images_from_ = std::max(images_from_, lsn);
  obligations_ ^= sim::hash_term(kImagesTerm, images_from_, 1);
}

Verdict Oracle::broken(Invariant invariant, std::size_t page, const std::string& what) const {
  return {Verdict::Kind::broken, invariant, fmt::format("page {}: {}", pages_[page].value, what)};
}

std::uint64_t Oracle::node_generation(std::span<const std::byte> bytes, std::uint64_t page) const noexcept {
  struct Facts {
    char magic[8];
    std::uint32_t level, zero;
    std::uint64_t index, generation;
  } facts;
  std::memcpy(&facts, bytes.data() + kHeader, sizeof facts);
  const auto home = geometry_.home_at(page);
  if (std::memcmp(facts.magic, "ALLOCMAP", sizeof facts.magic) != 0 || !home || home->level != facts.level ||
      home->index != facts.index || home->k != (facts.generation & 1)) {
    return 0;
  }
  return facts.generation;
}

Verdict Oracle::submitted(sim::WriteRecord& record, bool recovering) {
  const std::span<const std::byte> bytes(record.bytes, record.size);
  const auto intended = index_at(record.intended);
  if (record.misdirected() && !recovering) {
    if (const auto hit = index_at(record.offset)) model_[*hit].hit = true;
    if (intended && !model_[*intended].versions.empty())
      versions_[model_[*intended].versions.back() - 1].misdirected = true;
  }
  // A piece of a page, after or before a short transfer, cannot be decoded by itself; `state` reads such pages as a
  // whole.
  if (record.size != page_size_.bytes() || record.intended % page_size_.bytes() != 0) return {};
  const auto page = decode_page(bytes);
  if (!page) {
    return {Verdict::Kind::broken, Invariant::integrity,
            fmt::format("the engine wrote a page at byte {} that does not verify", record.intended)};
  }
  if (is_superblock_offset(record.intended)) {
    if (const auto superblock = decode_superblock_page(bytes, record.intended)) {
      record.tag = kSuperblockTag | superblock->generation;
      return {};
    }
  }
  const std::uint64_t place = record.intended / page_size_.bytes();
  if (page->page_id == place && page->lsn == 0 && (page->flags & 1) != 0) {
    if (const std::uint64_t generation = node_generation(bytes, place)) {
      record.tag = kNodeTag | generation;
      return {};
    }
  }
  if (!intended || page->page_id != pages_[*intended].value || !matches(*intended, page->lsn, bytes)) {
    return {Verdict::Kind::broken, Invariant::integrity,
            fmt::format("the engine wrote page {} lsn {} at byte {}, which nobody asked for", page->page_id, page->lsn,
                        record.intended)};
  }
  record.tag = page->lsn;
  Version& version = versions_[page->lsn - 1];
  if (version.first_record == 0 && !recovering) version.first_record = record.id;
  if (write_ahead_ && !recovering && page->lsn > log_durable_) {
    return broken(
        Invariant::write_ahead, *intended,
        fmt::format("lsn {} was sent to the disk, but the log is durable only up to lsn {}", page->lsn, log_durable_));
  }
  return {};
}

bool Oracle::matches(std::size_t page, std::uint64_t lsn, std::span<const std::byte> bytes) const noexcept {
  const Version* found = version(lsn);
  return found != nullptr && found->page == page &&
         std::memcmp(bytes.data() + kHeader, found->payload, bytes.size() - kHeader) == 0;
}

std::uint64_t Oracle::effective_floor(std::size_t page, std::uint64_t floor) const noexcept {
  // Below a write that went elsewhere, versions that were never sent to the disk cannot be there either.
  const auto& lsns = model_[page].versions;
  bool below_misdirected = false;
  for (std::size_t i = lsns.size(); i-- > 0;) {
    const Version& version = versions_[lsns[i] - 1];
    if (lsns[i] > floor || (below_misdirected && version.first_record == 0)) continue;
    if (!version.misdirected) return lsns[i];
    below_misdirected = true;
  }
  return 0;
}

Oracle::Sectors Oracle::look_at(const sim::Media& media, std::uint64_t offset) const noexcept {
  Sectors sectors{.first = media.record(offset / kSectorBytes), .same = true, .damaged = false};
  for (std::uint64_t at = offset; at < offset + page_size_.bytes(); at += sim::kBlockBytes) {
    const sim::Block& block = media.block(at / sim::kBlockBytes);
    sectors.damaged |= block.damaged != 0;
    for (const sim::WriteRecord* record : block.sector) sectors.same &= record == sectors.first;
  }
  return sectors;
}

PageState Oracle::state(const sim::Media& media, std::uint64_t length, std::size_t page, std::uint64_t floor) const {
  std::uint64_t lsn;
  return look(media, length, page, floor, lsn);
}

PageState Oracle::look(const sim::Media& media, std::uint64_t length, std::size_t page, std::uint64_t floor,
                       std::uint64_t& lsn) const {
  lsn = 0;
  const std::uint64_t offset = pages_[page].value << page_size_.shift();
  const std::uint64_t size = page_size_.bytes();
  if (offset + size > length) {
    // An extension that stopped half-way. What is left of the page shows once something longer follows.
    PageState left = PageState::absent;
    for (std::uint64_t at = offset; at < length; at += kSectorBytes) {
      const sim::DamageKind damage = media.damage(at / kSectorBytes).kind;
      if (damage == sim::DamageKind::unreadable) return PageState::unreadable;
      if (damage != sim::DamageKind::none) left = PageState::damaged;
      if (left == PageState::absent && media.record(at / kSectorBytes) != nullptr) left = PageState::torn;
    }
    return left;
  }
  const auto by_age = [floor, &lsn](std::uint64_t found) {
    lsn = found;
    return found >= floor ? PageState::intact : PageState::stale;
  };

  const Sectors sectors = look_at(media, offset);
  if (sectors.same && !sectors.damaged) {
    const sim::WriteRecord* whole = sectors.first;
    if (whole == nullptr) return PageState::absent;
    if (whole->misdirected()) return PageState::foreign;
    if (const Version* found = version(whole->tag); found != nullptr && found->page == page) return by_age(whole->tag);
  }
  std::uint64_t bad_sector = 0;
  if (!media.read(offset, scratch_, bad_sector)) return PageState::unreadable;
  if (all_zero(scratch_)) return PageState::absent;
  if (const auto decoded = decode_page(scratch_)) {
    if (decoded->page_id != pages_[page].value) return PageState::foreign;
    if (matches(page, decoded->lsn, scratch_)) return by_age(decoded->lsn);
  }
  return sectors.damaged ? PageState::damaged : PageState::torn;
}

bool Oracle::promise_kept(const sim::Media& media, std::uint64_t length, std::size_t page, std::uint64_t floor) const {
  const std::uint64_t lsn = effective_floor(page, floor);
  if (lsn == 0) return true;
  const std::uint64_t oldest = versions_[lsn - 1].first_record;
  const std::uint64_t offset = pages_[page].value << page_size_.shift();
  if (offset + page_size_.bytes() > length) return false;
  for (std::uint64_t at = offset; at < offset + page_size_.bytes(); at += kSectorBytes) {
    const sim::WriteRecord* record = media.record(at / kSectorBytes);
    if (record != nullptr && (record->id >= oldest || record->misdirected())) continue;
    if (media.damage(at / kSectorBytes).kind == sim::DamageKind::none) return false;
  }
  return true;
}

Protection Oracle::protection(std::size_t page, std::uint64_t floor, std::uint64_t images_from) const {
  if (log_ == Log::none || floor == 0 || floor < images_from) return Protection::none;
  if (log_ == Log::of_images) return Protection::full_images;
  const auto& images = model_[page].images;
  const bool image = std::ranges::any_of(images, [&](std::uint64_t lsn) { return lsn >= images_from && lsn <= floor; });
  return image ? Protection::full_images : Protection::changes;
}

std::uint64_t Oracle::base(std::size_t page, std::uint64_t images_from) const noexcept {
  const auto& lsns = model_[page].versions;
  const auto first = std::ranges::lower_bound(lsns, images_from);
  return first == lsns.begin() ? 0 : *std::prev(first);
}

Verdict Oracle::judge(std::size_t page, const PageError* error, std::span<const std::byte> bytes,
                      const sim::Media& media, std::uint64_t length, std::uint64_t floor, bool recovered,
                      std::uint64_t images_from, bool reported) const {
  using Kind = Verdict::Kind;
  const Protection protection = recovered ? this->protection(page, floor, images_from) : Protection::none;
  PageState found = state(media, length, page, floor);
  if (protection == Protection::changes) {
    const std::uint64_t oldest = base(page, images_from);
    found = state(media, length, page, oldest);
    if (found == PageState::absent && oldest == 0) found = PageState::intact;  // what the first change was made of
  }
  if (error == nullptr) {
    std::uint64_t said_id, said_lsn;
    std::memcpy(&said_id, bytes.data() + 8, sizeof said_id);
    std::memcpy(&said_lsn, bytes.data() + 16, sizeof said_lsn);
    if (said_id != pages_[page].value || !matches(page, said_lsn, bytes)) {
      return broken(Invariant::integrity, page,
                    fmt::format("an Ok read returned bytes that were never written there (they say page {} lsn {}; the "
                                "medium holds a page that is {})",
                                said_id, said_lsn, faults::name(state(media, length, page, floor))));
    }
    std::uint64_t whole = 0;  // the version that the crash left there
    if (recovered) {
      static_cast<void>(look(media, length, page, 0, whole));
      if (said_lsn < whole) {
        return broken(Invariant::lsn_monotonic, page,
                      fmt::format("read lsn {}, but the medium held lsn {} whole", said_lsn, whole));
      }
    }
    if (said_lsn >= floor && reported)
      return broken(Invariant::typed_errors, page, fmt::format("lsn {} is legal, and reported as lost", said_lsn));
    if (said_lsn >= floor) return {!recovered || whole != 0 ? Kind::legal : Kind::repaired, {}, {}};
    if (reported && faults::obligation(found, protection) != Obligation::must_recover) return {Kind::detected, {}, {}};
    const bool misdirected = said_lsn >= effective_floor(page, floor);
    if (misdirected && faults::obligation(PageState::stale, protection) == Obligation::excused)
      return {Kind::excused, {}, {}};
    return broken(Invariant::durability, page,
                  fmt::format("read lsn {}, but lsn {} was {}", said_lsn, floor,
                              recovered ? "made durable by a sync" : "acknowledged"));
  }

  const auto any_of = [&](std::initializer_list<ErrorCode> codes) {
    return std::find(codes.begin(), codes.end(), error->code) != codes.end();
  };
  // A write that failed, or is under way, may be on the medium; the running store need not know of it.
  if (!recovered && floor == 0 && any_of({ErrorCode::never_written, ErrorCode::beyond_end})) return {};
  // A read that raced a misdirected write may have seen what was before it, or a mixture, and that is gone by now.
  if (!recovered && model_[page].hit &&
      any_of({ErrorCode::bad_magic, ErrorCode::bad_version, ErrorCode::bad_checksum, ErrorCode::wrong_page_id,
              ErrorCode::never_written, ErrorCode::beyond_end})) {
    return {Kind::detected, {}, {}};
  }
  if (floor == 0 && found == PageState::absent) {
    if (error->code == ErrorCode::never_written || error->code == ErrorCode::beyond_end) return {};
    return broken(Invariant::typed_errors, page, fmt::format("never written, but reading says {}", name(error->code)));
  }
  if (faults::obligation(found, protection) == Obligation::must_recover) {
    return broken(
        Invariant::durability, page,
        fmt::format("must be recovered (the medium holds it {}{}), but reading says {}", faults::name(found),
                    protection == Protection::full_images ? ", the log holds its image" : "", name(error->code)));
  }
  if (protection != Protection::changes && !promise_kept(media, length, page, floor)) {
    return broken(
        Invariant::durability, page,
        fmt::format("lsn {} was {}, but the medium holds a page that is {}: {}", floor,
                    recovered ? "made durable by a sync" : "acknowledged", faults::name(found), name(error->code)));
  }
  const bool past_end = ((pages_[page].value + 1) << page_size_.shift()) > length;
  bool fits = past_end && error->code == ErrorCode::beyond_end;
  switch (found) {
    case PageState::unreadable:
      fits |= error->code == ErrorCode::io_error;
      break;
    case PageState::foreign:
      fits = error->code == ErrorCode::wrong_page_id;
      break;
    case PageState::absent:
      fits = any_of({ErrorCode::never_written, ErrorCode::beyond_end});
      break;
    case PageState::torn:
    case PageState::damaged:
      fits |= any_of({ErrorCode::bad_magic, ErrorCode::bad_version, ErrorCode::bad_checksum});
      break;
    default:
      break;
  }
  if (!fits) {
    return broken(
        Invariant::typed_errors, page,
        fmt::format("the medium holds a page that is {}, but reading says {}", faults::name(found), name(error->code)));
  }
  return {Kind::detected, {}, {}};
}

Verdict Oracle::judge_recovered(std::size_t page, const PageError* error, std::span<const std::byte> bytes,
                                const sim::Media& media, std::uint64_t length, std::optional<std::uint64_t> images_from,
                                bool promised, bool reported) const {
  return judge(page, error, bytes, media, length, promised ? model_[page].floor : 0, true,
               images_from.value_or(images_from_), reported);
}

Verdict Oracle::judge_live(std::size_t page, const PageError* error, std::span<const std::byte> bytes,
                           const sim::Media& media, std::uint64_t length, bool promised) const {
  return judge(page, error, bytes, media, length, promised ? model_[page].acked : 0, false, images_from_);
}

Verdict Oracle::judge_flushed(std::size_t page, std::uint64_t lsn, const sim::Media& media,
                              std::uint64_t length) const {
  std::uint64_t found = 0;
  const PageState there = look(media, length, page, lsn, found);
  if (there != PageState::stale && there != PageState::absent) return {};  // torn: a newer one is under way
  return broken(Invariant::durability, page,
                fmt::format("a flush of lsn {} returned Ok, but what was written is lsn {}", lsn, found));
}

bool Oracle::is_version(std::size_t page, std::uint64_t lsn, std::span<const std::byte> bytes) const noexcept {
  std::uint64_t said;
  std::memcpy(&said, bytes.data() + 16, sizeof said);
  return said == lsn && matches(page, lsn, bytes);
}

bool Oracle::is_current(std::size_t page, std::span<const std::byte> bytes) const {
  const auto found = decode_page(bytes);
  return found && found->page_id == pages_[page].value && matches(page, found->lsn, bytes) &&
         found->lsn >= model_[page].acked;
}

}  // namespace pagedb::scenarios
