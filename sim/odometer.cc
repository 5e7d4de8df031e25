// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "sim/odometer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "sim/sanitizer.h"

namespace pagedb::sim {
namespace {

std::string in_words(const ChoiceKey& key, std::uint32_t n) {
  return fmt::format("{} number {} of span {:016x} among {}", name(key.site), key.occurrence, key.span, n);
}

}  // namespace

OdometerChoices::OdometerChoices(OdometerOptions options) : options_(std::move(options)) {
  for (const Representatives& some : options_.representatives) {
    PAGEDB_CHECK(!some.values.empty(), "something stands for the values of a decision");
    for (const std::uint32_t value : some.values) PAGEDB_CHECK(value < some.n, "a value stands for others of its kind");
  }
}

std::uint32_t OdometerChoices::choose(const ChoiceKey& key, std::uint32_t n) {
  const HarnessScope scope;
  std::uint32_t value = 0;
  if (options_.sites.contains(key.site)) {
    value = digit(key, n);
  } else if (options_.others != nullptr) {
    value = choose_from(*options_.others, key, n);
  }
  log_.push_back({key, n, value});
  return value;
}

std::uint32_t OdometerChoices::digit(const ChoiceKey& key, std::uint32_t n) {
  if (!mismatch_.empty()) return 0;
  if (depth_ == digits_.size()) {
    const auto tried = std::find_if(options_.representatives.begin(), options_.representatives.end(),
                                    [&](const Representatives& some) { return some.site == key.site && some.n == n; });
    digits_.push_back({.key = key, .n = n, .tried = tried != options_.representatives.end() ? &*tried : nullptr});
    widest_ = std::max(widest_, digits_.back().count());
  }
  const Digit& here = digits_[depth_];
  if (here.key != key || here.n != n) {
    differs(fmt::format("an earlier run drew {}, this one {}", in_words(here.key, here.n), in_words(key, n)));
    return 0;
  }
  ++depth_;
  return here.value();
}

void OdometerChoices::differs(const std::string& what) {
  mismatch_ = fmt::format("run {}, decision {}: {}", runs_ + 1, depth_, what);
}

bool OdometerChoices::next() {
  const HarnessScope scope;
  if (over_) return false;
  if (mismatch_.empty() && depth_ != digits_.size()) {
    const Digit& missing = digits_[depth_];
    differs(fmt::format("an earlier run drew {}, this one has ended", in_words(missing.key, missing.n)));
  }
  ++runs_;
  deepest_ = std::max(deepest_, depth_);
  over_ = true;
  if (!mismatch_.empty()) return false;
  while (!digits_.empty() && digits_.back().at + 1 == digits_.back().count()) digits_.pop_back();
  complete_ = digits_.empty();
  if (complete_ || runs_ >= options_.runs_max) return false;
  over_ = false;
  ++digits_.back().at;
  depth_ = 0;
  log_.clear();
  return true;
}

std::string OdometerChoices::statement() const {
  const std::string so_far = fmt::format("{} runs, at most {} decisions deep, widest {}", runs_, deepest_, widest_);
  if (complete_) return "complete: " + so_far;
  if (!mismatch_.empty()) return fmt::format("not complete: {}; {}", mismatch_, so_far);
  return fmt::format("not complete: {} after {}", over_ ? "stopped" : "under way", so_far);
}

}  // namespace pagedb::sim
