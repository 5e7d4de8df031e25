// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The built-in profiles as text. The definition is generated from faults/profiles/*.toml when the build is configured.
#pragma once

#include <span>
#include <string_view>

namespace pagedb::faults {

struct BuiltinProfile {
  std::string_view name;  ///< file name without ".toml"
  std::string_view toml;  ///< the file's text
};

/// All of them.
[[nodiscard]] std::span<const BuiltinProfile> builtin_profiles() noexcept;

}  // namespace pagedb::faults
