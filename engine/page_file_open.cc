// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Creating and opening page files: everything that decides what a file is before a page of it is touched.
#include <cerrno>
#include <new>
#include <utility>

#include "engine/check.h"
#include "engine/internal/page_file_state.h"
#include "engine/internal/probe.h"
#include "engine/internal/retry.h"
#include "engine/internal/superblock_io.h"
#include "engine/io/transfer.h"

namespace pagedb {
namespace {

using Kind = SlotContent::Kind;

/// The error that an errno value from open, create or sync_directory means.
PageError open_failure(int sys_errno) noexcept {
  switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
      return {.code = ErrorCode::not_found};
    case EEXIST:
      return {.code = ErrorCode::already_exists};
    case EISDIR:
    case ENXIO:
      return {.code = ErrorCode::not_a_regular_file};
    case EAGAIN:
      return {.code = ErrorCode::locked};
    default:
      return io_failure(sys_errno);
  }
}

/// Calls `open`, which returns an IoResult with a file, again while signals interrupt it.
template <class Open>
Result<std::unique_ptr<IoFile>> open_file(Scheduler& scheduler, Open&& open) noexcept {
  std::unique_ptr<IoFile> file;
  const int error = retry_interrupted(scheduler, [&] {
    auto opened = open();
    if (!opened) return opened.error();
    file = std::move(*opened);
    return 0;
  });
  if (error != 0) return failure(open_failure(error));
  return file;
}

Result<std::uint64_t> length_of(IoFile& file) noexcept {
  const auto bytes = file.size();
  if (!bytes) return failure(io_failure(bytes.error()));
  return *bytes;
}

/// A page must be something that the device can transfer.
Result<void> check_alignment(const IoFile& file, PageSize size) noexcept {
  const std::uint32_t align = file.limits().offset_align;
  if (align <= size.bytes()) return {};
  return failure(PageError{.code = ErrorCode::misaligned, .expected = align, .actual = size.bytes()});
}

/// Gives an empty, blank or half-made file its length and superblocks, and makes them and its name durable.
///
/// Generation 0 goes first, and generation 1 only once both slots of generation 0 and the name are known to be durable.
/// So an opener who reads generation 1 has a file that no crash can take away, even if a failed sync left the slot that
/// it reads in some cache only; one who reads generation 0 does all this again, and keeps what pages there are.
Result<Superblock> lay_out(IoBackend& backend, IoFile& file, Scheduler& scheduler, const std::string& path,
                           PageSize size, const FileId& id) noexcept {
  if (const auto fits = check_alignment(file, size); !fits) return failure(fits.error());
  const auto length = length_of(file);
  if (!length) return failure(length.error());
  const std::uint64_t wanted = kTwinOffset + size.bytes();
  if (*length < wanted) {
    if (const int error = retry_interrupted(scheduler, [&] { return file.resize(wanted); }); error != 0)
      return failure(io_failure(error));
  }
  const auto barrier = [&] { return sync_file(file, scheduler); };
  auto writer = SlotWriter::make(file, scheduler, size);
  if (!writer) return failure(writer.error());
  SuperblockSlot start = SuperblockSlot::first;
  Superblock superblock{.page_size = size, .file_id = id, .generation = kGenerationBeingMade};
  if (const auto done = writer->commit(superblock, start, barrier); !done) return failure(done.error());
  const int error = retry_interrupted(scheduler, [&] { return backend.sync_directory(path); });
  if (error != 0) return failure(open_failure(error));
  superblock.generation = kGenerationMade;
  start = begins_with(kGenerationMade);
  if (const auto done = writer->commit(superblock, start, barrier); !done) return failure(done.error());
  return superblock;
}

/// Both slots as they stand, and what follows from them.
struct Slots {
  SlotContent first;
  SlotContent twin;

