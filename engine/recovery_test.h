// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the tests of recovery share: a log that is a list, changes whose order and number show, and a store to redo on.
#pragma once

#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/pool/memory_store_test.h"
#include "engine/recovery.h"
#include "engine/thread_scheduler.h"

namespace pagedb::testing_support {

/// A log in memory. Bodies are handed out from one buffer, so that who keeps one sees it change.
class ListedLog final : public RedoSource {
 public:
  struct Record {
    RedoRecord record;
    std::vector<std::byte> body;
  };

  void add(RedoKind kind, std::uint64_t page, std::uint64_t lsn, std::uint64_t previous = 0,
           std::vector<std::byte> body = {}) {
    records.push_back(
        {{.kind = kind, .page = PageId{page}, .lsn = Lsn{lsn}, .previous = Lsn{previous}}, std::move(body)});
  }
  /// A change that mixes `value` into the page's first word: see mixed().
  void change(std::uint64_t page, std::uint64_t lsn, std::uint64_t previous, std::uint64_t value) {
    std::vector<std::byte> body(sizeof value);
    std::memcpy(body.data(), &value, sizeof value);
    add(RedoKind::change, page, lsn, previous, std::move(body));
  }
  /// An image whose first word is `value`.
  void image(std::uint64_t page, std::uint64_t lsn, std::uint64_t previous, std::uint64_t value) {
    std::vector<std::byte> body(4096);
    std::memcpy(body.data() + kPageHeaderBytes, &value, sizeof value);
    add(RedoKind::image, page, lsn, previous, std::move(body));
  }
  void rewind() { next_ = 0; }

  Result<std::optional<RedoRecord>> next() noexcept override {
    if (fails_at && next_ == *fails_at) return failure({.code = ErrorCode::io_error});
    if (next_ == records.size()) return std::nullopt;
    const Record& at = records[next_++];
    handed_out_ = at.body;
    RedoRecord record = at.record;
    record.body = handed_out_;
    return record;
  }

  std::vector<Record> records;
  std::optional<std::size_t> fails_at;

 private:
  std::size_t next_ = 0;
  std::vector<std::byte> handed_out_;
};

/// What a change of `value` makes of a word. Neither commutes nor is idempotent.
constexpr std::uint64_t mixed(std::uint64_t word, std::uint64_t value) { return word * 31 + value + 1; }

/// The change function for ListedLog::change.
inline Result<void> mix(const RedoRecord& record, std::span<std::byte> page) {
  std::uint64_t word = 0, value = 0;
  if (record.body.size() != sizeof value) {
    page[kPageHeaderBytes] ^= std::byte{0xFF};  // half of a change
    return failure({.code = ErrorCode::bad_length});
  }
  std::memcpy(&word, page.data() + kPageHeaderBytes, sizeof word);
  std::memcpy(&value, record.body.data(), sizeof value);
  word = mixed(word, value);
  std::memcpy(page.data() + kPageHeaderBytes, &word, sizeof word);
  return {};
}

/// Puts page `id` into `store`, durable, with an LSN and a first word.
inline void put_page(MemoryStore& store, std::uint64_t id, std::uint64_t lsn, std::uint64_t value) {
  std::vector<std::byte> page(store.page_size().bytes());
  set_page_lsn(page, Lsn{lsn});
  std::memcpy(page.data() + kPageHeaderBytes, &value, sizeof value);
  store.put(PageId{id}, page);
}

}  // namespace pagedb::testing_support
