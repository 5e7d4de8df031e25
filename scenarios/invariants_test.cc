// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Every invariant fires on an engine that is deliberately wrong, and on nothing else that the same engine does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "engine/aligned_buffer.h"
#include "scenarios/campaign.h"
#include "scenarios/page_file_scenarios.h"
#include "scenarios/redo_scenarios.h"
#include "scenarios/wrong_engine_test.h"

namespace pagedb::scenarios {
namespace {

using ::testing::HasSubstr;

using namespace testing_support;

/// One seed of page_file_crash with an engine.
RunResult run(std::uint64_t seed, const Engine& engine, const faults::FaultPlan& plan = {},
              std::string_view profile = "nvme-512") {
  return run_seed(
      seed, [&](const RunRequest& request) { return run_page_file(request, "page_file_crash", engine, plan, 0); },
      profile);
}

/// The first violation within kSeeds seeds of page_file_crash with an engine. It has to be of `invariant`.
Violation first_violation(const Engine& engine, Invariant invariant, const faults::FaultPlan& plan = {}) {
  return first_violation_of(
      invariant, [&](const RunRequest& request) { return run_page_file(request, "page_file_crash", engine, plan, 0); });
}

TEST(Invariants, NoneFiresOnTheProductionEngine) {
  const WrongEngine right(wrapped<Forwarding>());
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RunResult result = run(seed, right);
    EXPECT_TRUE(result.violations.empty()) << result.violations.front().message;
    EXPECT_GT(result.counters.recoveries_verified, 0u);
  }
}

TEST(Invariants, IntegrityFiresOnAFlippedBit) {
  class Flips final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> read_batch(std::span<PageIo> batch) override {
      const auto result = inner_->read_batch(batch);
      for (const PageIo& io : batch) {
        if (io.result && io.id.value == 7) io.page[4095] ^= std::byte{1};
      }
      return result;
    }
  };
  const Violation violation = first_violation(WrongEngine(wrapped<Flips>()), Invariant::integrity);
  EXPECT_THAT(violation.message, HasSubstr("never written there"));
}

TEST(Invariants, IntegrityFiresOnAnotherPagesBytes) {
  class Swaps final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<PageHeader> read(PageId id, std::span<std::byte> page) override {
      return inner_->read(PageId{id.value == 5 ? 6 : id.value}, page);
    }
  };
  first_violation(WrongEngine(wrapped<Swaps>()), Invariant::integrity);
}

TEST(Invariants, IntegrityFiresOnWriteMemoryThatChangesInFlight) {
  class Scribbles final : public Forwarding {
   public:
    Scribbles(std::unique_ptr<Subject> inner, Scheduler& scheduler)
        : Forwarding(std::move(inner)), scheduler_(scheduler) {}
    Result<void> write(PageId id, std::span<std::byte> page) override {
      const TaskId scribbler = scheduler_.spawn("scribbler", [page] { page[2000] ^= std::byte{0xff}; });
      const auto result = inner_->write(id, page);
      scheduler_.join(scribbler);
      return result;
    }

   private:
    Scheduler& scheduler_;
  };
  const WrongEngine engine([](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
    return std::make_unique<Scribbles>(std::move(inner), world.scheduler);
  });
  const Violation violation = first_violation(engine, Invariant::integrity);
  EXPECT_THAT(violation.message, HasSubstr("while it was in flight"));
}

TEST(Invariants, DurabilityFiresOnASyncThatIsNotIssued) {
  class Forgets final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> sync() override { return {}; }
  };
  const Violation violation = first_violation(WrongEngine(wrapped<Forgets>()), Invariant::durability);
  EXPECT_THAT(violation.message, HasSubstr("made durable by a sync"));
  EXPECT_GT(violation.branch, 0u);
}

