// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Choices: where every decision of a simulated run comes from.
//
// A decision is a small integer in [0, n), drawn under a key: (span, site, occurrence within the span). A span is born
// with the thing it belongs to (a run, a fiber, an operation, an I/O, a crash), and its id follows from its parent's id
// and its ordinal, so deleting one thing leaves the keys of the others alone. Zero is always the simplest outcome:
// stop, no fault, same fiber, nothing lost. Sources: PrngChoices (campaigns), RecordingChoices and ReplayChoices (a log
// of keys, replayed strictly), ByteChoices (a fuzzer's input), OdometerChoices (every outcome of a bounded run;
// sim/odometer.h). More can be added behind the same interface: an edited log for shrinking.
//
// Not thread-safe: a run is single-threaded by construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pagedb::sim {

/// Where in a run a decision is made. Append only: the numbers stand in recorded logs.
enum class Site : std::uint8_t {
  // scheduler and disk
  next_fiber,    ///< which ready fiber runs next
  io_latency,    ///< how long a request takes
  io_fault,      ///< whether, and which, fault hits a request
  fault_detail,  ///< where and how exactly (sector, bit, errno, target)
  overlap,       ///< old or new sector for a read that races a write
  // crash
  crash_mode,       ///< which family of fates a crash draws from
  request_fate,     ///< whole, lost or torn
  unit_fate,        ///< one fate unit: kept, lost, damaged
  length_fate,      ///< which length or directory entry survived
  nested_boundary,  ///< at which boundary of a recovery the nested crash comes
  media_fault,      ///< rot and latent errors while the power was off
  // workload
  op_kind,     ///< what a workload does next
  op_page,     ///< on which page
  op_size,     ///< on how many pages
  op_value,    ///< with which contents
  think_time,  ///< pause between operations
  plan,        ///< run-wide set-up of a scenario (swarm)
  count_,      ///< number of sites
};
inline constexpr std::size_t kSiteCount = static_cast<std::size_t>(Site::count_);

/// The site's name as it stands in the enumeration.
[[nodiscard]] std::string_view name(Site site) noexcept;

/// What a decision is drawn under.
struct ChoiceKey {
  std::uint64_t span = 0;
  std::uint32_t occurrence = 0;
  Site site{};
  friend bool operator==(const ChoiceKey&, const ChoiceKey&) = default;
};

/// Identity and per-site counters of one thing that makes decisions.
class Span {
 public:
  /// The root span of a run.
  Span() = default;
  /// The `ordinal`-th child of `parent` that is of kind `kind` (any small number that tells the kinds of children
  /// apart).
  Span(const Span& parent, std::uint32_t kind, std::uint64_t ordinal) noexcept : id_(mix(parent.id_, kind, ordinal)) {}

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

 private:
  friend class Choices;
  /// Two rounds of the splitmix64 finalizer (Stafford's variant 13 of its constants), one a coordinate: siblings of a
  /// kind never collide, others only by chance.
  static constexpr std::uint64_t mix(std::uint64_t parent, std::uint64_t kind, std::uint64_t ordinal) noexcept {
    return scramble(scramble(parent + (kind + 1) * 0x9e3779b97f4a7c15u) + ordinal * 0xd1342543de82ef95u);
  }
  static constexpr std::uint64_t scramble(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  std::uint64_t id_ = 0x9e3779b97f4a7c15u;
  std::array<std::uint32_t, kSiteCount> next_{};
};

/// A source of decisions.
class Choices {
 public:
  virtual ~Choices() = default;

  /// The next decision of `span` at `site`, in [0, n). n is at least 1; n == 1 is no decision and draws nothing.
  /// One draw a full expression: the order in which arguments are evaluated differs between compilers.
  [[nodiscard]] std::uint32_t draw(Span& span, Site site, std::uint32_t n) {
    if (n <= 1) return 0;
    return choose({span.id_, span.next_[static_cast<std::size_t>(site)]++, site}, n);
  }

  /// True with probability `numerator` / `denominator`; false is the simple outcome (draws of 0 give false).
  [[nodiscard]] bool chance(Span& span, Site site, std::uint32_t numerator, std::uint32_t denominator) {
    if (numerator == 0) return false;
    return draw(span, site, denominator) >= denominator - numerator;
  }

 protected:
  /// The decision under `key`, in [0, n); n is at least 2.
  [[nodiscard]] virtual std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) = 0;
  /// Asks another source, for sources that wrap one.
  [[nodiscard]] static std::uint32_t choose_from(Choices& source, const ChoiceKey& key, std::uint32_t n) {
    return source.choose(key, n);
  }
};

/// Counter-based PRNG (Philox 4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11) over (seed,
/// key): a decision depends on nothing but its key, so one new draw does not shift the others.
class PrngChoices final : public Choices {
 public:
  explicit PrngChoices(std::uint64_t seed) noexcept : seed_(seed) {}

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override;

 private:
  std::uint64_t seed_;
};

/// One decision of a recorded run.
struct RecordedChoice {
  ChoiceKey key;
  std::uint32_t n = 0;
  std::uint32_t value = 0;
};

/// Passes decisions through from another source and keeps a log of them, in draw order.
class RecordingChoices final : public Choices {
 public:
  explicit RecordingChoices(Choices& source) noexcept : source_(source) {}
  [[nodiscard]] const std::vector<RecordedChoice>& log() const noexcept { return log_; }

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override;

 private:
  Choices& source_;
  std::vector<RecordedChoice> log_;
};

/// Strict replay of a log: every draw must be the log's next entry (key and n). The first that is not is remembered,
/// and zeros follow.
class ReplayChoices final : public Choices {
 public:
  explicit ReplayChoices(std::vector<RecordedChoice> log) noexcept : log_(std::move(log)) {}
  /// Empty while draws and log agree and, once `finish` was called, when the whole log was used; else one line about
  /// the first difference.
  [[nodiscard]] const std::string& mismatch() const noexcept { return mismatch_; }
  /// Says that the run has ended: unused entries are a mismatch.
  void finish();

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override;

 private:
  std::vector<RecordedChoice> log_;
  std::size_t next_ = 0;
  std::string mismatch_;
};

/// Decisions from a fuzzer's bytes: the fewest little-endian bytes that can tell n values apart (1, 2 or 4), modulo n.
/// Exhausted bytes read as zero.
class ByteChoices final : public Choices {
 public:
  explicit ByteChoices(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override;

 private:
  std::span<const std::uint8_t> bytes_;
};

/// Text form of a log, a line a decision (`span-in-hex site occurrence n value`): what a `.choices` file holds after
/// its header.
[[nodiscard]] std::string to_text(std::span<const RecordedChoice> log);
/// Reads to_text's form back into `log`. On a malformed line: false, `log` is empty, and `error` names the line and
/// what is wrong with it.
[[nodiscard]] bool from_text(std::string_view text, std::vector<RecordedChoice>& log, std::string& error);

}  // namespace pagedb::sim
