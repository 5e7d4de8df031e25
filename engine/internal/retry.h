// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Trying again when a signal interrupted a call of the I/O seam.
#pragma once

#include <cerrno>

#include "engine/io/transfer.h"
#include "engine/scheduler.h"

namespace pagedb {

/// Calls `call`, which returns 0 or an errno value, until that is not EINTR, kTransferAttempts times at most. Returns
/// the last result.
template <class Call>
[[nodiscard]] int retry_interrupted(Scheduler& scheduler, Call&& call) noexcept {
  for (unsigned attempt = 0;; ++attempt) {
    const int error = call();
    if (error != EINTR || attempt + 1 == kTransferAttempts) return error;
    scheduler.relax(attempt);
  }
}

}  // namespace pagedb
