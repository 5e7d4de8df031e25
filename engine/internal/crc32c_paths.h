// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The two ways to compute CRC32C, each callable by itself: engine/crc32c.h chooses between them, tests and benchmarks
// compare them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pagedb::detail {

/// A way to compute CRC32C, as crc32c_extend does.
using Crc32cPath = std::uint32_t (*)(std::uint32_t crc, std::span<const std::byte> bytes) noexcept;

/// One table look-up a byte; runs everywhere.
[[nodiscard]] std::uint32_t crc32c_portable(std::uint32_t crc, std::span<const std::byte> bytes) noexcept;

/// ISA-L, which is quick only where crc32c_has_instructions() holds.
[[nodiscard]] std::uint32_t crc32c_isal(std::uint32_t crc, std::span<const std::byte> bytes) noexcept;

/// Whether the CPU has the instructions that make crc32c_isal quick.
[[nodiscard]] bool crc32c_has_instructions() noexcept;

}  // namespace pagedb::detail
