// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// DeviceProfile: what is assumed of a device. The simulated disk does exactly this, no better and no worse.
//
// Profiles are data: TOML files in faults/profiles/, built into the programs so that they run anywhere, and readable
// from a path for profiles of your own. faults/README.md says what each field stands for in hardware.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pagedb::faults {

/// What a failed flush leaves of the data it did not write.
enum class FailedFlush : std::uint8_t {
  drop,  ///< the cache forgets it and counts it as clean (what Linux page caches and several drives do)
  keep,  ///< it stays in the cache; a later flush may write it
};

/// A block device with its volatile cache, seen from a file system that passes I/O through.
struct DeviceProfile {
  std::string name;                           ///< as given on the command line
  std::string summary;                        ///< one line for people
  std::uint32_t logical_sector_bytes = 512;   ///< alignment of offsets and lengths; the unit that a read can fail in
  std::uint32_t physical_sector_bytes = 512;  ///< what the medium writes; smaller writes are read-modify-writes of it
  std::uint64_t partition_offset_bytes = 0;   ///< where file offset 0 stands on the device, modulo the physical sector
  std::uint32_t atomic_write_bytes =
      0;  ///< aligned power-of-two writes up to this size cannot tear; 0: the physical sector only
  std::uint32_t memory_align_bytes = 512;  ///< alignment asked of request memory
  bool volatile_cache = true;              ///< an acknowledged write may be lost until a sync
  bool power_loss_protection = false;      ///< the cache survives power loss: acknowledged means durable
  std::uint32_t queue_depth = 32;          ///< requests in flight
  std::uint32_t read_latency_ns = 80'000;  ///< of one request; a jitter of up to the same again is added
  std::uint32_t write_latency_ns = 20'000;
  std::uint32_t sync_latency_ns = 500'000;
  FailedFlush failed_flush = FailedFlush::drop;
  bool crash_tears = true;        ///< a crash may keep some fate units of a request and lose others
  bool crash_garbles = false;     ///< a crash may leave garbage in a fate unit that was being written
  bool crash_unreadable = false;  ///< a crash may leave a fate unit that was being written unreadable
};

/// Names of the built-in profiles, sorted.
[[nodiscard]] std::vector<std::string_view> profile_names();

/// The built-in profile of that name.
[[nodiscard]] std::optional<DeviceProfile> find_profile(std::string_view name);

/// Reads a profile from TOML text. Unknown keys, wrong types and impossible combinations are errors: nothing is
/// returned and `error` is one line that says what is wrong.
[[nodiscard]] std::optional<DeviceProfile> parse_profile(std::string_view toml, std::string& error);

/// A built-in profile's name, or the path of a TOML file. On failure nothing is returned and `error` is one line.
[[nodiscard]] std::optional<DeviceProfile> load_profile(const std::string& name_or_path, std::string& error);

}  // namespace pagedb::faults
