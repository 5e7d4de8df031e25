// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// alloc_bench: the page allocator beside what it cannot be quicker than, and beside the allocator that one writes
// first; each figure with its bound. tools/bench alloc runs it.
//
// Usage: alloc_bench [--dir=DIRECTORY] [GROUP ...]     groups: speed threads sync open (all)
//
// DIRECTORY (the current one) must be on the disk to measure, with O_DIRECT and room for 300 MiB; `sync` makes a sparse
// file of 4 TB there, of which it writes that much, and takes 500 MiB of memory. Exit: 0 every bound holds, 1 one is
// missed, 2 usage, 3 the disk or the engine refused something.
#include <thread>

#include "tools/benchmarks/alloc/rows.h"

int main(int argc, char** argv) {
  using namespace pagedb::bench;
  // glibc's mutexes use no atomic operation while the process has never had a second thread. No process that has a
  // reason for a mutex is like that, so the peers would look quicker than they are.
  std::thread([] {}).join();

  const Group groups[] = {
      {"speed", speed_rows}, {"threads", two_thread_rows}, {"sync", sync_rows}, {"open", open_rows}};
  return run_groups(argc, argv, "alloc_bench", groups);
}
