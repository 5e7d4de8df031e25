// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/subject.h"

#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

using sim::EngineScope;

// Workloads run in a sim::HarnessScope; ThreadSanitizer watches what the engine does in between.

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

const Engine& production_engine() {
  static const ProductionEngine engine;
  return engine;
}

}  // namespace pagedb::scenarios
