// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/subject.h"

#include <optional>

#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

using sim::EngineScope;

// Workloads run in a sim::HarnessScope; ThreadSanitizer watches what the engine does in between.

class ProductionAllocator final : public AllocatorSubject {
 public:
  explicit ProductionAllocator(std::unique_ptr<PageAllocator> allocator) : allocator_(std::move(allocator)) {}
  ~ProductionAllocator() override {
    const EngineScope engine;
    allocator_.reset();
  }
  Result<PageId> allocate() override {
    const EngineScope engine;
    return allocator_->allocate();
  }
  Result<PageId> allocate_near(PageId hint) override {
    const EngineScope engine;
    return allocator_->allocate_near(hint);
  }
  Result<PageId> allocate_run(std::uint64_t count) override {
    const EngineScope engine;
    return allocator_->allocate_run(count);
  }
  Result<void> free(PageId id) override {
    const EngineScope engine;
    return allocator_->free(id);
  }
  Result<bool> is_allocated(PageId id) override {
    const EngineScope engine;
    return allocator_->is_allocated(id);
  }
  PageId high_water() override {
    const EngineScope engine;
    return allocator_->high_water();
  }
  std::uint64_t free_count() override {
    const EngineScope engine;
    return allocator_->free_count();
  }
  Result<void> sync() override {
    const EngineScope engine;
    return allocator_->sync();
  }
  Result<void> shrink_to_fit() override {
    const EngineScope engine;
    return allocator_->shrink_to_fit();
  }
  std::unique_ptr<Change> change() override { return std::make_unique<OpenChange>(*allocator_); }

 private:
  class OpenChange final : public Change {
   public:
    explicit OpenChange(PageAllocator& allocator) {
      const EngineScope engine;
      change_.emplace(allocator);
    }
    ~OpenChange() override {
      const EngineScope engine;
      change_.reset();
    }

   private:
    std::optional<PageAllocator::Change> change_;
  };
  std::unique_ptr<PageAllocator> allocator_;
};

class PageFileSubject final : public Subject {
 public:
  explicit PageFileSubject(std::unique_ptr<PageFile> file) : file_(std::move(file)) {}
  ~PageFileSubject() override {
    const EngineScope engine;
    file_.reset();
  }
  Result<PageHeader> read(PageId id, std::span<std::byte> page) override {
    const EngineScope engine;
    return file_->read(id, page);
  }
  Result<void> write(PageId id, std::span<std::byte> page) override {
    const EngineScope engine;
    return file_->write(id, page);
  }
  Result<void> read_batch(std::span<PageIo> batch) override {
    const EngineScope engine;
    return file_->read_batch(batch);
  }
  Result<void> write_batch(std::span<PageIo> batch) override {
    const EngineScope engine;
    return file_->write_batch(batch);
  }
  Result<void> sync() override {
    const EngineScope engine;
    return file_->sync();
  }
  bool poisoned() const override {
    const EngineScope engine;
    return file_->poisoned();
  }
  OpenReport open_report() const override {
    const EngineScope engine;
    return file_->open_report();
  }
  PageStore& store() override { return *file_; }
  Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions& options) override {
    const EngineScope engine;
    return PageAllocator::open(*file_, options)
        .map([](std::unique_ptr<PageAllocator> made) -> std::unique_ptr<AllocatorSubject> {
          return std::make_unique<ProductionAllocator>(std::move(made));
        });
  }

 private:
  std::unique_ptr<PageFile> file_;
};

std::unique_ptr<Subject> wrap(std::unique_ptr<PageFile> file) {
  return std::make_unique<PageFileSubject>(std::move(file));
}

class ProductionEngine final : public Engine {
 public:
  Result<std::unique_ptr<Subject>> create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                          PageSize page_size, const FileId& id) const override {
    const EngineScope engine;
    return PageFile::create(scheduler, backend, path, page_size, id).map(wrap);
  }
  Result<std::unique_ptr<Subject>> open(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                        const OpenOptions& options) const override {
    const EngineScope engine;
    return PageFile::open(scheduler, backend, path, options).map(wrap);
  }
};

}  // namespace

Result<std::unique_ptr<BufferPool>> Engine::make_pool(Scheduler& scheduler, Subject& subject,
                                                      const BufferPoolOptions& options) const {
  const EngineScope engine;
  return BufferPool::create(scheduler, subject.store(), options);
}

Result<RecoveryReport> Engine::recover(Scheduler& scheduler, Subject& subject, RedoSource& source, RedoApply apply,
                                       const RecoveryOptions& options) const {
  const EngineScope engine;
  return pagedb::recover(scheduler, subject.store(), source, apply, options);
}

const Engine& production_engine() {
  static const ProductionEngine engine;
  return engine;
}

}  // namespace pagedb::scenarios