TEST(Invariants, DurabilityFiresOnASoundPageThatIsRefused) {
  class Refuses final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> read_batch(std::span<PageIo> batch) override {
      (void)inner_->read_batch(batch);
      for (PageIo& io : batch) {
        if (io.result) io.result = failure(PageError{.code = ErrorCode::bad_checksum});
      }
      return failure(PageError{.code = ErrorCode::bad_checksum});
    }
  };
  const Violation violation = first_violation(WrongEngine(wrapped<Refuses>()), Invariant::durability);
  EXPECT_THAT(violation.message, HasSubstr("must be recovered"));
}

TEST(Invariants, DurabilityFiresOnAFileThatNoLongerOpens) {
  const WrongEngine engine([](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
    if (world.created) return inner;
    return failure(PageError{.code = ErrorCode::superblock_damaged});
  });
  const Violation violation = first_violation(engine, Invariant::durability);
  EXPECT_THAT(violation.message, HasSubstr("open"));
}

TEST(Invariants, TypedErrorsFiresOnASwallowedWriteError) {
  class Swallows final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> write(PageId id, std::span<std::byte> page) override {
      (void)inner_->write(id, page);
      return {};
    }
  };
  const Violation violation =
      first_violation(WrongEngine(wrapped<Swallows>()), Invariant::typed_errors, {.write_error = 3000});
  EXPECT_THAT(violation.message, HasSubstr("returned Ok"));
}

TEST(Invariants, TypedErrorsFiresOnASwallowedSyncError) {
  class Swallows final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> sync() override {
      (void)inner_->sync();
      return {};
    }
    bool poisoned() const override { return false; }
  };
  first_violation(WrongEngine(wrapped<Swallows>()), Invariant::typed_errors, {.flush_failure = 20000});
}

TEST(Invariants, TypedErrorsFiresOnTheWrongCode) {
  class Mislabels final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<PageHeader> read(PageId id, std::span<std::byte> page) override {
      auto result = inner_->read(id, page);
      if (!result && result.error().code == ErrorCode::io_error) return failure(PageError{.code = ErrorCode::no_space});
      return result;
    }
  };
  first_violation(WrongEngine(wrapped<Mislabels>()), Invariant::typed_errors, {.latent_sector_error = 6000});
}

TEST(Invariants, TypedErrorsFiresOnAnErrorOutOfNowhere) {
  class Moans final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> write(PageId id, std::span<std::byte> page) override {
      const auto result = inner_->write(id, page);
      if (id.value == 3) return failure(PageError{.code = ErrorCode::io_error, .sys_errno = 5});
      return result;
    }
  };
  const Violation violation = first_violation(WrongEngine(wrapped<Moans>()), Invariant::typed_errors);
  EXPECT_THAT(violation.message, HasSubstr("no injected fault explains it"));
}

TEST(Invariants, LivenessFiresOnATaskThatNobodyWakes) {
  class Sleeps final : public Forwarding {
   public:
    Sleeps(std::unique_ptr<Subject> inner, Scheduler& scheduler)
        : Forwarding(std::move(inner)), scheduler_(scheduler) {}
    Result<void> sync() override {
      scheduler_.park(kForever);
      return inner_->sync();
    }

   private:
    Scheduler& scheduler_;
  };
  const WrongEngine engine([](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
    return std::make_unique<Sleeps>(std::move(inner), world.scheduler);
  });
  const Violation violation = first_violation(engine, Invariant::liveness);
  EXPECT_THAT(violation.message, HasSubstr("stuck"));
  EXPECT_EQ(violation.branch, 0u);
}

TEST(Invariants, LivenessFiresOnARecoveryThatNeverEnds) {
  class Retries final : public Forwarding {
   public:
    Retries(std::unique_ptr<Subject> inner, Scheduler& scheduler)
        : Forwarding(std::move(inner)), scheduler_(scheduler) {}
    Result<void> read_batch(std::span<PageIo> batch) override {
      // For ever, but for the test: until the simulation has given up, and the disk answers no more.
      for (unsigned attempt = 0; attempt < 400'000; ++attempt) {
        const auto result = inner_->read_batch(batch.first(1));
        if (!result && result.error().code != ErrorCode::never_written) break;
        scheduler_.relax(attempt);
      }
      return inner_->read_batch(batch);
    }

   private:
    Scheduler& scheduler_;
  };
  const WrongEngine engine([](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
    if (world.created) return inner;
    return std::make_unique<Retries>(std::move(inner), world.scheduler);
  });
  const RunResult result = run(1, engine);
  ASSERT_FALSE(result.violations.empty());
  bool found = false;
  for (const Violation& violation : result.violations) {
    found |= violation.invariant == Invariant::liveness && violation.branch != 0;
  }
  EXPECT_TRUE(found) << result.violations.front().message;
}

