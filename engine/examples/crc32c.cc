// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: CRC32C of bytes at once, and of the same bytes as they arrive in pieces.
#include "engine/crc32c.h"

#include <cstdio>
#include <string_view>

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

int main() {
  const std::uint32_t whole = pagedb::crc32c(bytes_of("123456789"));
  std::printf("%08x\n", whole);
  std::uint32_t pieces = 0;
  for (const std::string_view piece : {"1234", "", "56789"}) pieces = pagedb::crc32c_extend(pieces, bytes_of(piece));
  return whole == 0xE3069283 && pieces == whole ? 0 : 1;
}
