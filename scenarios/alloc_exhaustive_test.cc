// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Exhaustive: the production engine's allocator survives every crash outcome of every sync in all sequences of up to
// four operations on a tiny file; what the enumeration leaves out changes nothing; and it finds wrong engines.
//
// With EXHAUSTIVE_MORE_STEPS=1 in the environment sequences are one operation longer, which takes six times as long.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "scenarios/alloc_exhaustive_run_test.h"
#include "scenarios/wrong_engine_test.h"

namespace pagedb::scenarios {
namespace {

using namespace testing_support;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A map of which both versions of the leaf are on the medium, opened again: the first sync has to commit what it found
/// before it writes a node.
void used(Exhaustive& file) {
  for (int i = 0; i < 3; ++i) file.perform(Step::allocate);
  file.perform(Step::sync);
  file.free({3, 4});
  file.perform(Step::sync);
  file.reopen();
}

/// Two leaves below a root, the second with one page only: without it the leaf goes, and after a shrink it comes back.
void two_regions(Exhaustive& file) {
  file.allocate_run(16'000);
  file.allocate_run(300);
  if (!file.failure().empty()) return;
  const PageRange second = file.owned().ranges().back();
  file.free({second.begin + 1, second.end});
  file.perform(Step::sync);
  file.reopen();
}

/// A region that has no room for a run: with one the tree gets a root above the old one. The file is long enough for
/// what that takes: each of 100,000 sectors in between would be an outcome.
void one_region(Exhaustive& file) {
  file.allocate_run(16'000);
  file.write(PageId{16'400});
  file.perform(Step::sync);
  file.reopen();
}

void expect_nothing_found(Reach reach, const Exhaustive::Prepare& prepare = {}) {
  if (const char* const more = std::getenv("EXHAUSTIVE_MORE_STEPS"))
    reach.steps += static_cast<unsigned>(std::atoi(more));
  Exhaustive exhaustive(production_engine(), reach, prepare);
  exhaustive.run();
  std::printf("%s\n", exhaustive.statement().c_str());
  EXPECT_EQ(exhaustive.failure(), "");
  EXPECT_TRUE(exhaustive.complete());
}

TEST(AllocExhaustive, a_new_file_survives_every_crash) { expect_nothing_found({.recoveries = true}); }

TEST(AllocExhaustive, a_used_file_survives_every_crash) { expect_nothing_found({.recoveries = true}, used); }

TEST(AllocExhaustive, a_used_file_survives_every_crash_that_damages) {
  expect_nothing_found({.profile = "sata-512e-misaligned", .recoveries = true}, used);
}

TEST(AllocExhaustive, a_tree_that_grows_survives_every_crash) {
  expect_nothing_found({.profile = "nvme-4k"}, one_region);
}

TEST(AllocExhaustive, a_file_of_two_regions_survives_every_crash) {
  expect_nothing_found({.profile = "nvme-4k", .recoveries = true}, two_regions);
}

// ---- what is left out

void expect_nothing_left_out(Reach reach, const Exhaustive::Prepare& prepare = {}) {
  Exhaustive some(production_engine(), reach, prepare);
  some.run();
  reach.reduced = false;
  Exhaustive all(production_engine(), reach, prepare);
  all.run();
  EXPECT_TRUE(some.complete()) << some.failure();
  EXPECT_TRUE(all.complete()) << all.failure();
  EXPECT_EQ(some.totals().sequences, all.totals().sequences);
  EXPECT_EQ(some.totals().workload.states, all.totals().workload.states);
  EXPECT_EQ(some.totals().recoveries.states, all.totals().recoveries.states);
  EXPECT_EQ(some.totals().all, all.totals().all);
  EXPECT_EQ(all.totals().workload.outcomes_equal, 0u);
  EXPECT_GT(all.totals().workload.outcomes, 5 * some.totals().workload.outcomes);
}

TEST(AllocExhaustive, what_is_left_out_reaches_no_other_state) {
  expect_nothing_left_out({.profile = "nvme-4k", .steps = 2});
  expect_nothing_left_out({.profile = "nvme-4k", .steps = 2}, two_regions);
  expect_nothing_left_out({.profile = "sata-512e-misaligned", .steps = 2}, used);
  expect_nothing_left_out({.profile = "sata-512e-misaligned", .steps = 1, .recoveries = true}, used);
}

TEST(AllocExhaustive, goes_through_as_many_outcomes_as_there_are) {
  // Nothing, allocations of three kinds, a sync, and a shrink that has nothing to cut; each of these two goes through
  // three barriers with one page pending: a node that makes the file longer, and the slots. The node can be there or
  // not, with the old length, the new one (which three of four decisions give), or 32 between them.
  for (const auto& [profile, patterns] : {std::pair("nvme-4k", 2u), std::pair("nvme-512", 256u)}) {
    Exhaustive exhaustive(production_engine(), {.profile = profile, .steps = 1});
    exhaustive.run();
    EXPECT_EQ(exhaustive.failure(), "");
    const ExhaustiveTotals& totals = exhaustive.totals();
    EXPECT_EQ(totals.sequences, 6u);
    EXPECT_EQ(totals.syncs, 2u);
    EXPECT_EQ(totals.workload.boundaries, 4u + 2u * (3u * 4u + 1u));  // submit, done, sync, synced; returned
    EXPECT_EQ(totals.workload.outcomes,
              4u + 2u * (3u * patterns * (1u + 3u + 32u) + 1u + 2u * (3u * patterns + 1u) + 1u));
    EXPECT_THAT(
        exhaustive.statement(),
        StartsWith("complete: 6 sequences of up to 1 operations, 2 of them end in a sync or shrink: 30 boundaries"));
  }
}

// ---- wrong engines

/// What `engine` is found to do wrong.
std::string failure_of(const Engine& engine, const Reach& reach, const Exhaustive::Prepare& prepare = {}) {
  Exhaustive exhaustive(engine, reach, prepare);
  exhaustive.run();
  EXPECT_FALSE(exhaustive.complete());
  EXPECT_THAT(exhaustive.statement(), StartsWith("not complete: "));
  return exhaustive.failure();
}

/// Where the last two writes of a file went: nowhere at first.
struct LastWrites {
  static constexpr std::uint64_t kNowhere = 1;
  std::uint64_t last = kNowhere, before = kNowhere;

  [[nodiscard]] bool node() const { return last > kSuperblockOffsets[1]; }
  /// One of the slots, and not the second one of the two.
  [[nodiscard]] bool first_of_two_slots() const {
    return (last == kSuperblockOffsets[0] && before != kSuperblockOffsets[1]) ||
           (last == kSuperblockOffsets[1] && before != kSuperblockOffsets[0]);
  }
};

/// Which barriers a wrong engine does not ask for. Each file has its own.
using Swallows = std::function<bool(const LastWrites&)>;

class SwallowingFile final : public IoFile {
 public:
  SwallowingFile(std::unique_ptr<IoFile> inner, Swallows swallows)
      : inner_(std::move(inner)), swallows_(std::move(swallows)) {}
  IoLimits limits() const noexcept override { return inner_->limits(); }
  IoResult<std::uint64_t> size() noexcept override { return inner_->size(); }
  int resize(std::uint64_t bytes) noexcept override { return inner_->resize(bytes); }
  int sync() noexcept override { return swallows_(writes_) ? 0 : inner_->sync(); }
  void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
    for (const IoRequest& request : requests) {
      if (request.op == IoOp::write) writes_ = {.last = request.offset, .before = writes_.last};
    }
    inner_->run(requests, done);
  }

 private:
  std::unique_ptr<IoFile> inner_;
  Swallows swallows_;
  LastWrites writes_;
};

/// The production engine on a disk that swallows barriers.
class Swallowing final : public Engine {
 public:
  Swallowing(Life life, Swallows swallows) : life_(life), swallows_(std::move(swallows)) {}
  Result<std::unique_ptr<Subject>> create(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                          PageSize page_size, const FileId& id) const override {
    if (life_ != Life::created) return production_engine().create(scheduler, backend, path, page_size, id);
    Backend wrong(backend, swallows_);
    return production_engine().create(scheduler, wrong, path, page_size, id);
  }
  Result<std::unique_ptr<Subject>> open(Scheduler& scheduler, IoBackend& backend, const std::string& path,
                                        const OpenOptions& options) const override {
    if (life_ != Life::opened) return production_engine().open(scheduler, backend, path, options);
    Backend wrong(backend, swallows_);
    return production_engine().open(scheduler, wrong, path, options);
  }

 private:
  class Backend final : public IoBackend {
   public:
    Backend(IoBackend& inner, const Swallows& swallows) : inner_(inner), swallows_(swallows) {}
    IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override {
      return wrap(inner_.open(path, access));
    }
    IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override {
      return wrap(inner_.create(path));
    }
    int sync_directory(const std::string& path) noexcept override { return inner_.sync_directory(path); }

   private:
    IoResult<std::unique_ptr<IoFile>> wrap(IoResult<std::unique_ptr<IoFile>> file) const {
      if (!file) return file;
      return std::make_unique<SwallowingFile>(std::move(*file), swallows_);
    }
    IoBackend& inner_;
    const Swallows& swallows_;
  };

  Life life_;
  Swallows swallows_;
};

bool after_nodes(const LastWrites& writes) { return writes.node(); }
bool between_slots(const LastWrites& writes) { return writes.first_of_two_slots(); }

TEST(AllocExhaustive, finds_a_barrier_that_is_missing_before_the_superblock) {
  const std::string failure = failure_of(Swallowing(Life::created, after_nodes), {.steps = 1});
  EXPECT_THAT(failure,
              StartsWith("nvme-512: sync\ncrash at boundary 3 of the last operation, page 260 pending, page "));
  EXPECT_THAT(failure, HasSubstr(" crash_mode 0 8 7\n"));
  EXPECT_THAT(failure, HasSubstr(" unit_fate 7 16 0\n"));
  EXPECT_THAT(failure, HasSubstr(" length_fate 0 2 "));
  EXPECT_THAT(failure, HasSubstr("the allocation map does not verify: page 260: past the end of the file"));
}

TEST(AllocExhaustive, finds_a_node_that_may_be_torn_under_a_superblock) {
  // As above, on a file that is long enough: only a tear tells.
  const std::string failure = failure_of(Swallowing(Life::opened, after_nodes), {.steps = 1}, used);
  EXPECT_THAT(failure, StartsWith("nvme-512: shrink\ncrash at boundary "));
  EXPECT_THAT(failure, HasSubstr(" unit_fate 0 16 7\n"));
  EXPECT_THAT(failure, HasSubstr("the allocation map does not verify: page 260: generation"));
}

TEST(AllocExhaustive, finds_a_barrier_that_is_missing_between_the_superblocks) {
  const std::string failure =
      failure_of(Swallowing(Life::created, between_slots), {.profile = "sata-512e-misaligned", .steps = 1});
  EXPECT_THAT(failure, HasSubstr("page 0 pending"));
  EXPECT_THAT(failure, HasSubstr("page 256 pending"));
  EXPECT_THAT(failure, HasSubstr("no superblock"));
}

TEST(AllocExhaustive, finds_a_missing_barrier_of_a_recovery_by_crashing_it) {
  const Swallowing engine(Life::opened, between_slots);
  Reach reach{.profile = "sata-512e-misaligned", .steps = 1};
  Exhaustive blind(engine, reach);
  blind.run();
  EXPECT_TRUE(blind.complete()) << blind.failure();
  reach.recoveries = true;
  const std::string failure = failure_of(engine, reach);
  EXPECT_THAT(failure, HasSubstr("of the recovery, page "));
  EXPECT_THAT(failure, HasSubstr("no superblock"));
}

TEST(AllocExhaustive, finds_a_sync_that_returns_before_it_is_durable) {
  // The barriers of create, which knows no nodes, are there, and the one before the superblock.
  const Swallowing engine(Life::created, [any = false](const LastWrites& writes) mutable {
    any |= writes.node();
    return any && !writes.node();
  });
  const std::string failure = failure_of(engine, {.profile = "nvme-4k", .steps = 2});
  EXPECT_THAT(failure, StartsWith("nvme-4k: sync\ncrash at boundary "));
  EXPECT_THAT(failure, HasSubstr("a sync had made allocation commit 1 durable, but the crash left commit 0"));
}

TEST(AllocExhaustive, finds_nothing_in_an_engine_that_hands_every_call_on) {
  for (const Life life : {Life::created, Life::opened}) {
    const WrongEngine engine = with_allocator<ForwardingAllocator>(life);
    Exhaustive exhaustive(engine, {.steps = 2, .recoveries = true}, used);
    exhaustive.run();
    EXPECT_TRUE(exhaustive.complete()) << exhaustive.failure();
  }
}

TEST(AllocExhaustive, finds_a_sync_that_does_nothing) {
  class Forgets final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<void> sync() override { return {}; }
  };
  const std::string failure = failure_of(with_allocator<Forgets>(Life::created), {.steps = 2});
  EXPECT_THAT(failure, StartsWith("nvme-512: allocate, sync\n"));
  EXPECT_THAT(failure, HasSubstr("the crash left in use nothing; durable was [2, 3), under way no sync"));
}

TEST(AllocExhaustive, finds_a_sync_that_does_nothing_after_a_recovery) {
  class Forgets final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<void> sync() override { return {}; }
  };
  EXPECT_THAT(failure_of(with_allocator<Forgets>(Life::opened), {.steps = 0}),
              HasSubstr("a sync after a recovery returned Ok and left in use nothing, not [2, 3)"));
}

TEST(AllocExhaustive, finds_a_recovery_that_gives_out_pages_in_use) {
  class GivesOutAgain final : public ForwardingAllocator {
   public:
    using ForwardingAllocator::ForwardingAllocator;
    Result<PageId> allocate() override {
      if (inner_->is_allocated(PageId{2}).value()) return PageId{2};
      return inner_->allocate();
    }
  };
  const std::string failure = failure_of(with_allocator<GivesOutAgain>(Life::opened), {.steps = 2});
  EXPECT_THAT(failure, HasSubstr("nvme-512: allocate, sync\ncrash at boundary "));
  EXPECT_THAT(failure, HasSubstr("pages from 2 on were given out, and somebody has one"));
}

TEST(AllocExhaustive, finds_pages_given_out_before_their_being_free_is_durable) {
  class Hurries final : public Forwarding {
   public:
    using Forwarding::Forwarding;
    Result<std::unique_ptr<AllocatorSubject>> allocator(const PageAllocatorOptions& options) override {
      PageAllocatorOptions changed = options;
      changed.reuse_before_sync = true;
      return inner_->allocator(changed);
    }
  };
  const std::string failure = failure_of(WrongEngine(wrapped<Hurries>()), {.steps = 4});
  EXPECT_THAT(failure, HasSubstr("a crash may still bring back a state in which it is in use"));
}

}  // namespace
}  // namespace pagedb::scenarios
