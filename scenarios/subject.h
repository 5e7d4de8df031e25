// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Subject: the page store under test, as the workloads see it.
//
// The production one is pagedb::PageFile, through its public header and nothing else. Tests put deliberately wrong ones
// here, to show that each invariant fires; an engine of your own fits as well. Buffer pools are the production ones,
// made by the engine over the subject's store.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "engine/buffer_pool.h"
#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/page_allocator.h"
#include "engine/page_file.h"
#include "engine/recovery.h"
#include "engine/scheduler.h"
#include "engine/types.h"

namespace pagedb::scenarios {

/// A page allocator under test. The contract of each call is that of PageAllocator's member of the same name.
class AllocatorSubject {
 public:
  /// Holds a PageAllocator::Change open.
  class Change {
   public:
    virtual ~Change() = default;
  };
  virtual ~AllocatorSubject() = default;
  [[nodiscard]] virtual Result<PageId> allocate() = 0;
  [[nodiscard]] virtual Result<PageId> allocate_near(PageId hint) = 0;
  [[nodiscard]] virtual Result<PageId> allocate_run(std::uint64_t count) = 0;
  [[nodiscard]] virtual Result<void> free(PageId id) = 0;
  [[nodiscard]] virtual Result<bool> is_allocated(PageId id) = 0;
  [[nodiscard]] virtual PageId high_water() = 0;
  [[nodiscard]] virtual std::uint64_t free_count() = 0;
  [[nodiscard]] virtual Result<void> sync() = 0;
  [[nodiscard]] virtual Result<void> shrink_to_fit() = 0;
  [[nodiscard]] virtual std::unique_ptr<Change> change() = 0;
};

/// An open page store. The contract of each call is that of PageFile's member of the same name.
class Subject {
 public:
  virtual ~Subject() = default;
  [[nodiscard]] virtual Result<PageHeader> read(PageId id, std::span<std::byte> page) = 0;
  [[nodiscard]] virtual Result<void> write(PageId id, std::span<std::byte> page) = 0;
  [[nodiscard]] virtual Result<void> read_batch(std::span<PageIo> batch) = 0;
  [[nodiscard]] virtual Result<void> write_batch(std::span<PageIo> batch) = 0;
  [[nodiscard]] virtual Result<void> sync() = 0;
  [[nodiscard]] virtual bool poisoned() const = 0;
  [[nodiscard]] virtual OpenReport open_report() const = 0;
  /// The same file, as a buffer pool takes it.
  [[nodiscard]] virtual PageStore& store() = 0;
  /// Its allocator.
  [[nodiscard]] virtual Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions& options) = 0;
};

/// Makes and opens page stores.
class Engine {
 public:
  virtual ~Engine() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<Subject>> create(Scheduler& scheduler, IoBackend& backend,
                                                                const std::string& path, PageSize page_size,
                                                                const FileId& id) const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Subject>> open(Scheduler& scheduler, IoBackend& backend,
                                                              const std::string& path,
                                                              const OpenOptions& options) const = 0;
  /// A buffer pool over `subject`.
  [[nodiscard]] virtual Result<std::unique_ptr<BufferPool>> make_pool(Scheduler& scheduler, Subject& subject,
                                                                      const BufferPoolOptions& options) const;
  /// The recovery of `subject`.
  [[nodiscard]] virtual Result<RecoveryReport> recover(Scheduler& scheduler, Subject& subject, RedoSource& source,
                                                       RedoApply apply, const RecoveryOptions& options) const;
};

/// The engine that ships.
[[nodiscard]] const Engine& production_engine();

}  // namespace pagedb::scenarios
