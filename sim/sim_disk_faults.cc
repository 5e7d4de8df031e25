// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// SimDisk: what is left to chance (latency, faults, damage of the medium), and who is told.
#include "sim/sim_disk.h"

namespace pagedb::sim {

using faults::FaultKind;
using faults::RequestKind;

void SimDisk::trace(EventKind kind, const FileState* file, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  setup_.trace->add({kind, setup_.depth, fiber(), file != nullptr ? file->number : 0,
                     static_cast<std::uint64_t>(setup_.scheduler->now().count()), a, b, c});
}

std::uint32_t SimDisk::inject(FaultKind kind, const FileState& file, std::uint64_t offset, std::uint64_t size,
                              int sys_errno, std::uint64_t record, std::uint64_t intended) {
  const faults::InjectedFault fault{.kind = kind,
                                    .file = file.number,
                                    .offset = offset,
                                    .size = size,
                                    .intended = intended,
                                    .record = record,
                                    .sys_errno = sys_errno,
                                    .fiber = fiber()};
  const std::uint32_t index = setup_.ledger->open(fault);
  trace(EventKind::fault, &file, static_cast<std::uint64_t>(kind), offset, static_cast<std::uint64_t>(sys_errno));
  if (setup_.observer != nullptr) setup_.observer->fault_injected(index, fault);
  return index;
}

bool SimDisk::send_astray(WriteRecord& record, FaultKind fault, const FileState& file) {
  if (fault != FaultKind::misdirected_write && fault != FaultKind::dropped_write) return true;
  const std::uint64_t size = record.size;
  if (record.offset + size > file.length) return false;  // the file's length would tell
  if (fault == FaultKind::dropped_write) {
    record.offset = WriteRecord::kNowhere;
    return true;
  }
  // It lands where another write of this size could have gone.
  const std::uint64_t places = file.length / size;
  if (places > 1) {
    const std::uint32_t there =
        setup_.choices->draw(setup_.span, Site::fault_detail, static_cast<std::uint32_t>(places));
    record.offset = std::uint64_t{there} * size + record.intended % size;
    if (record.offset + size > file.length) record.offset = record.intended % size;
  }
  return record.misdirected();
}

FaultKind SimDisk::roll(const RequestKind& kind, FileState& file) {
  if (setup_.plan == nullptr || setup_.plan->honest()) return FaultKind::count_;
  if (!setup_.faulty_path.empty() && file.path != setup_.faulty_path) return FaultKind::count_;
  if (kind.op == RequestKind::Op::read && !setup_.plan->hits_reads()) return FaultKind::count_;
  const std::uint32_t dice = setup_.choices->draw(setup_.span, Site::io_fault, faults::FaultPlan::kDice);
  const FaultKind fault = decide(*setup_.plan, kind, dice);
  if (fault == FaultKind::bit_rot || fault == FaultKind::latent_sector_error) {
    damage_something(setup_.span, file, fault);  // hits the medium, not this request
    return FaultKind::count_;
  }
  return fault;
}

bool SimDisk::damage_something(Span& span, FileState& file, FaultKind kind) {
  const std::vector<std::uint64_t>& written = file.durable.written_blocks();
  if (written.empty()) return false;
  Choices& choices = *setup_.choices;
  const std::uint64_t block =
      written[choices.draw(span, Site::fault_detail, static_cast<std::uint32_t>(written.size()))];
  const std::uint64_t sector = block * kSectorsPerBlock + choices.draw(span, Site::fault_detail, kSectorsPerBlock);
  const std::uint32_t bit = choices.draw(span, Site::fault_detail, kSectorBytes * 8);
  if (sector * kSectorBytes >= file.durable_length) return false;
  if (file.durable.record(sector) == nullptr || file.durable.damage(sector).kind != DamageKind::none) return false;
  const bool rot = kind == FaultKind::bit_rot;
  inject(kind, file, sector * kSectorBytes, kSectorBytes, 0);
  file.durable.damage(
      sector, {rot ? DamageKind::flipped : DamageKind::unreadable, static_cast<std::uint16_t>(rot ? bit : 0), 0});
  file.rebuild_current();
  ++change_clock_;
  return true;
}

std::uint32_t SimDisk::fault_detail(FaultKind fault, std::uint32_t sectors) {
  Choices& choices = *setup_.choices;
  switch (fault) {
    case FaultKind::short_transfer:  // sectors moved: some, not all
      return 1 + choices.draw(setup_.span, Site::fault_detail, sectors - 1);
    case FaultKind::write_error:  // sectors that reached the cache
      return choices.draw(setup_.span, Site::fault_detail, sectors + 1);
    case FaultKind::transient_error:  // which errno
      return choices.draw(setup_.span, Site::fault_detail, 2);
    default:
      return 0;
  }
}

Time SimDisk::latency(std::uint32_t base_ns) {
  // Jitter in sixteenths keeps the choice small enough for an exhaustive source.
  const std::uint32_t jitter = setup_.choices->draw(setup_.span, Site::io_latency, 16);
  return Time(base_ns + std::uint64_t{base_ns} * jitter / 16);
}

}  // namespace pagedb::sim
