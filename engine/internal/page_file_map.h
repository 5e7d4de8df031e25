// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageFileMap: a PageFile as the store of an allocation map.
#pragma once

#include "engine/alloc/allocation_store.h"
#include "engine/page_file.h"

namespace pagedb::detail {

/// See the head of this file. A part of PageFile::State.
class PageFileMap final : public AllocationStore {
 public:
  explicit PageFileMap(PageFile::State& file) noexcept : file_(file) {}

  Scheduler& scheduler() noexcept override;
  [[nodiscard]] PageSize page_size() const noexcept override;
  [[nodiscard]] const sync::Atomic<bool>& poisoned() const noexcept override;
  [[nodiscard]] bool writable() const noexcept override;
  [[nodiscard]] AllocationRoot root() const noexcept override;
  void attach(CommitParticipant& participant) noexcept override;
  void detach() noexcept override;
  [[nodiscard]] Result<PageHeader> read_node(PageId id, std::span<std::byte> page) noexcept override;
  [[nodiscard]] Result<void> write_nodes(std::span<PageIo> batch) noexcept override;
  [[nodiscard]] Result<void> commit() noexcept override;
  [[nodiscard]] Result<void> cut(std::uint64_t pages) noexcept override;

 private:
  PageFile::State& file_;
};

}  // namespace pagedb::detail
