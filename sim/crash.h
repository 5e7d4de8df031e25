// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Crash: what a disk's medium holds after the power went, drawn from everything that the profile allows.
//
// Fate unit: a request that the profile writes atomically, else each physical sector of it. Each unit independently
// keeps what was written or loses it (the version before it stays), or is damaged where the profile says so. A unit
// that covers only part of its physical sector is a read-modify-write: damage takes the whole physical sector, with
// bytes that nobody was writing; and a later one that was kept implies the earlier ones of the same sector. In-flight
// requests share the fate of unsynced ones. Lengths survive in order; data past the surviving length is gone; a
// directory entry that was never synced may be missing.
#pragma once

#include <cstdint>
#include <vector>

#include "faults/ledger.h"
#include "sim/sim_disk.h"

namespace pagedb::sim {

/// Takes crashes. Keeps its scratch memory between them.
class Crash {
 public:
  /// Gives `image`, which was just `reset` with its own set-up, the files of `disk` as a power loss at this moment
  /// leaves them. `disk` must not change while the image is in use. Decisions come from `span` and the image's choices;
  /// what was torn, lost, reordered or damaged is entered in the image's ledger and trace.
  void take(const SimDisk& disk, SimDisk& image, Span& span);

 private:
  enum class UnitFate : std::uint8_t {
    undecided,
    kept,
    lost,
    garbage,
    unreadable,
    over,  // a sync has made something newer durable there: nothing is left to decide
  };
  struct Unit {
    std::uint32_t write;         // index into the file's pending writes
    std::uint64_t first_sector;  // of the file
    std::uint32_t sectors;
    std::uint64_t physical;  // number of the physical sector that it lies in
    bool partial = false;    // covers only part of it
    bool atomic = false;     // there or not, as a whole
    UnitFate fate = UnitFate::undecided;
  };

  void split(const FileState& file, const faults::DeviceProfile& profile);
  void decide(const FileState& file, const faults::DeviceProfile& profile, Choices& choices, Span& span);
  void apply(const FileState& file, const faults::DeviceProfile& profile, SimDisk& image, FileState& made);
  void decide_length(const FileState& file, SimDisk& image, FileState& made, Span& span);

  std::vector<Unit> units_;
  std::vector<std::uint32_t> first_unit_;  // of each pending write, and one past the last
};

}  // namespace pagedb::sim