  [[nodiscard]] const SlotContent& at(SuperblockSlot slot) const noexcept {
    return slot == SuperblockSlot::first ? first : twin;
  }
  [[nodiscard]] bool any(Kind kind) const noexcept { return first.kind == kind || twin.kind == kind; }
};

Result<Slots> read_slots(IoFile& file, Scheduler& scheduler, std::uint64_t length) noexcept {
  const auto first = read_slot(file, scheduler, length, SuperblockSlot::first);
  if (!first) return failure(first.error());
  const auto twin = read_slot(file, scheduler, length, SuperblockSlot::twin);
  if (!twin) return failure(twin.error());
  return Slots{*first, *twin};
}

/// The slot that counts. Nothing when neither is sound.
Result<std::optional<SuperblockSlot>> choose(const Slots& slots) noexcept {
  for (const SlotContent* slot : {&slots.first, &slots.twin}) {
    // Even beside a sound one: a newer library may have been cut off in the middle of a commit.
    if (slot->kind != Kind::unknown) continue;
    return failure(
        PageError{.code = ErrorCode::unknown_format, .expected = kSuperblockVersion, .actual = slot->format_version});
  }
  if (!slots.any(Kind::sound)) return std::nullopt;
  if (slots.first.kind != Kind::sound) return SuperblockSlot::twin;
  if (slots.twin.kind != Kind::sound) return SuperblockSlot::first;
  const Superblock& first = slots.first.superblock;
  const Superblock& twin = slots.twin.superblock;
  const bool one_commit = first.generation == twin.generation;
  if (first.file_id != twin.file_id || first.page_size != twin.page_size ||
      (one_commit && (first.redo_from != twin.redo_from || first.allocation != twin.allocation))) {
    return failure(PageError{.code = ErrorCode::superblock_damaged});
  }
  return first.generation >= twin.generation ? SuperblockSlot::first : SuperblockSlot::twin;
}

/// Why a file without a sound superblock is refused. Nothing when it is blank, or headerless as the caller says.
Result<void> judge(const Evidence& evidence, const Slots& slots, const OpenOptions& options) noexcept {
  if (evidence.blank) return {};
  if (evidence.headerless) {
    const std::uint64_t bytes = evidence.headerless->bytes();
    if (!options.legacy) return failure(PageError{.code = ErrorCode::headerless_file, .actual = bytes});
    if (*options.page_size == *evidence.headerless) return {};
    return failure(
        PageError{.code = ErrorCode::wrong_page_size, .expected = options.page_size->bytes(), .actual = bytes});
  }
  if (evidence.tagged || slots.any(Kind::damaged)) return failure(PageError{.code = ErrorCode::superblock_damaged});
  // What could not be read might have told.
  if (!evidence.headerless_head && evidence.unreadable) return failure(*evidence.unreadable);
  if (!evidence.headerless_head) return failure(PageError{.code = ErrorCode::not_a_page_file});
  if (!options.legacy) return failure(PageError{.code = ErrorCode::headerless_file});
  return {};
}

/// Makes both slots hold what `chosen` holds, durably. True: the other one did not hold it. It comes after every
/// refusal.
///
/// What was read may stand in a cache only, if a commit or an opener before failed to sync. A slot is written while the
/// other one is durable, or is not sound anyway: a crash may damage what is being written.
Result<bool> heal(IoFile& file, Scheduler& scheduler, const Slots& slots, SuperblockSlot chosen) noexcept {
  const Superblock& superblock = slots.at(chosen).superblock;
  const SlotContent& weak = slots.at(other(chosen));
  const auto barrier = [&] { return sync_file(file, scheduler); };
  auto writer = SlotWriter::make(file, scheduler, superblock.page_size);
  if (!writer) return failure(writer.error());
  if (weak.kind == Kind::sound && weak.superblock.generation == superblock.generation) {
    // The one that was written first was durable before the other was touched.
    return writer->write(superblock, other(begins_with(superblock.generation)), barrier).map([] { return false; });
  }
  // An older one may be the only one that is durable.
  const SuperblockSlot first = weak.kind == Kind::sound ? chosen : other(chosen);
  if (const auto written = writer->write(superblock, first, barrier); !written) return failure(written.error());
  return writer->write(superblock, other(first), barrier).map([] { return true; });
}

}  // namespace

Result<std::unique_ptr<PageFile>> PageFile::create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                                   PageSize page_size, const FileId& id) {
  auto file = open_file(scheduler, [&] { return backend.create(path); });
  if (!file) return failure(file.error());
  const auto superblock = lay_out(backend, **file, scheduler, path, page_size, id);
  if (!superblock) return failure(superblock.error());
  return State::finish(scheduler, std::move(*file), Access::read_write, {.superblock = *superblock});
}

