// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the oracle makes of superblocks: whether a file must open, and where redo begins.
#include <fmt/format.h>

#include <algorithm>

#include "scenarios/oracle.h"
#include "scenarios/reference_page.h"

namespace pagedb::scenarios {

using faults::PageState;
using sim::kSectorBytes;

namespace {

/// Whether a file reads as zeros from end to end: what an interrupted create looks like.
bool is_blank(const sim::Media& media, std::uint64_t length) {
  std::byte block[sim::kBlockBytes];
  std::uint64_t bad_sector = 0;
  for (std::uint64_t at = 0; at < length; at += sizeof block) {
    const std::span<std::byte> piece(block,
                                     static_cast<std::size_t>(std::min<std::uint64_t>(sizeof block, length - at)));
    if (!media.read(at, piece, bad_sector) || !all_zero(piece)) return false;
  }
  return true;
}

/// Whether the part of a file that is looked at to tell what it is can be read.
bool is_readable(const sim::Media& media, std::uint64_t length) {
  std::byte block[sim::kBlockBytes];
  std::uint64_t bad_sector = 0;
  for (std::uint64_t at = 0; at < std::min<std::uint64_t>(length, 2u << 20); at += sizeof block) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof block, length - at));
    if (!media.read(at, {block, size}, bad_sector)) return false;
  }
  return true;
}

}  // namespace

PageState Oracle::superblock_state(const sim::Media& media, std::uint64_t length, std::uint64_t offset) const {
  if (offset + page_size_.bytes() > length) return PageState::absent;
  const sim::WriteRecord* first = media.record(offset / kSectorBytes);
  // Told by identity, where a write that was recognised as a superblock stands there whole.
  const bool recognised = first != nullptr && (first->tag & kSuperblockTag) != 0 && !first->misdirected();
  if (recognised && look_at(media, offset) == Sectors{.first = first, .same = true, .damaged = false})
    return PageState::intact;
  std::uint64_t bad_sector = 0;
  if (!media.read(offset, scratch_, bad_sector)) return PageState::unreadable;
  if (all_zero(scratch_)) return PageState::absent;
  if (decode_superblock_page(scratch_, offset)) return PageState::intact;
  return first != nullptr && first->misdirected() ? PageState::foreign : PageState::damaged;
}

Verdict Oracle::judge_open(const PageError* error, bool interrupted_create, const sim::Media* media,
                           std::uint64_t length, bool finished, bool may_lose_both) const {
  const auto broken_open = [](Invariant invariant, std::string what) {
    return Verdict{Verdict::Kind::broken, invariant, "open: " + std::move(what)};
  };
  if (media == nullptr) {
    if (created_)
      return broken_open(Invariant::durability, "create had returned Ok, but the crash lost the file's name");
    if (error == nullptr || error->code != ErrorCode::not_found)
      return broken_open(Invariant::typed_errors, "the file is missing, and open does not say not_found");
    return {};
  }
  const PageState slot[] = {superblock_state(*media, length, kSuperblockOffsets[0]),
                            superblock_state(*media, length, kSuperblockOffsets[1])};
  const bool sound = slot[0] == PageState::intact || slot[1] == PageState::intact;
  // Where no slot tells, the engine looks at the first 2 MiB; what it cannot read there might have told.
  const bool unreadable =
      slot[0] == PageState::unreadable || slot[1] == PageState::unreadable ||
      (error != nullptr && error->code == ErrorCode::io_error && !sound && !is_readable(*media, length));
  const bool untouched = slot[0] == PageState::absent && slot[1] == PageState::absent && is_blank(*media, length);
  const std::string slots = fmt::format("superblocks {} and {}", faults::name(slot[0]), faults::name(slot[1]));
  if (error == nullptr) {
    if (interrupted_create ? !created_ && (untouched || (finished && sound)) : sound) return {};
    return broken_open(Invariant::integrity, "Ok, with " + slots);
  }
  if (created_ && !sound && !may_lose_both) {
    return broken_open(Invariant::durability, fmt::format("{}, with {}, and nothing that a commit does damages both",
                                                          name(error->code), slots));
  }
  if (unreadable) {
    if (error->code == ErrorCode::io_error) return {Verdict::Kind::detected, {}, {}};
    return broken_open(Invariant::typed_errors, fmt::format("{}, with {}", name(error->code), slots));
  }
  if (sound || untouched)
    return broken_open(Invariant::durability, fmt::format("{}, with {}", name(error->code), slots));
  switch (error->code) {
    case ErrorCode::superblock_damaged:
    case ErrorCode::not_a_page_file:
    case ErrorCode::headerless_file:
      return {Verdict::Kind::detected, {}, {}};
    default:
      return broken_open(Invariant::typed_errors, fmt::format("{}, with {}", name(error->code), slots));
  }
}

Verdict Oracle::judge_redo_from(const sim::Media& media, std::uint64_t length, std::uint64_t& redo_from) const {
  redo_from = 0;
  std::uint64_t generation = 0, bad_sector = 0;
  for (const std::uint64_t offset : kSuperblockOffsets) {
    if (offset + page_size_.bytes() > length || !media.read(offset, scratch_, bad_sector)) continue;
    const auto superblock = decode_superblock_page(scratch_, offset);
    if (!superblock || superblock->generation < generation) continue;
    generation = superblock->generation;
    redo_from = superblock->redo_from;
  }
  if (redo_from >= redo_stored_ && redo_from <= redo_asked_) return {};
  return {Verdict::Kind::broken, redo_from < redo_stored_ ? Invariant::durability : Invariant::integrity,
          fmt::format("redo begins at lsn {} says the superblock; {} was stored, {} asked for", redo_from, redo_stored_,
                      redo_asked_)};
}

}  // namespace pagedb::scenarios
