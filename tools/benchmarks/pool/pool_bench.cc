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

#include <cstdlib>
#include <string>

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
  const auto in_memory = [](void (*rows)(Report&)) {
    return [rows](Report& report, const std::string&) { rows(report); };
  };
  const Group groups[] = {
      {"resident", resident_rows},      {"hot", in_memory(hot_rows)}, {"memory", in_memory(memory_rows)},
      {"curve", in_memory(curve_rows)}, {"misses", miss_rows},        {"checkpoint", checkpoint_rows}};
  return run_groups(argc, argv, "pool_bench", groups);
}
