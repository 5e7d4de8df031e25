// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// raise_to: the largest value that anybody ever gave a shared word.
#pragma once

#include "engine/sync.h"

namespace pagedb::detail {

/// Makes `word` at least `value`. What happened before is visible to whoever then reads `value` or more with acquire.
template <class T>
void raise_to(sync::Atomic<T>& word, T value) noexcept {
  T seen = word.load(std::memory_order_relaxed);
  while (seen < value && !word.compare_exchange_weak(seen, value, std::memory_order_acq_rel)) {
  }
}

}  // namespace pagedb::detail
