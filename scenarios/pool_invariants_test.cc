// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the pool scenarios notice of an engine that is deliberately wrong: lsn-monotonic, write-ahead, and flushes and
// reads that are not what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "scenarios/pool_scenarios.h"

namespace pagedb::scenarios {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSeeds = 30;

/// A page file, also as a store, that hands every call on. Wrong ones override what they get wrong.
class Forwarding : public Subject, public PageStore {
 public:
  explicit Forwarding(std::unique_ptr<Subject> inner) : inner_(std::move(inner)) {}
  // Subject
  Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override { return below().read(id, page); }
  Result<void> write(PageId id, std::span<std::byte> page) override { return inner_->write(id, page); }
  Result<void> read_batch(std::span<PageIo> batch) override { return inner_->read_batch(batch); }
  Result<void> write_batch(std::span<PageIo> batch) override { return inner_->write_batch(batch); }
  Result<void> sync() noexcept override { return below().sync(); }
  bool poisoned() const noexcept override { return below().poisoned(); }
  OpenReport open_report() const override { return inner_->open_report(); }
  PageStore& store() override { return *this; }
  // PageStore
  Result<void> read_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    return below().read_batch(batch, done);
  }
  Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override {
    return below().write_batch(batch, done);
  }
  Result<void> commit_redo_from(Lsn redo_from) noexcept override { return below().commit_redo_from(redo_from); }
  Result<void> may_write(PageId id) const noexcept override { return below().may_write(id); }
  PageSize page_size() const noexcept override { return below().page_size(); }
  IoLimits limits() const noexcept override { return below().limits(); }

 protected:
  [[nodiscard]] PageStore& below() const { return inner_->store(); }
  std::unique_ptr<Subject> inner_;
};

using Wrap = std::function<std::unique_ptr<Subject>(std::unique_ptr<Subject>, bool created)>;
using Options = std::function<void(BufferPoolOptions&)>;

/// The production engine with a subject of the test's, and pools with options of the test's.
class WrongEngine final : public Engine {
 public:
  explicit WrongEngine(Wrap wrap, Options change = {}) : wrap_(std::move(wrap)), change_(std::move(change)) {}
  Result<std::unique_ptr<Subject>> create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                          PageSize page_size, const FileId& id) const override {
    auto made = production_engine().create(scheduler, backend, path, page_size, id);
    if (!made) return made;
    return wrap_(std::move(*made), true);
  }
  Result<std::unique_ptr<Subject>> open(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                        const OpenOptions& options) const override {
    auto opened = production_engine().open(scheduler, backend, path, options);
    if (!opened) return opened;
    return wrap_(std::move(*opened), false);
  }
  Result<std::unique_ptr<BufferPool>> make_pool(Scheduler& scheduler, Subject& subject,
                                                const BufferPoolOptions& options) const override {
    BufferPoolOptions changed = options;
    if (change_) change_(changed);
    return Engine::make_pool(scheduler, subject, changed);
  }

 private:
  Wrap wrap_;
  Options change_;
};

template <class T>
Wrap wrapped() {
  return [](std::unique_ptr<Subject> inner, bool) { return std::make_unique<T>(std::move(inner)); };
}

using RunWith = RunResult (*)(const RunRequest&, const Engine&);

RunResult run_seed(RunWith run, std::uint64_t seed, const Engine& engine) {
  sim::PrngChoices choices(seed);
  sim::Trace trace;
  const auto device = faults::find_profile("nvme-512");
  RunRequest request;
  request.seed = seed;
  request.profile = &*device;
  request.choices = &choices;
  request.trace = &trace;
  return run(request, engine);
}

/// The first violation of `invariant` within kSeeds seeds; nothing else may fire before it.
Violation first_violation(RunWith run, const Engine& engine, Invariant invariant) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RunResult result = run_seed(run, seed, engine);
    if (result.violations.empty()) continue;
    EXPECT_EQ(name(result.violations.front().invariant), name(invariant)) << result.violations.front().message;
    return result.violations.front();
  }
  ADD_FAILURE() << name(invariant) << " never fired";
  return {};
}

TEST(PoolInvariants, NoneFiresOnTheProductionEngine) {
  for (const RunWith run : {run_pool_crash, run_pool_wal}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const RunResult result = run_seed(run, seed, WrongEngine(wrapped<Forwarding>()));
      EXPECT_TRUE(result.violations.empty()) << result.violations.front().message;
      EXPECT_GT(result.counters.recoveries_verified, 0u);
    }
  }
}

