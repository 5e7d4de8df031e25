// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The two ways to compute a page's checksum, which leaves out the four bytes in the header where it is kept.
//
// In pieces: the CRC32C of what stands before them, continued over what stands after them. Runs everywhere; but the
// second piece is no whole number of the blocks that ISA-L works in, and that makes it half as slow again as a page.
//
// In one pass: the CRC32C of the whole page, corrected. A CRC is linear: with A before the four bytes K and B after
// them,
//
//   crc(A B) = crc(A K B) xor (crc(A) xor crc(A K)) * x^(8 |B|)   modulo the polynomial
//
// and the correction is a dozen cycles that overlap with the pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pagedb::detail {

/// Checksum of `page`, which has at least a header.
[[nodiscard]] std::uint32_t page_crc_in_pieces(std::span<const std::byte> page) noexcept;

/// Checksum of `page`, which has one of the valid page sizes. Only where page_crc_has_one_pass().
[[nodiscard]] std::uint32_t page_crc_in_one_pass(std::span<const std::byte> page) noexcept;

/// Whether the CPU has the instructions for page_crc_in_one_pass.
[[nodiscard]] bool page_crc_has_one_pass() noexcept;

}  // namespace pagedb::detail