TEST(Invariants, BoundedFiresOnARecoveryThatReadsTooMuch) {
  class Rereads final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> read_batch(std::span<PageIo> batch) override {
      for (int i = 0; i < 400; ++i) (void)inner_->read_batch(batch);
      return inner_->read_batch(batch);
    }
  };
  const Violation violation = first_violation(
      WrongEngine([](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
        if (world.created) return inner;
        return std::make_unique<Rereads>(std::move(inner));
      }),
      Invariant::bounded);
  EXPECT_THAT(violation.message, HasSubstr("moved"));
}

TEST(Invariants, BoundedFiresOnARecoveryThatTakesTooMuchMemory) {
  const WrongEngine engine([](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
    if (!world.created) {
      const auto memory = AlignedBuffer::allocate(std::size_t{64} << 20);
      if (!memory) return failure(memory.error());
    }
    return inner;
  });
  const Violation violation = first_violation(engine, Invariant::bounded);
  EXPECT_THAT(violation.message, HasSubstr("memory"));
}

/// A scenario whose engine aborts in its third recovery.
class Aborting final : public Scenario {
 public:
  std::string_view name() const override { return "aborting"; }
  std::string_view summary() const override { return "aborts"; }
  std::string_view default_profile() const override { return "nvme-512"; }
  RunResult run(const RunRequest& request) const override {
    int opens = 0;
    const WrongEngine engine(
        [&](std::unique_ptr<Subject> inner, const World& world) -> Result<std::unique_ptr<Subject>> {
          if (!world.created && ++opens == 3) std::abort();
          return inner;
        });
    return run_page_file(request, name(), engine, {}, 0);
  }
  RunResult run_real(const RealRequest&) const override { return {}; }
};

TEST(Invariants, NoAbortFiresOnAnAbortAndTheCampaignGoesOn) {
  const Aborting scenario;
  CampaignOptions options;
  options.scenarios = {&scenario};
  options.end_seed = 3;
  const CampaignResult result = run_campaign(options);
  ASSERT_EQ(result.violations.size(), 3u);
  for (const Violation& violation : result.violations) {
    EXPECT_EQ(violation.invariant, Invariant::no_abort);
    EXPECT_THAT(violation.replay_command(), HasSubstr("replay aborting:"));
  }
}

// redo_full_images leans on the engine to say which pages need their image.
TEST(Invariants, RedoNoticesAnEngineThatServesDamagedPages) {
  class Believes final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<void> read_batch(std::span<PageIo> batch) override {
      (void)inner_->read_batch(batch);
      for (PageIo& io : batch) {
        const bool damaged = !io.result && (io.result.error().code == ErrorCode::bad_checksum ||
                                            io.result.error().code == ErrorCode::wrong_page_id);
        if (damaged) io.result = {};
      }
      return {};
    }
  };
  const WrongEngine engine(wrapped<Believes>());
  std::uint64_t violations = 0;
  for (std::uint64_t seed = 0; seed < kSeeds && violations == 0; ++seed) {
    sim::PrngChoices choices(seed);
    sim::Trace trace;
    const auto device = faults::find_profile("nvme-512");
    RunRequest request;
    request.seed = seed;
    request.profile = &*device;
    request.choices = &choices;
    request.trace = &trace;
    violations = run_redo_full_images(request, engine).violations.size();
  }
  EXPECT_GT(violations, 0u);
}

}  // namespace
}  // namespace pagedb::scenarios
