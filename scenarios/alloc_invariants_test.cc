// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the alloc scenarios notice of an allocator that is deliberately wrong: pages given out that somebody has, or
// that a crash may give back to somebody; answers that are not so; recoveries that lose something; syncs that do
// nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "engine/io/backend.h"
#include "engine/superblock.h"
#include "scenarios/alloc_scenarios.h"
#include "scenarios/wrong_engine_test.h"

namespace pagedb::scenarios {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

using namespace testing_support;

using RunWith = RunResult (*)(const RunRequest&, const Engine&);

Violation first_violation(const Engine& engine, RunWith run = run_alloc_crash,
                          Invariant invariant = Invariant::allocator) {
  return first_violation_of(invariant, [&](const RunRequest& request) { return run(request, engine); });
}

/// The same for both runs that take an engine.
void expect_violations(const Engine& engine, const char* says) {
  for (const RunWith run : {run_alloc_crash, run_alloc_pool_crash})
    EXPECT_THAT(first_violation(engine, run).message, HasSubstr(says));
}

TEST(AllocInvariants, NoneFiresOnTheProductionEngine) {
  const WrongEngine engine = with_allocator<ForwardingAllocator>();
  for (const RunWith run : {run_alloc_crash, run_alloc_pool_crash}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const RunResult result = run_seed(seed, [&](const RunRequest& request) { return run(request, engine); });
      EXPECT_TRUE(result.violations.empty()) << result.violations.front().message;
      EXPECT_GT(result.counters.recoveries_verified, 0u);
    }
  }
  for (const Scenario* scenario : {&alloc_hostile(), &alloc_shrink(), &alloc_io_errors()}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const RunResult result = run_seed(seed, [&](const RunRequest& request) { return scenario->run(request); });
      EXPECT_TRUE(result.violations.empty()) << scenario->name() << ": " << result.violations.front().message;
      EXPECT_GT(result.counters.recoveries_verified, 0u) << scenario->name();
    }
  }
}

// ---- pages that nobody must get

TEST(AllocInvariants, FiresOnAPageThatIsGivenOutTwice) {
  class Twice final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<PageId> allocate() override {
      if (last_) return *std::exchange(last_, std::nullopt);
      const auto page = inner_->allocate();
      if (page) last_ = *page;
      return page;
    }
    Result<void> free(PageId id) override {
      if (last_ == id) last_.reset();
      return inner_->free(id);
    }

   private:
    std::optional<PageId> last_;
  };
  expect_violations(with_allocator<Twice>(), "were given out, and somebody has one of 1");
  const Violation recovered = first_violation(with_allocator<Twice>(Life::opened));
  EXPECT_THAT(recovered.message, HasSubstr("were given out, and somebody has one of 1"));
  EXPECT_GT(recovered.branch, 0u);
}

TEST(AllocInvariants, FiresOnARunOfWhichSomebodyHasAPage) {
  class Overlaps final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<PageId> allocate_run(std::uint64_t count) override {
      const auto first = inner_->allocate_run(count);
      if (!first || first->value < 3) return first;
      return PageId{first->value - 1};  // the page before it: most likely somebody's
    }
  };
  EXPECT_THAT(first_violation(with_allocator<Overlaps>()).message,
              HasSubstr("were given out, and somebody has one of"));
}

TEST(AllocInvariants, FiresOnAReservedPage) {
  class GivesOutTheTwin final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<PageId> allocate() override {
      const auto page = inner_->allocate();
      return page && page->value >= 4 ? PageId{256} : page;
    }
  };
  // With a pool there is an end long before it.
  EXPECT_THAT(first_violation(with_allocator<GivesOutTheTwin>()).message,
              HasSubstr("page 256 was given out, which is reserved"));
}

TEST(AllocInvariants, FiresOnAPageThatIsGivenOutBeforeItsBeingFreeIsDurable) {
  class Hurries final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions& options) override {
      PageAllocatorOptions changed = options;
      changed.reuse_before_sync = true;
      return inner_->allocator(changed);
    }
  };
  expect_violations(WrongEngine(wrapped<Hurries>()), "a crash may still bring back a state in which it is in use");
}

TEST(AllocInvariants, FiresOnAPagePastTheEnd) {
  class Endless final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions&) override {
      return inner_->allocator({});
    }
  };
  EXPECT_THAT(first_violation(WrongEngine(wrapped<Endless>())).message, HasSubstr("was given out, past the end"));
}

// ---- answers

TEST(AllocInvariants, FiresOnADoubleFreeThatIsAccepted) {
  class Accepts final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<void> free(PageId id) override {
      const auto freed = inner_->free(id);
      if (!freed && freed.error().code == ErrorCode::not_allocated) return {};
      return freed;
    }
  };
  expect_violations(with_allocator<Accepts>(), "was freed, and nobody had it");
}

