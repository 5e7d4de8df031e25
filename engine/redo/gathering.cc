// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The block: entries from its front, bodies from its end.
#include "engine/redo/gathering.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <tuple>

namespace pagedb::detail {

bool Gathering::reserve(std::size_t bytes) noexcept {
  bytes = bytes / sizeof(GatheredRecord) * sizeof(GatheredRecord);
  block_.reset(new (std::nothrow) std::byte[bytes]);  // not zeroed: what is not needed is never touched
  if (block_ == nullptr) return false;
  bytes_ = bodies_ = bytes;
  return true;
}

bool Gathering::add(const RedoRecord& record) noexcept {
  const std::size_t entries = (count_ + 1) * sizeof(GatheredRecord);
  constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (record.body.size() > kMost || count_ == kMost || entries > bodies_ || record.body.size() > bodies_ - entries)
    return false;
  bodies_ -= record.body.size();
  std::byte* const body = block_.get() + bodies_;
  if (!record.body.empty()) std::memcpy(body, record.body.data(), record.body.size());
  new (block_.get() + count_ * sizeof(GatheredRecord))
      GatheredRecord{.page = record.page,
                     .lsn = record.lsn,
                     .previous = record.previous,
                     .body = body,
                     .body_bytes = static_cast<std::uint32_t>(record.body.size()),
                     .order = static_cast<std::uint32_t>(count_),
                     .kind = record.kind};
  ++count_;
  return true;
}

void Gathering::sort() noexcept {
  std::sort(first(), first() + count_, [](const GatheredRecord& a, const GatheredRecord& b) {
    return std::tie(a.page, a.lsn, a.order) < std::tie(b.page, b.lsn, b.order);
  });
}

void Gathering::clear() noexcept {
  count_ = 0;
  bodies_ = bytes_;
}

GatheredRecord* Gathering::first() noexcept { return std::launder(reinterpret_cast<GatheredRecord*>(block_.get())); }

}  // namespace pagedb::detail
