// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Memory meter: how many bytes this thread has asked the allocator for, so that `bounded` can judge a recovery's
// memory.
//
// Counts operator new (replaced in memory_meter.cc) and aligned_alloc (wrapped by the linker, see CMakeLists.txt),
// which is all that the engine uses. What is counted is the sum of all requests, never less than the peak.
#pragma once

#include <cstdint>

namespace pagedb::scenarios {

/// Bytes requested by the calling thread since it started.
[[nodiscard]] std::uint64_t allocated_bytes() noexcept;

}  // namespace pagedb::scenarios
