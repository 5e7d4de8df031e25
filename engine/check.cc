// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "engine/check.h"

#include <cstdio>
#include <cstdlib>

namespace pagedb::detail {

void check_failed(const char* file, int line, const char* expression, const char* reason) noexcept {
  std::fprintf(stderr, "%s:%d: contract broken: %s (%s)\n", file, line, expression, reason);
  std::abort();
}

}  // namespace pagedb::detail
