// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the engine needs of a write-ahead log. The log itself is the caller's.
#pragma once

#include "engine/error.h"
#include "engine/types.h"

namespace pagedb {

/// The write-ahead rule: the buffer pool writes no page before the log that explains it is durable.
///
/// Thread-safety: called by several tasks at once, each holding no latch and no lock. It may wait through the pool's
/// Scheduler. It must not call back into the pool, nor need anything that a task holds while *it* calls the pool (a
/// lock of the log across `fetch`, say): that task may be waiting for the very writes that wait here.
class LogBarrier {
 public:
  virtual ~LogBarrier() = default;

  /// Returns Ok once every log record up to and including `lsn` is durable. An error means that it may not be: the
  /// pages that needed it are not written, stay dirty, and the error goes to whoever wanted them written.
  [[nodiscard]] virtual Result<void> ensure_durable(Lsn lsn) noexcept = 0;
};

}  // namespace pagedb
