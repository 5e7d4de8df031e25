// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// FileState: all that a simulated disk knows of one file. Shared by the disk (sim_disk.cc) and the crash (crash.cc);
// nobody else needs it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/media.h"

namespace pagedb::sim {

/// A write that no sync has made durable yet. In order of submission.
struct PendingWrite {
  const WriteRecord* record = nullptr;
  std::uint64_t delivered = 0;  ///< when its completion reached the caller, on the disk's delivery clock; 0: not yet
  std::uint32_t visible_sectors = 0;  ///< how many of its sectors a reader sees
  bool completed = false;             ///< the device is done with it
  bool failed = false;                ///< the caller was told that it failed: it may be there or not, for ever
  bool dropped = false;               ///< a failed flush forgot it: as above
};

/// A length that no sync has made durable yet: a resize, or what an extending write needs. In order of submission.
struct PendingLength {
  std::uint64_t bytes = 0;
  std::uint64_t record = 0;     ///< the extending write; 0: a resize
  std::uint64_t delivered = 0;  ///< as PendingWrite's
  std::uint64_t before = 0;     ///< a resize: id of the first write submitted after it

  /// Takes from `media` what a resize to this length cut off, if it is one.
  void cut(Media& media) const {
    if (record == 0) media.cut((bytes + kSectorBytes - 1) / kSectorBytes, before);
  }
};

struct FileState {
  std::uint32_t number = 0;  ///< in creation order, from 1
  std::string path;
  bool entry_durable = false;  ///< the directory entry survives a crash
  bool missing = false;        ///< a crash lost the directory entry
  bool writer = false;         ///< somebody holds the writer lock
  std::uint64_t length = 0;    ///< what a process sees
  std::uint64_t durable_length = 0;
  std::uint64_t newest_durable = 0;  ///< id of the newest write that a sync of this disk's life has covered
  Media durable;                     ///< the floor: what a crash cannot take away
  Media current;                     ///< what a process reads: the floor and everything completed since
  std::vector<PendingWrite> pending;
  std::vector<PendingLength> lengths;

  /// Lays `current` anew over the floor. Where two writes overlap, the one submitted later wins.
  void rebuild_current();
  /// Dates the completion of a write: it has reached the caller at `now`.
  void deliver(const WriteRecord& record, std::uint64_t now) noexcept;
  /// Raises the floor: what was delivered up to `submitted_at` is durable, with the length that its data needs.
  void promote(std::uint64_t submitted_at);
};

}  // namespace pagedb::sim
