// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// OdometerChoices: every outcome of the decisions of a bounded run, one run after another, depth first.
//
//   OdometerChoices choices;
//   do run(choices); while (choices.next());
//
// A run repeats a prefix of the run before, a digit a decision, takes the next value in the last digit that has one
// left, and decides the simplest from there on. Which decisions there are may depend on those before. The first run is
// all zeros; runs come in the order of their digits; no two are alike.
//
// A run must depend on its decisions alone. One that draws something else after the same prefix is noticed, and ends
// the enumeration: what was left out then is not known.
//
// For the sites that are not enumerated another source answers, by the key alone (PrngChoices, or zeros).
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "sim/choices.h"

namespace pagedb::sim {

/// Sites of decisions.
class SiteSet {
 public:
  SiteSet(std::initializer_list<Site> sites) noexcept {
    for (const Site site : sites) bits_.set(static_cast<std::size_t>(site));
  }
  [[nodiscard]] static SiteSet all() noexcept {
    SiteSet sites{};
    sites.bits_.set();
    return sites;
  }
  [[nodiscard]] bool contains(Site site) const noexcept { return bits_.test(static_cast<std::size_t>(site)); }

 private:
  std::bitset<kSiteCount> bits_;
};

/// Values that stand for all others: what the code that draws makes of a decision is the same for several of them.
/// Said for draws among exactly `n`, so that it does not outlive a change of that code unnoticed.
struct Representatives {
  Site site{};
  std::uint32_t n = 0;
  std::vector<std::uint32_t> values;  ///< at least one, each below n and once; tried in this order
};

/// What is enumerated, and how far.
struct OdometerOptions {
  static constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

  SiteSet sites = SiteSet::all();                  ///< these are enumerated
  std::vector<Representatives> representatives{};  ///< of these draws not every value is tried
  Choices* others = nullptr;                       ///< who answers at all other sites; null: zeros
  std::uint64_t runs_max = kNoLimit;               ///< after so many runs it stops, and is not complete
};

class OdometerChoices final : public Choices {
 public:
  explicit OdometerChoices(OdometerOptions options = {});
  OdometerChoices(const OdometerChoices&) = delete;
  OdometerChoices& operator=(const OdometerChoices&) = delete;

  /// Ends a run. True: another one is to be made. False: every outcome was had, or it stopped; see `complete`.
  [[nodiscard]] bool next();

  /// Every outcome was had.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  /// Empty as long as the same prefix drew the same; else one line about the first difference.
  [[nodiscard]] const std::string& mismatch() const noexcept { return mismatch_; }
  /// Runs that have ended.
  [[nodiscard]] std::uint64_t runs() const noexcept { return runs_; }
  /// The most decisions that were enumerated in one run.
  [[nodiscard]] std::size_t deepest() const noexcept { return deepest_; }
  /// The most values that were tried for one decision.
  [[nodiscard]] std::size_t widest() const noexcept { return widest_; }
  /// All of this as a line for people.
  [[nodiscard]] std::string statement() const;
  /// All decisions of the current run, or of the last one when there is no next: what ReplayChoices takes.
  [[nodiscard]] const std::vector<RecordedChoice>& log() const noexcept { return log_; }

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override;

 private:
  struct Digit {
    ChoiceKey key;
    std::uint32_t n = 0;
    const Representatives* tried = nullptr;  // null: every value
    std::uint32_t at = 0;                    // which of them

    [[nodiscard]] std::size_t count() const noexcept { return tried != nullptr ? tried->values.size() : n; }
    [[nodiscard]] std::uint32_t value() const noexcept { return tried != nullptr ? tried->values[at] : at; }
  };

  [[nodiscard]] std::uint32_t digit(const ChoiceKey& key, std::uint32_t n);
  void differs(const std::string& what);

  const OdometerOptions options_;
  std::vector<Digit> digits_;
  std::size_t depth_ = 0;  // digits that the current run has used
  std::vector<RecordedChoice> log_;
  std::uint64_t runs_ = 0;
  std::size_t deepest_ = 0;
  std::size_t widest_ = 0;
  bool over_ = false;
  bool complete_ = false;
  std::string mismatch_;
};

}  // namespace pagedb::sim
