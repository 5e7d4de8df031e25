// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PAGEDB_CHECK: aborts on a programmer error, in every build type.
//
// For broken contracts of the caller only. Bytes that came from a disk are never checked this way:
// they are hostile, and a hostile file must give a typed error (engine/error.h), not an abort.
#pragma once

namespace pagedb::detail {

/// Prints `file:line: contract broken: expression (reason)` on standard error and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression, const char* reason) noexcept;

}  // namespace pagedb::detail

/// Aborts with a message unless `condition` holds. `reason` says, for the person who reads the abort, which rule was
/// broken.
#define PAGEDB_CHECK(condition, reason)                \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::pagedb::detail::check_failed(__FILE__, __LINE__, #condition, (reason)))
