// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// One merge of two sorted lists a gathering.
#include "engine/redo/damage_list.h"

#include <new>
#include <utility>

namespace pagedb::detail {

bool DamageList::take(std::span<const GatheredRecord> records, std::size_t bytes_max) noexcept {
  try {
    merged_.clear();
    auto known = pages_.begin();
    for (std::size_t i = 0; i < records.size(); ++i) {
      const GatheredRecord& page = records[i];
      if (i > 0 && page.page == records[i - 1].page) continue;
      while (known != pages_.end() && known->page < page.page) merged_.push_back(*known++);
      const bool was_known = known != pages_.end() && known->page == page.page;
      const DamagedPage before = was_known ? *known++ : DamagedPage{};
      if (page.lost && before.why != RedoDamage::lost_write) ++lost_writes_;
      if (was_known && !page.healed) {
        merged_.push_back(before);
      } else if (page.why != RedoDamage::none) {
        merged_.push_back(
            {.page = page.page, .why = page.why, .error = page.error, .found = page.found, .needed = page.needed});
      }
    }
    merged_.insert(merged_.end(), known, pages_.end());
    if (merged_.size() * sizeof(DamagedPage) > bytes_max) return false;
    std::swap(pages_, merged_);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace pagedb::detail
