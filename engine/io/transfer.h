// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The policy above the I/O seam: what a transfer or a sync that did not simply succeed means, and whether to try it
// again.
//
//   EINTR, EAGAIN          try again after a pause, kTransferAttempts times in all, then io_error
//   some bytes moved       go on from the last multiple of the file's offset_align
//   none, or too few       try again after a pause, kTransferAttempts times in all, then short_transfer
//   any other errno        the error at once, see io_failure
//   sync                   EINTR is tried again likewise; any other errno is final, because a failed sync must never be
//   repeated and believed
//
// Complexity: no allocation for one transfer, nor for a batch while all goes well; else a bounded scratch.
// Thread-safety: any task, any time. Durability: as IoFile.
#pragma once

#include <cstddef>
#include <span>

#include "engine/error.h"
#include "engine/function_ref.h"
#include "engine/io/backend.h"
#include "engine/scheduler.h"

namespace pagedb {

/// How often a request that makes no progress is made before that is an error.
inline constexpr unsigned kTransferAttempts = 8;

/// The error that an errno value from a transfer, a sync or a resize means: no_space, misaligned, unsupported,
/// permission_denied, out_of_memory, else io_error. `sys_errno` is set.
[[nodiscard]] PageError io_failure(int sys_errno) noexcept;

/// Makes one transfer, all of it. For a read that may meet the end of the file, `needed` says how many bytes suffice.
/// Errors: io_failure's, and short_transfer.
[[nodiscard]] Result<void> transfer(IoFile& file, Scheduler& scheduler, const IoRequest& request,
                                    std::size_t needed) noexcept;

/// Makes one transfer, all of it.
[[nodiscard]] inline Result<void> transfer(IoFile& file, Scheduler& scheduler, const IoRequest& request) noexcept {
  return transfer(file, scheduler, request, request.size);
}

/// Receives the end of each transfer of a batch: its index, and how it ended. Called on the caller's thread, exactly
/// once a request, in any order, as soon as it is known; other transfers are in flight meanwhile. It must not start
/// other I/O on the same file.
using TransferDone = FunctionRef<void(std::size_t index, const Result<void>& result)>;

/// Makes every transfer of `requests`, all of each, at the file's depth. Errors: as transfer, each request by itself;
/// out_of_memory for one that must be tried again when there is no scratch for it.
void transfer_batch(IoFile& file, Scheduler& scheduler, std::span<const IoRequest> requests,
                    TransferDone done) noexcept;

/// fdatasync with the policy above. Errors: io_failure's.
[[nodiscard]] Result<void> sync_file(IoFile& file, Scheduler& scheduler) noexcept;

}  // namespace pagedb
