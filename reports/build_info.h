// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// BuildInfo: which build wrote a report. Two reports are comparable only when they agree in it.
#pragma once

#include <string_view>

namespace pagedb::reports {

struct BuildInfo {
  std::string_view version;     ///< of page-db, for example "0.1.0"
  std::string_view compiler;    ///< for example "GNU 12.2.0"
  std::string_view build_type;  ///< for example "Release"
  std::string_view sanitizer;   ///< "none", "address" or "thread"
};

/// This build.
[[nodiscard]] const BuildInfo& build_info() noexcept;

}  // namespace pagedb::reports
