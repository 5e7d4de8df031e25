// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Gathering: records of the log in one block of memory, to be redone page by page.
//
// Entries grow from the block's front, the bytes they carry from its end. Not thread-safe while records are added;
// afterwards tasks may work on different groups at once (a group: the entries of one page).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/log.h"
#include "engine/recovery.h"
#include "engine/types.h"

namespace pagedb::detail {

/// A record that was gathered. The first of a page's also carries what became of the page.
struct GatheredRecord {
  PageId page{};
  Lsn lsn{};
  Lsn previous{};
  const std::byte* body = nullptr;
  std::uint32_t body_bytes = 0;
  std::uint32_t order = 0;  ///< of arrival
  RedoKind kind{};
  RedoDamage why{};     ///< of the page
  ErrorCode error{};    ///< of the page
  bool healed = false;  ///< of the page: an image was installed
  bool lost = false;    ///< of the page: it was found below its previous LSN
  Lsn found{};          ///< of the page, where it is damaged
  Lsn needed{};         ///< of the page, where it is damaged

  [[nodiscard]] RedoRecord record() const noexcept {
    return {.kind = kind, .page = page, .lsn = lsn, .previous = previous, .body = {body, body_bytes}};
  }
};

class Gathering {
 public:
  /// Takes hold of `bytes` of memory. False: there is not that much.
  [[nodiscard]] bool reserve(std::size_t bytes) noexcept;
  /// Adds a copy of `record`. False when there is no room for it.
  [[nodiscard]] bool add(const RedoRecord& record) noexcept;
  /// Sorts by page, then LSN, then arrival.
  void sort() noexcept;
  [[nodiscard]] std::span<GatheredRecord> records() noexcept { return {first(), count_}; }
  [[nodiscard]] std::size_t capacity() const noexcept { return bytes_; }
  void clear() noexcept;

 private:
  [[nodiscard]] GatheredRecord* first() noexcept;

  std::unique_ptr<std::byte[]> block_;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
  std::size_t bodies_ = 0;  // where the lowest body begins
};

}  // namespace pagedb::detail
