// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// AllocClient: one fiber of an allocator workload. It draws what to do next, does it, and judges what came of it. A
// page belongs to the fiber that allocated it.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "engine/buffer_pool.h"
#include "scenarios/alloc_workload.h"
#include "scenarios/host.h"
#include "scenarios/subject.h"

namespace pagedb::scenarios {

/// What the fibers share.
struct AllocShared {
  Host& host;
  Subject& file;
  AllocatorSubject& allocator;
  BufferPool* pool;  // null: none
  const AllocShape& shape;
  const AllocLimits& limits;
  std::uint32_t operations_left;
  std::uint64_t in_flight = 0;  // pages of allocations under way
  std::uint32_t shrinking = 0;  // shrinks under way
  bool tail_held = false;       // a shrink failed, and no sync has succeeded since
  /// With a pool: the newest version of each page that somebody has (0: none yet), and whose it is.
  struct Version {
    std::uint64_t lsn = 0, owner = 0;
  };
  std::map<std::uint64_t, Version> versions;
  std::uint64_t owners = 0;  // of pages, so far
};

class AllocClient {
 public:
  AllocClient(AllocShared& shared, std::uint32_t number, std::uint32_t round);

  /// Until it draws an end, the operations are used up, or the file is poisoned.
  void run();
  /// Makes everything durable, as the scenario does it.
  void sync();

 private:
  struct Owned {
    PageRange pages;
    std::uint64_t owner;  // tells this ownership from earlier ones of the same page
  };

  void operation(std::uint32_t kind, sim::Span& span);
  void allocate(sim::Span& span, std::uint64_t count, bool near, std::size_t change);
  void free(sim::Span& span, std::size_t change);
  void free_wrongly(sim::Span& span);
  void ask(sim::Span& span);
  void change(sim::Span& span);
  void shrink();
  void write(sim::Span& span, bool fresh);
  void read(sim::Span& span);
  void write_page(std::uint64_t page, bool fresh);
  void pause(sim::Span& span);

  /// Judges the error of a call that began at `since`. False: unexplained, and reported.
  bool explained(const PageError& error, std::string_view what, Owes owes, Time since);
  [[nodiscard]] std::uint64_t certainly_free() const;
  [[nodiscard]] std::size_t page_index(std::uint64_t page) const;

  AllocShared& shared_;
  sim::Span span_;
  std::vector<Owned> owned_;
};

}  // namespace pagedb::scenarios
