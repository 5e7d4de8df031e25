// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Hostile text into the reader of device profiles: refused with one line, or a device that can exist.
#include <bit>
#include <string>
#include <string_view>

#include "faults/profile.h"
#include "fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pagedb::fuzz::require;
  const std::string_view text =
      size == 0 ? std::string_view{} : std::string_view(reinterpret_cast<const char*>(data), size);
  std::string error;
  const auto profile = pagedb::faults::parse_profile(text, error);
  if (!profile) {
    require(!error.empty() && error.find('\n') == std::string::npos, "a refusal that is not one line");
    return 0;
  }
  require(std::has_single_bit(profile->logical_sector_bytes) && std::has_single_bit(profile->physical_sector_bytes),
          "a sector size that is no power of two");
  require(profile->logical_sector_bytes <= profile->physical_sector_bytes,
          "a logical sector larger than the physical one");
  require(profile->atomic_write_bytes == 0 || std::has_single_bit(profile->atomic_write_bytes),
          "an atomic unit that is no power of two");
  require(profile->partition_offset_bytes % profile->logical_sector_bytes == 0,
          "a partition that begins within a logical sector");
  require(std::has_single_bit(profile->memory_align_bytes), "a memory alignment that is no power of two");
  require(profile->queue_depth > 0, "a device that takes no request");
  return 0;
}