TEST(PoolInvariants, WriteAheadFiresOnAPoolThatDoesNotAskTheLog) {
  const WrongEngine engine(wrapped<Forwarding>(), [](BufferPoolOptions& options) { options.log = nullptr; });
  const Violation violation = first_violation(run_pool_wal, engine, Invariant::write_ahead);
  EXPECT_THAT(violation.message, HasSubstr("the log is durable only up to"));
  EXPECT_EQ(violation.branch, 0u) << "judged when the write is submitted";
}

/// The oldest version that was ever read of each page.
using Oldest = std::map<std::uint64_t, std::vector<std::byte>>;

/// A recovered file that goes back to it.
class GoesBack final : public Forwarding {
 public:
  GoesBack(std::unique_ptr<Subject> inner, Oldest& oldest) : Forwarding(std::move(inner)), oldest_(oldest) {}
  Result<void> read_batch(std::span<PageIo> batch) override {
    const auto result = inner_->read_batch(batch);
    for (const PageIo& io : batch) {
      if (!io.result) continue;
      const auto [found, first] = oldest_.try_emplace(io.id.value, io.page.begin(), io.page.end());
      if (!first) std::memcpy(io.page.data(), found->second.data(), io.page.size());
    }
    return result;
  }

 private:
  Oldest& oldest_;
};

TEST(PoolInvariants, LsnMonotonicFiresOnARecoveryThatGoesBack) {
  for (const RunWith run : {run_pool_crash, run_pool_wal}) {
    bool fired = false;
    for (std::uint64_t seed = 0; seed < kSeeds && !fired; ++seed) {
      Oldest oldest;
      const WrongEngine engine([&](std::unique_ptr<Subject> inner, bool created) -> std::unique_ptr<Subject> {
        if (created) return inner;
        return std::make_unique<GoesBack>(std::move(inner), oldest);
      });
      for (const Violation& violation : run_seed(run, seed, engine).violations) {
        if (violation.invariant != Invariant::lsn_monotonic) continue;
        EXPECT_THAT(violation.message, HasSubstr("but the medium held lsn"));
        EXPECT_GT(violation.branch, 0u);
        fired = true;
      }
    }
    EXPECT_TRUE(fired);
  }
}

TEST(PoolInvariants, DurabilityFiresOnAFlushThatWroteNothing) {
  class Forgets final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> write_batch(std::span<PageIo> batch, PageDone done) noexcept override {
      for (PageIo& io : batch) {
        io.result = {};
        done(io);
      }
      return {};
    }
  };
  const Violation violation = first_violation(run_pool_crash, WrongEngine(wrapped<Forgets>()), Invariant::durability);
  EXPECT_THAT(violation.message, HasSubstr("a flush of lsn"));
}

TEST(PoolInvariants, DurabilityFiresOnACheckpointThatIsNotStored) {
  class Forgets final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> commit_redo_from(Lsn) noexcept override { return below().sync(); }
  };
  for (const RunWith run : {run_pool_crash, run_pool_wal}) {
    const Violation violation = first_violation(run, WrongEngine(wrapped<Forgets>()), Invariant::durability);
    EXPECT_THAT(violation.message, HasSubstr("redo begins at lsn 0"));
  }
}

TEST(PoolInvariants, IntegrityFiresOnACheckpointThatNobodyAskedFor) {
  class Hastens final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> commit_redo_from(Lsn redo_from) noexcept override {
      return below().commit_redo_from({redo_from.value + 1});
    }
  };
  const Violation violation = first_violation(run_pool_wal, WrongEngine(wrapped<Hastens>()), Invariant::integrity);
  EXPECT_THAT(violation.message, HasSubstr("asked for"));
}

TEST(PoolInvariants, IntegrityFiresOnAStoreThatGivesAnOlderVersionBack) {
  class Ages final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override {
      auto result = below().read(id, page);
      if (!result) return result;
      const auto [found, first] = oldest_.try_emplace(id.value, page.begin(), page.end());
      if (!first) std::memcpy(page.data(), found->second.data(), page.size());
      return result;
    }

   private:
    Oldest oldest_;
  };
  const Violation violation = first_violation(run_pool_crash, WrongEngine(wrapped<Ages>()), Invariant::integrity);
  EXPECT_THAT(violation.message, HasSubstr("the pool shows something else"));
}

TEST(PoolInvariants, TypedErrorsFiresOnAnErrorOutOfNowhere) {
  class Moans final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override {
      if (id.value == 3) return failure(PageError{.code = ErrorCode::io_error, .sys_errno = 5}.about(id));
      return below().read(id, page);
    }
  };
  first_violation(run_pool_crash, WrongEngine(wrapped<Moans>()), Invariant::typed_errors);
}

}  // namespace
}  // namespace pagedb::scenarios
