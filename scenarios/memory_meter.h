// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Memory meter: how many bytes this thread has asked the allocator for, so that `bounded` can judge a recovery's
// memory.
//
// Counts operator new and aligned_alloc, which is all that the engine uses: by replacing the first and having the
// linker wrap the second (CMakeLists.txt), or through the sanitizers' own hooks where they bring their own operator
// new. What is counted is the sum of all requests, never less than the peak.
#pragma once

#include <cstdint>

namespace pagedb::scenarios {

/// Bytes requested by the calling thread since it first asked.
[[nodiscard]] std::uint64_t allocated_bytes() noexcept;

}  // namespace pagedb::scenarios
