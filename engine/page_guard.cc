// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What guards do seldom: changing into one another, and LSNs.
#include "engine/page_guard.h"

namespace pagedb {

ExclusiveGuard SharedGuard::try_upgrade() noexcept {
  detail::FrameTable& table = *held().table_;
  if (!table.may_write(frame_) || !table.try_upgrade(frame_)) return {};
  table_ = nullptr;
  return {table, frame_};
}

SharedGuard ExclusiveGuard::downgrade() noexcept {
  detail::FrameTable& held_table = table();
  held_table.downgrade(frame_, std::exchange(changing_, false));
  table_ = nullptr;
  return {held_table, frame_};
}

void ExclusiveGuard::set_lsn(Lsn lsn) noexcept {
  PAGEDB_CHECK(lsn >= this->lsn(), "a page's LSN never goes back");
  set_page_lsn(write(), lsn);
}

bool ExclusiveGuard::full_image_due() const noexcept {
  const Lsn current = lsn();
  return current.value == 0 || current < table().image_horizon();
}

SharedGuard OptimisticGuard::try_shared() const noexcept {
  PAGEDB_CHECK(table_ != nullptr, "an empty guard has no page");
  const PageId id = table_->page_of(frame_);
  if (id.value == detail::kNoPage || !table_->try_share(frame_, id)) return {};
  SharedGuard guard(*table_, frame_);
  if (!table_->unchanged_since(frame_, version_)) return {};
  return guard;
}

ExclusiveGuard OptimisticGuard::try_exclusive() const noexcept {
  PAGEDB_CHECK(table_ != nullptr, "an empty guard has no page");
  const PageId id = table_->page_of(frame_);
  if (id.value == detail::kNoPage || !table_->may_write(frame_) || !table_->try_exclude(frame_, id)) return {};
  ExclusiveGuard guard(*table_, frame_);
  if (!table_->unchanged_since(frame_, version_)) return {};
  return guard;
}

}  // namespace pagedb