Result<std::unique_ptr<PageFile>> PageFile::open(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                                 const OpenOptions& options) {
  PAGEDB_CHECK(!options.legacy || options.page_size,
               "a headerless file does not know its page size: legacy needs page_size");
  const bool writable = options.access == Access::read_write;
  auto opened = open_file(scheduler, [&] { return backend.open(path, options.access); });
  if (!opened) return failure(opened.error());
  IoFile& file = **opened;
  if (writable) {
    // What a process wrote before it died may be in a cache yet. Only what is durable may be relied on.
    if (const auto synced = sync_file(file, scheduler); !synced) return failure(synced.error());
  }
  const auto length = length_of(file);
  if (!length) return failure(length.error());
  const auto slots = read_slots(file, scheduler, *length);
  if (!slots) return failure(slots.error());
  const auto chosen = choose(*slots);
  if (!chosen) return failure(chosen.error());

  State::Shape shape;
  if (*chosen) {
    const Superblock& superblock = slots->at(**chosen).superblock;
    const std::uint64_t bytes = superblock.page_size.bytes();
    if (options.legacy) return failure(PageError{.code = ErrorCode::not_headerless, .actual = bytes});
    if (options.page_size && *options.page_size != superblock.page_size) {
      return failure(
          PageError{.code = ErrorCode::wrong_page_size, .expected = options.page_size->bytes(), .actual = bytes});
    }
    if (const auto fits = check_alignment(file, superblock.page_size); !fits) return failure(fits.error());
    shape.superblock = superblock;
    if (writable && superblock.generation == kGenerationBeingMade) {
      const auto made = lay_out(backend, file, scheduler, path, superblock.page_size, superblock.file_id);
      if (!made) return failure(made.error());
      shape.superblock = *made;
    } else if (writable) {
      const auto healed = heal(file, scheduler, *slots, **chosen);
      if (!healed) return failure(healed.error());
      shape.report.superblock_healed = *healed;
    } else {
      shape.report.superblock_damaged = slots->at(other(**chosen)).kind != Kind::sound;
    }
    return State::finish(scheduler, std::move(*opened), options.access, shape);
  }

  const auto evidence = probe(file, scheduler, *length);
  if (!evidence) return failure(evidence.error());
  if (const auto judged = judge(*evidence, *slots, options); !judged) return failure(judged.error());
  shape.report.interrupted_create = evidence->blank;
  if (options.legacy) {
    if (const auto fits = check_alignment(file, *options.page_size); !fits) return failure(fits.error());
    shape.headerless = options.page_size;
    return State::finish(scheduler, std::move(*opened), options.access, shape);
  }
  if (writable && options.page_size && options.file_id) {
    const auto superblock = lay_out(backend, file, scheduler, path, *options.page_size, *options.file_id);
    if (!superblock) return failure(superblock.error());
    shape.superblock = *superblock;
    return State::finish(scheduler, std::move(*opened), options.access, shape);
  }
  shape.empty = options.page_size.value_or(PageSize());
  return State::finish(scheduler, std::move(*opened), Access::read_only, shape);
}

Result<std::unique_ptr<PageFile>> PageFile::State::finish(Scheduler& scheduler, std::unique_ptr<IoFile> file,
                                                          Access access, const Shape& shape) noexcept {
  const auto length = length_of(*file);
  if (!length) return failure(length.error());
  constexpr PageError kNoMemory{.code = ErrorCode::out_of_memory};
  std::unique_ptr<State> state(new (std::nothrow) State(scheduler, std::move(file)));
  if (state == nullptr) return failure(kNoMemory);
  state->writable = access == Access::read_write;
  state->report = shape.report;
  if (shape.superblock) {
    state->has_superblock = true;
    state->size = shape.superblock->page_size;
    state->geometry = detail::MapGeometry(state->size);
    state->id = shape.superblock->file_id;
    state->tag = file_tag(state->id);
    state->attempted = *shape.superblock;
    state->start = other(begins_with(shape.superblock->generation));
    state->generation = shape.superblock->generation;
    state->redo_from = shape.superblock->redo_from.value;
    state->wanted_redo_from = shape.superblock->redo_from.value;
    state->has_map = shape.superblock->allocation != AllocationRoot{};
    state->settled = state->writable;  // see heal and lay_out
  } else {
    state->size = shape.headerless ? *shape.headerless : *shape.empty;
  }
  if (!shape.empty) {
    state->page_count = *length >> state->size.shift();
    state->report.partial_tail_bytes = *length & (state->size.bytes() - 1);
  }
  std::unique_ptr<PageFile> page_file(new (std::nothrow) PageFile(std::move(state)));
  if (page_file == nullptr) return failure(kNoMemory);
  return page_file;
}

}  // namespace pagedb
