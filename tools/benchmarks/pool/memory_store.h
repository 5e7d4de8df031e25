// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// MemoryStore: a PageStore without a disk, so that pools of any size are filled in no time.
//
// A page that is read has a header and, behind it, whatever its frame held; a page that is written is forgotten. So a
// frame's memory is touched at its first bytes only.
#pragma once

#include <cstring>

#include "engine/page_store.h"

namespace pagedb::bench {

/// See the head of this file.
class MemoryStore final : public PageStore {
 public:
  Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override {
    PageHeader header;
    header.magic = kPageMagic;
    header.version = kPageVersion;
    header.page_id = id.value;
    std::memcpy(page.data(), &header, sizeof header);
    return header;
  }
  Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    for (PageIo& io : batch) {
      static_cast<void>(read(io.id, io.page));
      io.result = {};
      done(io);
    }
    return {};
  }
  Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    for (PageIo& io : batch) {
      io.result = {};
      done(io);
    }
    return {};
  }
  Result<void> sync() noexcept override { return {}; }
  Result<void> commit_redo_from(Lsn) noexcept override { return {}; }
  Result<void> may_write(PageId) const noexcept override { return {}; }
  bool poisoned() const noexcept override { return false; }
  PageSize page_size() const noexcept override { return {}; }
  IoLimits limits() const noexcept override { return {.queue_depth = 64}; }
};

}  // namespace pagedb::bench
