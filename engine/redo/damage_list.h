// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// DamageList: the pages that are not what the log says, from one gathering to the next. An image heals them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/recovery.h"
#include "engine/redo/gathering.h"

namespace pagedb::detail {

class DamageList {
 public:
  /// Takes what became of the pages of `records`, a gathering that was redone. False: no memory, or more than
  /// `bytes_max` would be needed.
  [[nodiscard]] bool take(std::span<const GatheredRecord> records, std::size_t bytes_max) noexcept;
  /// Pages that were ever found to have lost a write.
  [[nodiscard]] std::uint64_t lost_writes() const noexcept { return lost_writes_; }
  /// The pages, in order; they are the caller's from then on.
  [[nodiscard]] std::vector<DamagedPage> release() noexcept { return std::move(pages_); }

 private:
  std::vector<DamagedPage> pages_;  // in order
  std::vector<DamagedPage> merged_;
  std::uint64_t lost_writes_ = 0;
};

}  // namespace pagedb::detail
