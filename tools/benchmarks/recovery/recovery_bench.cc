// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// recovery_bench: recovery beside what it cannot be quicker than; each figure with its bound. tools/bench recovery runs
// it.
//
// Usage: recovery_bench [--dir=DIRECTORY] [GROUP ...]     groups: redo (all)
//
// DIRECTORY (the current one) must be on the disk to measure, with O_DIRECT and room for 2 GiB. Exit: 0 every bound
// holds, 1 one is missed, 2 usage, 3 the disk or the engine refused something.
#include "tools/benchmarks/recovery/rows.h"

int main(int argc, char** argv) {
  using namespace pagedb::bench;
  const Group groups[] = {{"redo", redo_rows}};
  return run_groups(argc, argv, "recovery_bench", groups);
}
