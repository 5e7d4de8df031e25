// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// FileState: how what a process sees and what a crash cannot take away follow from writes, resizes and syncs.
#include "sim/file_state.h"

#include <algorithm>

namespace pagedb::sim {

void FileState::rebuild_current() {
  current.reset(&durable);
  for (const PendingWrite& write : pending) {
    for (std::uint32_t i = 0; i < write.visible_sectors; ++i) {
      const std::uint64_t sector = write.record->offset / kSectorBytes + i;
      if (!durable.newer(sector, *write.record)) current.put(sector, write.record);
    }
  }
  for (const PendingLength& change : lengths) change.cut(current);
}

void FileState::deliver(const WriteRecord& record, std::uint64_t now) noexcept {
  for (PendingWrite& write : pending) {
    if (write.record == &record) write.delivered = now;
  }
  for (PendingLength& change : lengths) {
    if (change.record == record.id) change.delivered = now;
  }
}

void FileState::promote(std::uint64_t submitted_at) {
  const auto covered = [&](std::uint64_t delivered) { return delivered != 0 && delivered <= submitted_at; };
  std::uint64_t last_cut = 0;  // id of the first write after the last resize that is covered
  for (const PendingLength& change : lengths) {
    if (covered(change.delivered)) last_cut = std::max(last_cut, change.before);
  }
  std::uint64_t needed = 0;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const PendingWrite write = pending[i];
    if (write.record == nullptr || write.failed || write.dropped || !covered(write.delivered)) continue;
    const std::uint64_t begin = write.record->offset, end = begin + write.record->size;
    newest_durable = std::max(newest_durable, write.record->id);
    for (std::uint64_t at = begin; at < end; at += kSectorBytes) {
      if (!durable.newer(at / kSectorBytes, *write.record)) durable.put(at / kSectorBytes, write.record);
    }
    // Nothing that went there earlier can come back, whatever became of it. What is still in flight stays until it has
    // ended.
    for (std::size_t k = 0; k <= i; ++k) {
      PendingWrite& earlier = pending[k];
      if (earlier.record != nullptr && earlier.completed && earlier.record->offset >= begin &&
          earlier.record->offset + earlier.record->size <= end) {
        earlier.record = nullptr;
      }
    }
    // The length that its data needs; another write, not covered, may have been the one to extend the file.
    if (write.record->id >= last_cut) needed = std::max(needed, end);
  }
  std::erase_if(pending, [](const PendingWrite& write) { return write.record == nullptr; });
  std::size_t keep = 0;
  for (const PendingLength& change : lengths) {
    if (covered(change.delivered)) {
      change.cut(durable);
      durable_length = change.record == 0 ? change.bytes : std::max(durable_length, change.bytes);
    } else {
      lengths[keep++] = change;
    }
  }
  lengths.resize(keep);
  durable_length = std::max(durable_length, needed);
  rebuild_current();
}

}  // namespace pagedb::sim
