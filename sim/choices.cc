// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The sources of decisions that choices.h declares. Their text form is in choices_text.cc.
#include "sim/choices.h"

#include <cstdio>

#include "engine/check.h"
#include "sim/philox.h"
#include "sim/sanitizer.h"

namespace pagedb::sim {

namespace {

std::string at(std::size_t decision) { return "decision " + std::to_string(decision) + ": "; }

std::string in_words(const ChoiceKey& key, std::uint32_t n) {
  std::array<char, 17> span{};
  std::snprintf(span.data(), span.size(), "%016llx", static_cast<unsigned long long>(key.span));
  return std::string(name(key.site)) + " number " + std::to_string(key.occurrence) + " of span " + span.data() +
         " among " + std::to_string(n);
}

}  // namespace

std::string_view name(Site site) noexcept {
  static constexpr std::array<std::string_view, kSiteCount> kNames = {
      "next_fiber",   "io_latency", "io_fault",    "fault_detail",    "overlap",     "crash_mode",
      "request_fate", "unit_fate",  "length_fate", "nested_boundary", "media_fault", "op_kind",
      "op_page",      "op_size",    "op_value",    "think_time",      "plan"};
  static_assert(!kNames.back().empty(), "a site has no name");
  const auto index = static_cast<std::size_t>(site);
  PAGEDB_CHECK(index < kSiteCount, "no such site");
  return kNames[index];
}

std::uint32_t PrngChoices::choose(const ChoiceKey& key, std::uint32_t n) {
  const std::uint32_t word =
      philox4x32_10({static_cast<std::uint32_t>(key.span), static_cast<std::uint32_t>(key.span >> 32), key.occurrence,
                     static_cast<std::uint32_t>(key.site)},
                    {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)})[0];
  // Multiply and shift: biased by less than n in 2^32, which no campaign can notice, and it never rejects.
  return static_cast<std::uint32_t>((std::uint64_t{word} * n) >> 32);
}

std::uint32_t RecordingChoices::choose(const ChoiceKey& key, std::uint32_t n) {
  const HarnessScope scope;
  const std::uint32_t value = choose_from(source_, key, n);
  log_.push_back({key, n, value});
  return value;
}

std::uint32_t ReplayChoices::choose(const ChoiceKey& key, std::uint32_t n) {
  const HarnessScope scope;
  if (!mismatch_.empty()) return 0;
  if (next_ == log_.size()) {
    mismatch_ = at(next_) + "the log has ended, the run asks for " + in_words(key, n);
    return 0;
  }
  const RecordedChoice& logged = log_[next_];
  if (logged.key != key || logged.n != n) {
    mismatch_ = at(next_) + "the log has " + in_words(logged.key, logged.n) + ", the run asks for " + in_words(key, n);
    return 0;
  }
  if (logged.value >= n) {
    mismatch_ = at(next_) + "the log answers " + in_words(key, n) + " with " + std::to_string(logged.value);
    return 0;
  }
  ++next_;
  return logged.value;
}

void ReplayChoices::finish() {
  const HarnessScope scope;
  if (!mismatch_.empty() || next_ == log_.size()) return;
  mismatch_ = at(next_) + "the run has ended, the log goes on with " + in_words(log_[next_].key, log_[next_].n);
}

std::uint32_t ByteChoices::choose(const ChoiceKey&, std::uint32_t n) {
  const HarnessScope scope;
  const std::size_t width = n <= 0x100 ? 1 : n <= 0x10000 ? 2 : 4;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < width && !bytes_.empty(); ++i) {
    value |= std::uint32_t{bytes_.front()} << (8 * i);
    bytes_ = bytes_.subspan(1);
  }
  return value % n;
}

}  // namespace pagedb::sim