TEST(AllocInvariants, FiresOnAFreeThatIsRefused) {
  class Refuses final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<void> free(PageId id) override {
      if (id.value == 3) return failure(PageError{.code = ErrorCode::not_allocated}.about(id));
      return inner_->free(id);
    }
  };
  const Violation violation = first_violation(with_allocator<Refuses>(), run_alloc_crash, Invariant::typed_errors);
  EXPECT_THAT(violation.message, HasSubstr("a free failed, and no injected fault explains it"));
}

/// Whoever asks for a page hears the opposite of what is so.
class Lies final : public ForwardingAllocator {
 public:
  using ForwardingAllocator::ForwardingAllocator;
  Result<bool> is_allocated(PageId id) override {
    return inner_->is_allocated(id).map([](bool is) { return !is; });
  }
};

TEST(AllocInvariants, FiresOnAnAllocatorThatSaysTheOpposite) {
  expect_violations(with_allocator<Lies>(Life::created), "is_allocated says");
}

TEST(AllocInvariants, FiresOnNoFreePageWherePagesAreFree) {
  class SaysFull final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<PageId> allocate() override {
      if (++calls_ % 8 == 0) return failure(PageError{.code = ErrorCode::no_free_page});
      return inner_->allocate();
    }

   private:
    unsigned calls_ = 0;
  };
  expect_violations(with_allocator<SaysFull>(Life::created), "no_free_page, but");
}

TEST(AllocInvariants, FiresOnACountThatIsWrongWhenNobodyWorks) {
  class Miscounts final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    std::uint64_t free_count() override { return inner_->free_count() + 1; }
  };
  const Violation violation = first_violation(with_allocator<Miscounts>(Life::created));
  EXPECT_THAT(violation.message, HasSubstr("pages are free, but free_count says"));
  EXPECT_EQ(violation.branch, 0u);
}

TEST(AllocInvariants, FiresOnAHighWaterBelowWhatIsInUse) {
  class TooLow final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    PageId high_water() override {
      const PageId is = inner_->high_water();
      return PageId{is.value - (is.value > 0)};
    }
  };
  EXPECT_THAT(first_violation(with_allocator<TooLow>(Life::created)).message,
              HasSubstr("is in use, but high water is"));
}

// ---- recoveries

TEST(AllocInvariants, FiresOnARecoveryThatSaysTheOpposite) {
  const Violation violation = first_violation(with_allocator<Lies>(Life::opened));
  EXPECT_THAT(violation.message, HasSubstr("says the medium, and the allocator says the opposite"));
  EXPECT_GT(violation.branch, 0u);
}

TEST(AllocInvariants, FiresOnARecoveryThatLosesAnAllocation) {
  class Loses final : public ForwardingAllocator {
   public:
    explicit Loses(std::unique_ptr<AllocatorSubject> inner) : ForwardingAllocator(std::move(inner)) {
      for (std::uint64_t page = 0; page < inner_->high_water().value; ++page) {
        const auto is = inner_->is_allocated(PageId{page});
        if (is && *is && inner_->free(PageId{page})) return;
      }
    }
  };
  expect_violations(with_allocator<Loses>(Life::opened),
                    "is in use, says the medium, and the allocator says the opposite");
}

TEST(AllocInvariants, FiresOnARecoveryWithAPageTooMany) {
  class Takes final : public ForwardingAllocator {
   public:
    explicit Takes(std::unique_ptr<AllocatorSubject> inner) : ForwardingAllocator(std::move(inner)) {
      static_cast<void>(inner_->allocate());
    }
  };
  const Violation violation = first_violation(with_allocator<Takes>(Life::opened));
  EXPECT_GT(violation.branch, 0u);
  EXPECT_THAT(violation.message, HasSubstr("says the medium, and the allocator says"));
}

TEST(AllocInvariants, FiresOnARecoveredHighWaterThatTheMapDoesNotHave) {
  class TooHigh final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    PageId high_water() override { return PageId{inner_->high_water().value + 1}; }
  };
  expect_violations(with_allocator<TooHigh>(Life::opened),
                    "high water is 0, says the medium, and the allocator says 1");
}

TEST(AllocInvariants, FiresOnARecoveredCountThatTheMapDoesNotHave) {
  class Miscounts final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    std::uint64_t free_count() override { return inner_->free_count() + 1; }
  };
  expect_violations(with_allocator<Miscounts>(Life::opened),
                    "0 pages are free, says the medium, and the allocator says 1");
}

