// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// pool_bench: the buffer pool beside what it cannot be quicker than, and beside other caches; each figure with its
// bound. tools/bench pool runs it.
//
// Usage: pool_bench [--dir=DIRECTORY] [GROUP ...]     groups: resident hot memory curve misses checkpoint (all)
//
// DIRECTORY (the current one) must be on the disk to measure; up to 2 GiB of files come and go there. Exit: 0 every
// bound holds, 1 one is missed, 2 usage.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tools/benchmarks/pool/rows.h"

int main(int argc, char** argv) {
  using namespace pagedb::bench;
  // Peers that allocate with malloc get huge pages as well, like the pool: what is compared is not the page tables.
  const char* const kTunables = "GLIBC_TUNABLES";
  if (std::getenv(kTunables) == nullptr) {
    ::setenv(kTunables, "glibc.malloc.hugetlb=1", 1);
    char self[4096] = {};  // not by its name in /proc, which profilers would then show
    if (::readlink("/proc/self/exe", self, sizeof self - 1) > 0) ::execv(self, argv);
  }
  const std::vector<std::string> known{"resident", "hot", "memory", "curve", "misses", "checkpoint"};
  std::string directory = ".";
  std::vector<std::string> groups;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--dir=")) {
      directory = argument.substr(6);
    } else if (std::find(known.begin(), known.end(), argument) != known.end()) {
      groups.push_back(argument);
    } else {
      std::fprintf(stderr, "pool_bench: unknown argument '%s'\n", argument.c_str());
      std::fprintf(stderr, "use --dir=DIRECTORY and any of: resident hot memory curve misses checkpoint\n");
      return 2;
    }
  }
  if (groups.empty()) groups = known;

  Report report;
  for (const std::string& group : groups) {
    if (group == "resident") resident_rows(report, directory);
    if (group == "hot") hot_rows(report);
    if (group == "memory") memory_rows(report);
    if (group == "curve") curve_rows(report);
    if (group == "misses") miss_rows(report, directory);
    if (group == "checkpoint") checkpoint_rows(report, directory);
  }
  return report.missed() == 0 ? 0 : 1;
}
