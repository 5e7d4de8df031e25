// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What a simulated run sees of the allocation maps on its media.
#include <algorithm>

#include "scenarios/forge.h"
#include "scenarios/reference_page.h"
#include "scenarios/sim_world.h"

namespace pagedb::scenarios {

namespace {

ReadPage pages_on(const sim::Media& media, std::uint64_t length) {
  return [&media, length](std::uint64_t id, std::span<std::byte> to) {
    if (id >= length / to.size()) return PageRead::past_end;
    std::uint64_t bad_sector = 0;
    return media.read(id * to.size(), to, bad_sector) ? PageRead::ok : PageRead::unreadable;
  };
}

}  // namespace

const ReferenceAllocation& SimRun::read_map(const ReferenceSuperblock& superblock, const sim::Media& media,
                                            std::uint64_t length) {
  return map_reader_.read(superblock, pages_on(media, length));
}

void SimRun::note_commit(std::size_t depth, const sim::WriteRecord& record, const sim::SimDisk& disk) {
  if (!plan_.allocator || (record.intended != kSuperblockOffsets[0] && record.intended != kSuperblockOffsets[1]))
    return;
  // A piece of one, before a short transfer, says all there is to say: the rest of a superblock is zero.
  std::copy_n(record.bytes, record.size, page_.begin());
  std::fill(page_.begin() + static_cast<std::ptrdiff_t>(record.size), page_.end(), std::byte{0});
  const auto superblock = decode_superblock_page(page_, record.intended);
  if (!superblock || !allocation_[depth].is_new(*superblock)) return;
  // Where both slots of a commit were lost, the next opener stores again what it found; `reopened` takes it from there.
  if (depth == 0 && slots_hit_ && allocation_[0].is_past(*superblock)) return;
  const sim::FileState* file = page_file(disk);
  const ReferenceAllocation& map = read_map(*superblock, file->current, file->length);
  // Damage that hit a node between its writing and now is for those to find who read it.
  if (damaging_ && (!map.sound() || allocation_[depth].began_unseen())) {
    allocation_[depth].submitted_unseen(*superblock);
  } else {
    report(allocation_[depth].submitted(*superblock, map));
  }
}

SimRun::FoundMap SimRun::find_map(const sim::Media& media, std::uint64_t length) {
  std::optional<ReferenceSuperblock> newest;
  std::uint64_t bad_sector = 0;
  for (const std::uint64_t offset : kSuperblockOffsets) {
    if (offset + page_.size() > length || !media.read(offset, page_, bad_sector)) continue;
    const auto superblock = decode_superblock_page(page_, offset);
    if (superblock && (!newest || superblock->generation > newest->generation)) newest = superblock;
  }
  if (!newest) return {};
  return {*newest, &read_map(*newest, media, length)};
}

void SimRun::forge_map(World& world, sim::FileState& file) {
  const FoundMap found = find_map(file.durable, file.length);
  if (file.missing || found.map == nullptr || !found.map->sound()) return;
  const auto forgery =
      forge(found.superblock, *found.map, pages_on(file.durable, file.length), *request_.choices, world.span());
  if (!forgery) return;
  for (const Forgery::Page& page : forgery->pages) {
    const auto size = static_cast<std::uint32_t>(page.bytes.size());
    std::byte* bytes = world.arena.allocate(size);
    std::ranges::copy(page.bytes, bytes);
    sim::WriteRecord* record = world.arena.record();
    // As old as the last write before the crash, and told from that by what it contains.
    *record = {.id = world.disk.next_record() - 1,
               .offset = page.id * size,
               .intended = page.id * size,
               .size = size,
               .file = file.number,
               .bytes = bytes,
               .tag = file.durable.record(page.id * size / sim::kSectorBytes)->tag,
               .content = sim::digest(page.bytes)};
    file.durable.put(*record);
  }
  const Forgery::Page& node = forgery->pages.front();
  world.ledger.open({.kind = faults::FaultKind::forged,
                     .file = file.number,
                     .offset = node.id * node.bytes.size(),
                     .size = node.bytes.size()});
  for (const Forgery::Field& field : forgery->fields)
    request_.trace->add({.kind = sim::EventKind::fault,
                         .depth = world.depth(),
                         .file = file.number,
                         .a = static_cast<std::uint64_t>(faults::FaultKind::forged),
                         .b = field.offset,
                         .c = field.value});
}

std::size_t SimRun::durable_commit() {
  // Both slots may be hit. The engine cannot know, so it does not owe what follows from that.
  if (slots_hit_) return allocation_[0].last_commit();
  const sim::FileState* file = page_file(worlds_[0]->disk);
  const FoundMap found = find_map(file->durable, file->durable_length);
  const auto index = found.map != nullptr ? allocation_[0].commit_of(found.superblock) : std::nullopt;
  return index.value_or(allocation_[0].acknowledged());
}

void SimRun::judge_reopened_map() {
  if (over()) return;
  const sim::FileState* file = page_file(worlds_[0]->disk);
  const FoundMap found = find_map(file->current, file->length);
  if (found.map != nullptr) report(allocation_[0].reopened(found.superblock, *found.map));
}

}  // namespace pagedb::scenarios
