// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// pagesim's commands. Each takes the words of its flags as they were typed (empty: not given), and returns the exit
// code; a UsageError is thrown before anything was done.
#pragma once

#include <string>

#include "tools/pagesim/arguments.h"

namespace pagedb::pagesim {

struct RunArguments {
  std::string program;  ///< argv[0], for replay commands
  std::string scenario = "all";
  std::string seeds, duration, jobs, profile, shard_index, shard_count, out, real;
  std::string format = "text";
};

struct ReplayArguments {
  std::string program;  ///< argv[0]
  std::string target;   ///< SCENARIO:SEED or a .choices file
  std::string profile, branch, trace;
  bool check_determinism = false;
};

[[nodiscard]] int list();
[[nodiscard]] int run(const RunArguments& arguments);
[[nodiscard]] int replay(const ReplayArguments& arguments);

}  // namespace pagedb::pagesim
