// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Obligations: what each fault obliges the engine to, per page, in one table.
//
// Faults act on pages through few states of the medium; the table is over those. A fault that only delays or fails a
// call (errors, stalls) is always "must survive": the right error reaches the caller and the engine stays usable or
// says that it is poisoned; that is no question of pages.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pagedb::faults {

/// What the medium holds in a page's place.
enum class PageState : std::uint8_t {
  intact,      ///< one legal version, whole
  torn,        ///< sectors of several legal versions: torn write
  damaged,     ///< bytes that nobody wrote: bit rot, neighbour damage, garbage
  unreadable,  ///< the device answers EIO: latent sector error, neighbour damage
  foreign,     ///< another page's bytes: the target of a misdirected write
  stale,       ///< an older version, whole: the page that a misdirected write was meant for
  absent,      ///< zeros, or past the end of the file, though a version was durable
  count_,
};

/// What else could supply the page.
enum class Protection : std::uint8_t {
  none,         ///< nothing: the page is its own only copy
  full_images,  ///< a log holds the page's last image, durably
  changes,      ///< a log holds what changed since, durably, and no image: whole pages that are not too old come back
  count_,
};

/// What the engine owes its user.
enum class Obligation : std::uint8_t {
  must_recover,  ///< an Ok read of a legal version
  must_detect,   ///< that, or an error that names the damage
  excused,       ///< no surviving evidence: an Ok read of the stale version is accepted, counted apart and printed
};

/// The table. Rows: PageState; columns: Protection.
inline constexpr std::array<std::array<Obligation, static_cast<std::size_t>(Protection::count_)>,
                            static_cast<std::size_t>(PageState::count_)>
    kObligations = {{
        /* intact     */ {Obligation::must_recover, Obligation::must_recover, Obligation::must_recover},
        /* torn       */ {Obligation::must_detect, Obligation::must_recover, Obligation::must_detect},
        /* damaged    */ {Obligation::must_detect, Obligation::must_recover, Obligation::must_detect},
        /* unreadable */ {Obligation::must_detect, Obligation::must_recover, Obligation::must_detect},
        /* foreign    */ {Obligation::must_detect, Obligation::must_recover, Obligation::must_detect},
        /* stale      */ {Obligation::excused, Obligation::must_recover, Obligation::must_detect},
        /* absent     */ {Obligation::must_detect, Obligation::must_recover, Obligation::must_detect},
    }};

/// What the engine owes for a page in `state` under `protection`.
[[nodiscard]] constexpr Obligation obligation(PageState state, Protection protection) noexcept {
  return kObligations[static_cast<std::size_t>(state)][static_cast<std::size_t>(protection)];
}

/// The state's name as it stands in the enumeration.
[[nodiscard]] constexpr std::string_view name(PageState state) noexcept {
  constexpr std::string_view kNames[] = {"intact", "torn", "damaged", "unreadable", "foreign", "stale", "absent"};
  return kNames[static_cast<std::size_t>(state)];
}

}  // namespace pagedb::faults
