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
#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "tools/benchmarks/alloc/rows.h"

int main(int argc, char** argv) {
  using namespace pagedb::bench;
  // glibc's mutexes use no atomic operation while the process has never had a second thread. No process that has a
  // reason for a mutex is like that, so the peers would look quicker than they are.
  std::thread([] {}).join();

  const std::vector<std::string> known{"speed", "threads", "sync", "open"};
  std::string directory = ".";
  std::vector<std::string> groups;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--dir=")) {
      directory = argument.substr(6);
    } else if (std::find(known.begin(), known.end(), argument) != known.end()) {
      groups.push_back(argument);
    } else {
      std::fprintf(stderr, "alloc_bench: unknown argument '%s'\n", argument.c_str());
      std::fprintf(stderr, "use --dir=DIRECTORY and any of: speed threads sync open\n");
      return 2;
    }
  }
  if (groups.empty()) groups = known;

  Report report;
  for (const std::string& group : groups) {
    if (group == "speed") speed_rows(report, directory);
    if (group == "threads") two_thread_rows(report, directory);
    if (group == "sync") sync_rows(report, directory);
    if (group == "open") open_rows(report, directory);
  }
  return report.missed() == 0 ? 0 : 1;
}
