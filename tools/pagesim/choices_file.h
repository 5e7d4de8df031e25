// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// `.choices` files: a recorded run that replays bit for bit, whatever becomes of the generator behind the seed.
//
//   pagedb-choices 1
//   scenario page_file_crash
//   seed 17
//   profile nvme-512
//   branch 12            (the only crash branch recorded, or `all`)
//   choices
//   ...                  (a line a decision; sim/choices.h)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/choices.h"

namespace pagedb::pagesim {

struct ChoicesFile {
  std::string scenario;
  std::uint64_t seed = 0;
  std::string profile;
  std::optional<std::uint64_t> branch;  ///< nothing: all
  std::vector<sim::RecordedChoice> log;
};

[[nodiscard]] std::string to_text(const ChoicesFile& file);

/// Reads to_text's form. Nothing: `error` says in one line which line is wrong and how.
[[nodiscard]] std::optional<ChoicesFile> parse_choices_file(std::string_view text, std::string& error);

}  // namespace pagedb::pagesim