TEST(AllocInvariants, TypedErrorsFiresOnAnAllocatorThatDoesNotOpen) {
  class Closed final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions&) override {
      return failure(PageError{.code = ErrorCode::allocation_damaged});
    }
  };
  const Violation violation = first_violation(WrongEngine(wrapped<Closed>()), run_alloc_crash, Invariant::typed_errors);
  EXPECT_THAT(violation.message, HasSubstr("the allocator does not open"));
}

// ---- making durable

TEST(AllocInvariants, FiresOnASyncThatDoesNothing) {
  class Forgets final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<void> sync() override { return {}; }
  };
  for (const Life life : {Life::created, Life::all}) {
    const WrongEngine engine = with_allocator<Forgets>(life);
    std::string message;
    for (std::uint64_t seed = 0; seed < kSeeds && message.empty(); ++seed) {
      const auto run = [&](const RunRequest& request) { return run_alloc_crash(request, engine); };
      const RunResult result = run_seed(seed, run);
      if (!result.violations.empty()) message = result.violations.front().message;
    }
    // The last commit does not have it all, or what is said to be durably free is not given out again.
    EXPECT_THAT(message, AnyOf(HasSubstr("a sync returned Ok, but"), HasSubstr("no_free_page, but")));
  }
}

/// The production engine on a disk that swallows barriers after writes to some places.
class Swallowing final : public Engine {
 public:
  using After = bool (*)(std::uint64_t last_write);
  explicit Swallowing(After after) : after_(after) {}
  Result<std::unique_ptr<Subject>> create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                          PageSize page_size, const FileId& id) const override {
    Backend wrong(backend, after_);
    return production_engine().create(scheduler, wrong, path, page_size, id);
  }
  Result<std::unique_ptr<Subject>> open(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                        const OpenOptions& options) const override {
    return production_engine().open(scheduler, backend, path, options);
  }

 private:
  class File final : public IoFile {
   public:
    File(std::unique_ptr<IoFile> inner, After after) : inner_(std::move(inner)), after_(after) {}
    IoLimits limits() const noexcept override { return inner_->limits(); }
    IoResult<std::uint64_t> size() noexcept override { return inner_->size(); }
    int resize(std::uint64_t bytes) noexcept override { return inner_->resize(bytes); }
    // Not those of create, which is over once there is a node.
    int sync() noexcept override { return has_nodes_ && after_(last_) ? 0 : inner_->sync(); }
    void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
      for (const IoRequest& request : requests) {
        if (request.op != IoOp::write) continue;
        last_ = request.offset;
        has_nodes_ |= is_node(last_);
      }
      inner_->run(requests, done);
    }

   private:
    std::unique_ptr<IoFile> inner_;
    After after_;
    std::uint64_t last_ = 0;
    bool has_nodes_ = false;
  };
  class Backend final : public IoBackend {
   public:
    Backend(IoBackend& inner, After after) : inner_(inner), after_(after) {}
    IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override {
      return inner_.open(path, access);
    }
    IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override {
      auto made = inner_.create(path);
      if (!made) return made;
      return std::make_unique<File>(std::move(*made), after_);
    }
    int sync_directory(const std::string& path) noexcept override { return inner_.sync_directory(path); }

   private:
    IoBackend& inner_;
    After after_;
  };

 public:
  /// Without a pool nothing but nodes is written past the twin.
  static bool is_node(std::uint64_t offset) { return offset > kTwinOffset; }

 private:
  After after_;
};

TEST(AllocInvariants, DurabilityFiresOnASuperblockThatIsNotThereAnyMore) {
  const Swallowing engine([](std::uint64_t last) { return !Swallowing::is_node(last); });
  // Most runs show what follows from it first: pages that are given out too early, nodes that are overwritten.
  bool fired = false;
  for (std::uint64_t seed = 0; seed < kSeeds && !fired; ++seed) {
    const RunResult result =
        run_seed(seed, [&](const RunRequest& request) { return run_alloc_crash(request, engine); });
    for (const Violation& violation : result.violations) {
      fired |= violation.invariant == Invariant::durability && violation.branch > 0 &&
               violation.message.find("a sync had made allocation commit") != std::string::npos;
    }
  }
  EXPECT_TRUE(fired);
}

TEST(AllocInvariants, DurabilityFiresOnNodesThatAreNotThereYet) {
  const Swallowing engine([](std::uint64_t last) { return Swallowing::is_node(last); });
  const Violation violation = first_violation(engine, run_alloc_crash, Invariant::durability);
  EXPECT_THAT(violation.message, HasSubstr("the allocation map does not verify"));
  EXPECT_GT(violation.branch, 0u);
}

}  // namespace
}  // namespace pagedb::scenarios
