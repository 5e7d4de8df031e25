// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Small things that text reports are made of: grouped numbers, aligned tables, colours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pagedb::reports {

/// 1234567 as "1,234,567".
[[nodiscard]] std::string grouped(std::uint64_t number);

/// A 64-bit hash as "0x" and 16 hexadecimal digits.
[[nodiscard]] std::string hash_text(std::uint64_t hash);

/// Rows of cells in aligned columns: the first `left_columns` to the left, the others to the right.
class Table {
 public:
  explicit Table(std::size_t left_columns) : left_columns_(left_columns) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// The rows, each with a line end; columns two blanks apart.
  [[nodiscard]] std::string text() const;

 private:
  std::size_t left_columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// How text may look.
enum class Colour : std::uint8_t { none, bold, dim, red, green, yellow };

/// `text` in that colour when `on`.
[[nodiscard]] std::string paint(std::string_view text, Colour colour, bool on);

/// Whether output on this descriptor should be coloured: it is a terminal that knows how, and NO_COLOR is not set.
[[nodiscard]] bool wants_colour(int descriptor);

}  // namespace pagedb::reports
