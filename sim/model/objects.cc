// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A hash table with linear probing whose entries age instead of being erased.
#include "sim/model/objects.h"

#include <bit>
#include <utility>

namespace pagedb::sim::model {

void Objects::clear() noexcept {
  ++age_;
  used_ = 0;
  ids_.clear();
  ids_.push_back(0);  // object 0 is nothing
  for (std::uint32_t& count : made_) count = 0;
  if (!names_.empty()) names_.clear();
}

Objects::Slot& Objects::slot_of(const void* address) {
  if (used_ * 2 >= slots_.size()) grow();
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = mixed(std::bit_cast<std::uintptr_t>(address)) & mask;
  while (slots_[i].age == age_ && slots_[i].address != address) i = (i + 1) & mask;
  return slots_[i];
}

void Objects::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  used_ = 0;
  for (const Slot& slot : old) {
    if (slot.age != age_) continue;
    slot_of(slot.address) = slot;
    ++used_;
  }
}

std::uint32_t Objects::born(const void* address, TaskIndex task) {
  Slot& slot = slot_of(address);
  if (slot.age != age_) ++used_;
  slot = {address, static_cast<std::uint32_t>(ids_.size()), age_};
  ids_.push_back(mixed(task + 1, ++made_[task]));
  return slot.object;
}

std::uint32_t Objects::at(const void* address, TaskIndex task) {
  const Slot& slot = slot_of(address);
  return slot.age == age_ ? slot.object : born(address, task);
}

std::string Objects::name_of(std::uint32_t object) const {
  if (object == 0) return "";
  const auto found = names_.find(object);
  return found != names_.end() ? found->second : "w" + std::to_string(object);
}

}  // namespace pagedb::sim::model
