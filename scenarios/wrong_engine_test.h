// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Test helper: engines that are deliberately wrong, and the first violation that a scenario finds in one.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "faults/profile.h"
#include "scenarios/scenario.h"
#include "scenarios/subject.h"
#include "sim/choices.h"
#include "sim/trace.h"

namespace pagedb::scenarios::testing_support {

inline constexpr std::uint64_t kSeeds = 30;

/// A page file that hands every call on. Wrong ones override what they get wrong.
class Forwarding : public Subject {
 public:
  explicit Forwarding(std::unique_ptr<Subject> inner) : inner_(std::move(inner)) {}
  Result<PageHeader> read(PageId id, std::span<std::byte> page) override { return inner_->read(id, page); }
  Result<void> write(PageId id, std::span<std::byte> page) override { return inner_->write(id, page); }
  Result<void> read_batch(std::span<PageIo> batch) override { return inner_->read_batch(batch); }
  Result<void> write_batch(std::span<PageIo> batch) override { return inner_->write_batch(batch); }
  Result<void> sync() override { return inner_->sync(); }
  bool poisoned() const override { return inner_->poisoned(); }
  OpenReport open_report() const override { return inner_->open_report(); }
  PageStore& store() override { return inner_->store(); }
  Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions& options) override {
    return inner_->allocator(options);
  }

 protected:
  std::unique_ptr<Subject> inner_;
};

/// What an engine does wrong, for the file it opens and the world it runs in.
struct World {
  Scheduler& scheduler;
  IoBackend& backend;
  bool created;  // by create, not by open: the workload's first life
};
using Wrong = std::function<Result<std::unique_ptr<Subject>>(std::unique_ptr<Subject>, const World&)>;
using ChangeOptions = std::function<void(BufferPoolOptions&)>;

/// The production engine with a subject of the test's, and pools with options of the test's.
class WrongEngine final : public Engine {
 public:
  explicit WrongEngine(Wrong wrong, ChangeOptions change = {}) : wrong_(std::move(wrong)), change_(std::move(change)) {}
  Result<std::unique_ptr<Subject>> create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                          PageSize page_size, const FileId& id) const override {
    auto made = production_engine().create(scheduler, backend, path, page_size, id);
    if (!made) return made;
    return wrong_(std::move(*made), {scheduler, backend, true});
  }
  Result<std::unique_ptr<Subject>> open(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                        const OpenOptions& options) const override {
    auto opened = production_engine().open(scheduler, backend, path, options);
    if (!opened) return opened;
    return wrong_(std::move(*opened), {scheduler, backend, false});
  }
  Result<std::unique_ptr<BufferPool>> make_pool(Scheduler& scheduler, Subject& subject,
                                                const BufferPoolOptions& options) const override {
    BufferPoolOptions changed = options;
    if (change_) change_(changed);
    return Engine::make_pool(scheduler, subject, changed);
  }

 private:
  Wrong wrong_;
  ChangeOptions change_;
};

template <class T>
Wrong wrapped() {
  return [](std::unique_ptr<Subject> inner, const World&) -> Result<std::unique_ptr<Subject>> {
    return std::make_unique<T>(std::move(inner));
  };
}

/// An allocator that hands every call on. Wrong ones override what they get wrong.
class ForwardingAllocator : public AllocatorSubject {
 public:
  explicit ForwardingAllocator(std::unique_ptr<AllocatorSubject> inner) : inner_(std::move(inner)) {}
  Result<PageId> allocate() override { return inner_->allocate(); }
  Result<PageId> allocate_near(PageId hint) override { return inner_->allocate_near(hint); }
  Result<PageId> allocate_run(std::uint64_t count) override { return inner_->allocate_run(count); }
  Result<void> free(PageId id) override { return inner_->free(id); }
  Result<bool> is_allocated(PageId id) override { return inner_->is_allocated(id); }
  PageId high_water() override { return inner_->high_water(); }
  std::uint64_t free_count() override { return inner_->free_count(); }
  Result<void> sync() override { return inner_->sync(); }
  Result<void> shrink_to_fit() override { return inner_->shrink_to_fit(); }
  std::unique_ptr<Change> change() override { return inner_->change(); }

 protected:
  std::unique_ptr<AllocatorSubject> inner_;
};

/// A file whose allocator is an `A`.
template <class A>
class WithAllocator final : public Forwarding {
 public:
  using Forwarding::Forwarding;
  Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions& options) override {
    auto made = inner_->allocator(options);
    if (!made) return made;
    return std::make_unique<A>(std::move(*made));
  }
};

/// Which lives of a file an engine is wrong in.
enum class Life : std::uint8_t { all, created, opened };

/// The production engine with allocators of type `A`.
template <class A>
WrongEngine with_allocator(Life life = Life::all) {
  return WrongEngine([life](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
    if (life == (world.created ? Life::opened : Life::created)) return inner;
    return std::make_unique<WithAllocator<A>>(std::move(inner));
  });
}

/// What `run`, a scenario with an engine of the test's, makes of one seed.
template <class Run>
RunResult run_seed(std::uint64_t seed, Run&& run, std::string_view profile = "nvme-512") {
  sim::PrngChoices choices(seed);
  sim::Trace trace;
  const auto device = faults::find_profile(profile);
  RunRequest request;
  request.seed = seed;
  request.profile = &*device;
  request.choices = &choices;
  request.trace = &trace;
  return run(request);
}

/// The first violation within kSeeds seeds of `run`. It has to be of `invariant`.
template <class Run>
Violation first_violation_of(Invariant invariant, Run&& run) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RunResult result = run_seed(seed, run);
    if (result.violations.empty()) continue;
    EXPECT_EQ(name(result.violations.front().invariant), name(invariant)) << result.violations.front().message;
    return result.violations.front();
  }
  ADD_FAILURE() << name(invariant) << " never fired";
  return {};
}

}  // namespace pagedb::scenarios::testing_support
