// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "tools/pagesim/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "reports/text.h"

namespace pagedb::pagesim {
namespace {

constexpr const char* kStartOfCleanLine = "\r\x1b[K";

}  // namespace

std::function<void(const scenarios::Progress&)> progress_line() {
  if (::isatty(STDERR_FILENO) != 1) return nullptr;
  return [shown_s = -1.0](const scenarios::Progress& now) mutable {
    if (now.elapsed_s - shown_s < 0.2) return;
    shown_s = now.elapsed_s;
    fmt::print(stderr, "{}{:.0f} s: {} seeds, {} recoveries verified, {} violations", kStartOfCleanLine, now.elapsed_s,
               reports::grouped(now.seeds), reports::grouped(now.recoveries_verified),
               reports::grouped(now.violations));
    std::fflush(stderr);
  };
}

void clear_progress_line() {
  if (::isatty(STDERR_FILENO) == 1) fmt::print(stderr, "{}", kStartOfCleanLine);
}

}  // namespace pagedb::pagesim
