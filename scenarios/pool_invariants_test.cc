// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the pool scenarios notice of an engine that is deliberately wrong: lsn-monotonic, write-ahead, and flushes and
// reads that are not what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "scenarios/pool_scenarios.h"
#include "scenarios/wrong_engine_test.h"

namespace pagedb::scenarios {
namespace {

using ::testing::HasSubstr;

using namespace testing_support;

/// The same as a store too: what a pool asks for goes through it.
class ForwardingStore : public Forwarding, public PageStore {
 public:
  using Forwarding::Forwarding;
  // Subject and PageStore
  Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override { return below().read(id, page); }
  Result<void> sync() noexcept override { return below().sync(); }
  bool poisoned() const noexcept override { return below().poisoned(); }
  PageStore& store() override { return *this; }
  using Forwarding::read_batch;
  using Forwarding::write_batch;
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
};

using RunWith = RunResult (*)(const RunRequest&, const Engine&);

Violation first_violation(RunWith run, const Engine& engine, Invariant invariant) {
  return first_violation_of(invariant, [&](const RunRequest& request) { return run(request, engine); });
}

TEST(PoolInvariants, NoneFiresOnTheProductionEngine) {
  const WrongEngine engine(wrapped<ForwardingStore>());
  for (const RunWith run : {run_pool_crash, run_pool_wal}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const RunResult result = run_seed(seed, [&](const RunRequest& request) { return run(request, engine); });
      EXPECT_TRUE(result.violations.empty()) << result.violations.front().message;
      EXPECT_GT(result.counters.recoveries_verified, 0u);
    }
  }
}

TEST(PoolInvariants, WriteAheadFiresOnAPoolThatDoesNotAskTheLog) {
  const WrongEngine engine(wrapped<ForwardingStore>(), [](BufferPoolOptions& options) { options.log = nullptr; });
  const Violation violation = first_violation(run_pool_wal, engine, Invariant::write_ahead);
  EXPECT_THAT(violation.message, HasSubstr("the log is durable only up to"));
  EXPECT_EQ(violation.branch, 0u) << "judged when the write is submitted";
}

/// The oldest version that was ever read of each page.
using Oldest = std::map<std::uint64_t, std::vector<std::byte>>;

/// A recovered file that goes back to it.
class GoesBack final : public ForwardingStore {
 public:
  GoesBack(std::unique_ptr<Subject> inner, Oldest& oldest) : ForwardingStore(std::move(inner)), oldest_(oldest) {}
  using ForwardingStore::read_batch;
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
      const WrongEngine engine(
          [&](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
            if (world.created) return inner;
            return std::make_unique<GoesBack>(std::move(inner), oldest);
          });
      const RunResult result = run_seed(seed, [&](const RunRequest& request) { return run(request, engine); });
      for (const Violation& violation : result.violations) {
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
  class Forgets final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
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
  class Forgets final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<void> commit_redo_from(Lsn) noexcept override { return below().sync(); }
  };
  for (const RunWith run : {run_pool_crash, run_pool_wal}) {
    const Violation violation = first_violation(run, WrongEngine(wrapped<Forgets>()), Invariant::durability);
    EXPECT_THAT(violation.message, HasSubstr("redo begins at lsn 0"));
  }
}

TEST(PoolInvariants, IntegrityFiresOnACheckpointThatNobodyAskedFor) {
  class Hastens final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<void> commit_redo_from(Lsn redo_from) noexcept override {
      return below().commit_redo_from({redo_from.value + 1});
    }
  };
  const Violation violation = first_violation(run_pool_wal, WrongEngine(wrapped<Hastens>()), Invariant::integrity);
  EXPECT_THAT(violation.message, HasSubstr("asked for"));
}

TEST(PoolInvariants, IntegrityFiresOnAStoreThatGivesAnOlderVersionBack) {
  class Ages final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
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
  class Moans final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<PageHeader> read(PageId id, std::span<std::byte> page) noexcept override {
      if (id.value == 3) return failure(PageError{.code = ErrorCode::io_error, .sys_errno = 5}.about(id));
      return below().read(id, page);
    }
  };
  first_violation(run_pool_crash, WrongEngine(wrapped<Moans>()), Invariant::typed_errors);
}

}  // namespace
}  // namespace pagedb::scenarios
