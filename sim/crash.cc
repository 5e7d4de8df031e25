// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "sim/crash.h"

#include <algorithm>
#include <bit>

namespace pagedb::sim {

using faults::DeviceProfile;
using faults::FaultKind;

namespace {

enum SpanKind : std::uint32_t { kWriteFate = 1, kLengthFate = 2 };

/// Families of crashes. All-or-nothing ones come up as often as torn ones: each finds other bugs.
enum class Mode : std::uint32_t {
  keep_all,
  lose_all,
  whole_a,
  whole_b,
  mixed_a,
  mixed_b,
  in_order,
  every_unit,
  count_
};

}  // namespace

void Crash::split(const FileState& file, const DeviceProfile& profile) {
  units_.clear();
  first_unit_.clear();
  for (std::uint32_t i = 0; i < file.pending.size(); ++i) {
    first_unit_.push_back(static_cast<std::uint32_t>(units_.size()));
    const WriteRecord& record = *file.pending[i].record;
    const std::uint64_t begin = record.offset + profile.partition_offset_bytes;  // on the device
    const std::uint64_t end = begin + record.size;
    const std::uint64_t atomic = profile.atomic_write_bytes;
    // What the profile promises, and no more: a power of two, aligned to itself on the device.
    if (record.size <= atomic && std::has_single_bit(record.size) && begin % record.size == 0) {
      units_.push_back({.write = i,
                        .first_sector = record.offset / kSectorBytes,
                        .sectors = record.size / kSectorBytes,
                        .physical = begin / profile.physical_sector_bytes,
                        .atomic = true});
      continue;
    }
    for (std::uint64_t at = begin; at < end;) {
      const std::uint64_t physical = at / profile.physical_sector_bytes;
      const std::uint64_t stop = std::min(end, (physical + 1) * profile.physical_sector_bytes);
      units_.push_back({.write = i,
                        .first_sector = (at - profile.partition_offset_bytes) / kSectorBytes,
                        .sectors = static_cast<std::uint32_t>((stop - at) / kSectorBytes),
                        .physical = physical,
                        .partial = stop - at < profile.physical_sector_bytes});
      at = stop;
    }
  }
  first_unit_.push_back(static_cast<std::uint32_t>(units_.size()));
  if (file.newest_durable < file.pending.front().record->id) return;
  for (Unit& unit : units_) {
    bool over = true;
    for (std::uint32_t k = 0; k < unit.sectors && over; ++k)
      over = file.durable.newer(unit.first_sector + k, *file.pending[unit.write].record);
    if (over) unit.fate = UnitFate::over;
  }
}

void Crash::decide(const FileState& file, const DeviceProfile& profile, Choices& choices, Span& span) {
  const auto writes = static_cast<std::uint32_t>(file.pending.size());
  const auto mode = static_cast<Mode>(choices.draw(span, Site::crash_mode, static_cast<std::uint32_t>(Mode::count_)));
  // in_order: how many of the oldest writes made it. 0 is "all", the simplest.
  const std::uint32_t kept_in_order =
      mode == Mode::in_order ? writes - choices.draw(span, Site::request_fate, writes + 1) : 0;

  // Newest first: a read-modify-write that was kept carries the older ones of its physical sector with it.
  for (std::uint32_t i = writes; i-- > 0;) {
    Span own(span, kWriteFate, file.pending[i].record->id);
    enum { keep, lose, tear } wish = keep;
    switch (mode) {
      case Mode::keep_all:
        break;
      case Mode::lose_all:
        wish = lose;
        break;
      case Mode::whole_a:
      case Mode::whole_b:
        wish = choices.draw(own, Site::request_fate, 2) == 0 ? keep : lose;
        break;
      case Mode::mixed_a:
      case Mode::mixed_b: {
        const std::uint32_t drawn = choices.draw(own, Site::request_fate, 4);
        wish = drawn <= 1 ? keep : drawn == 2 ? lose : tear;
        break;
      }
      case Mode::in_order:
        wish = i < kept_in_order ? keep : i == kept_in_order ? tear : lose;
        break;
      default:
        wish = tear;
        break;
    }
    const std::uint32_t first = first_unit_[i], last = first_unit_[i + 1];
    // What the device has given up is in no cache and under no head: it cannot be cut in the middle any more.
    const bool at_work = !file.pending[i].failed && !file.pending[i].dropped;
    if (wish == tear && !profile.crash_tears) wish = lose;
    for (std::uint32_t u = first; u < last; ++u) {
      Unit& unit = units_[u];
      if (unit.fate == UnitFate::over) continue;
      if (wish == keep) {
        unit.fate = UnitFate::kept;
      } else if (wish == lose) {
        unit.fate = UnitFate::lost;
      } else {
        // An atomic unit is there or not; any other may also be cut in the middle.
        const bool breakable = at_work && !unit.atomic;
        const std::uint32_t drawn = choices.draw(own, Site::unit_fate, 16);
        unit.fate = drawn < 7 ? UnitFate::kept : UnitFate::lost;
        if (drawn >= 14 && breakable && profile.crash_garbles) unit.fate = UnitFate::garbage;
        if (drawn == 15 && breakable && profile.crash_unreadable) unit.fate = UnitFate::unreadable;
      }
      const bool harmed = unit.fate == UnitFate::garbage || unit.fate == UnitFate::unreadable;
      if (unit.atomic || (!harmed && profile.physical_sector_bytes == profile.logical_sector_bytes)) continue;
      for (std::uint32_t at = last; at < units_.size(); ++at) {
        const Unit& later = units_[at];
        if (later.atomic || later.physical != unit.physical || later.fate == UnitFate::lost ||
            later.fate == UnitFate::over)
          continue;
        // A later one that was written carried this one with it, or lies over it.
        if (later.partial || harmed) unit.fate = later.partial ? later.fate : UnitFate::lost;
        break;
      }
    }
  }
}

void Crash::apply(const FileState& file, const DeviceProfile& profile, SimDisk& image, FileState& made) {
  faults::Ledger& ledger = *image.setup().ledger;
  const auto enter = [&](FaultKind kind, const WriteRecord& record, std::uint64_t offset, std::uint64_t size) {
    return ledger.open({.kind = kind,
                        .file = made.number,
                        .offset = offset,
                        .size = size,
                        .intended = record.intended,
                        .record = record.id});
  };
  bool lost_before = false, reordered = false;
  for (std::uint32_t i = 0; i < file.pending.size(); ++i) {
    const PendingWrite& write = file.pending[i];
    const WriteRecord& record = *write.record;
    std::uint32_t kept = 0, lost = 0, harmed = 0;  // neither: a newer write stands there for good
    std::uint64_t pattern = 0;
    for (std::uint32_t u = first_unit_[i]; u < first_unit_[i + 1]; ++u) {
      const Unit& unit = units_[u];
      if (unit.fate == UnitFate::over) continue;
      if (unit.fate == UnitFate::lost) {
        ++lost;
        continue;
      }
      for (std::uint32_t k = 0; k < unit.sectors; ++k) {
        if (!made.durable.newer(unit.first_sector + k, record)) made.durable.put(unit.first_sector + k, &record);
      }
      if (unit.fate == UnitFate::kept) {
        ++kept;
        pattern |= std::uint64_t{1} << (u - first_unit_[i]) % 64;
      } else {
        ++harmed;
      }
    }
    const bool torn = (kept != 0) + (lost != 0) + (harmed != 0) > 1 || harmed != 0;
    if (torn) enter(FaultKind::torn_write, record, record.offset, record.size);
    if (!torn && lost != 0) {
      if (write.completed && !write.failed) enter(FaultKind::lost_write, record, record.offset, record.size);
      lost_before = true;
    }
    if (!torn && kept != 0 && lost_before && !reordered) {
      enter(FaultKind::reordered_write, record, record.offset, record.size);
      reordered = true;
    }
    image.setup().trace->add({torn        ? EventKind::damaged
                              : lost != 0 ? EventKind::lost
                                          : EventKind::survived,
                              image.setup().depth, 0, made.number, 0, record.offset,
                              pattern | std::uint64_t{harmed} << 56, record.tag});
  }
  // Damage comes last: it takes the physical sector whatever else was kept in it.
  for (const Unit& unit : units_) {
    if (unit.fate != UnitFate::garbage && unit.fate != UnitFate::unreadable) continue;
    const WriteRecord& record = *file.pending[unit.write].record;
    const std::uint64_t device_begin = unit.physical * profile.physical_sector_bytes;
    const std::uint64_t begin =
        device_begin < profile.partition_offset_bytes ? 0 : device_begin - profile.partition_offset_bytes;
    std::uint64_t end = device_begin + profile.physical_sector_bytes - profile.partition_offset_bytes;
    // Past its end a file has no bytes to damage: they are new, and zero, when it grows. A length that is yet to be
    // decided cuts them off.
    if (file.lengths.empty()) end = std::min(end, file.durable_length);
    // With nobody else's bytes in it, this is no more than a tear, and entered as one above.
    if (unit.partial) enter(FaultKind::neighbour_damage, record, begin, end - begin);
    const bool garbage = unit.fate == UnitFate::garbage;
    for (std::uint64_t at = begin; at < end; at += kSectorBytes) {
      made.durable.damage(at / kSectorBytes,
                          {garbage ? DamageKind::garbage : DamageKind::unreadable, 0, record.id * 0x10001u + at});
    }
  }
}

void Crash::decide_length(const FileState& file, SimDisk& image, FileState& made, Span& span) {
  Choices& choices = *image.setup().choices;
  Span own(span, kLengthFate, file.number);
  const auto candidates = static_cast<std::uint32_t>(file.lengths.size());
  const std::uint32_t back = choices.draw(own, Site::length_fate, candidates + 1);  // 0: the newest
  std::uint64_t previous = file.durable_length, chosen = file.durable_length;
  for (std::uint32_t i = 0; i < candidates - back; ++i) {
    previous = chosen;
    chosen = file.lengths[i].record == 0 ? file.lengths[i].bytes : std::max(chosen, file.lengths[i].bytes);
    file.lengths[i].cut(made.durable);  // what a cut took does not come back when the file grows again
  }
  bool stale = back != 0;
  // An extension may also stop half-way: file systems grow files by blocks, not by pages.
  if (chosen > previous && choices.draw(own, Site::length_fate, 4) == 3) {
    const std::uint64_t sectors = (chosen - previous) / kSectorBytes;
    const auto bound = static_cast<std::uint32_t>(std::min<std::uint64_t>(sectors, 1u << 20));
    const std::uint32_t short_by = choices.draw(own, Site::length_fate, bound);
    chosen -= std::uint64_t{short_by} * kSectorBytes;
    stale |= short_by != 0;
  }
  made.length = made.durable_length = chosen;
  made.durable.cut((chosen + kSectorBytes - 1) / kSectorBytes);
  if (chosen != file.length) {
    if (stale) {
      image.setup().ledger->open(
          {.kind = FaultKind::stale_length, .file = made.number, .offset = chosen, .intended = file.length});
    }
    image.setup().trace->add({EventKind::resize, image.setup().depth, 0, made.number, 0, chosen, 0, 1});
  }
}

void Crash::take(const SimDisk& disk, SimDisk& image, Span& span) {
  for (const auto& file : disk.files()) {
    FileState& made = image.add_file();
    made.path = file->path;
    made.missing = file->missing;
    made.entry_durable = true;  // whatever it is now, it stays
    if (file->missing) continue;
    if (!file->entry_durable) {
      Span own(span, kLengthFate, std::uint64_t{file->number} << 32);
      if (image.setup().choices->draw(own, Site::length_fate, 2) == 1) {
        made.missing = true;
        image.setup().ledger->open({.kind = FaultKind::missing_entry, .file = made.number});
        continue;
      }
    }
    made.durable.reset(&file->durable);
    if (!file->pending.empty()) {
      split(*file, *image.setup().profile);
      decide(*file, *image.setup().profile, *image.setup().choices, span);
      apply(*file, *image.setup().profile, image, made);
    }
    made.length = made.durable_length = file->durable_length;
    if (!file->lengths.empty()) decide_length(*file, image, made, span);
    made.current.reset(&made.durable);
  }
}

}  // namespace pagedb::sim
