// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Every scenario on a real disk: clean, the same operations for the same seed, and nothing left behind.
#include "scenarios/real_run.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "engine/io/direct_io.h"

namespace pagedb::scenarios {
namespace {

class RealRunTest : public ::testing::TestWithParam<const Scenario*> {
 protected:
  void SetUp() override {
    std::string name = "real_run_test.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  RunResult run(std::uint64_t seed, IoBackend& backend) {
    sim::PrngChoices choices(seed);
    RealRequest request;
    request.seed = seed;
    request.choices = &choices;
    request.backend = &backend;
    request.directory = directory_;
    return GetParam()->run_real(request);
  }

  std::string directory_;
};

INSTANTIATE_TEST_SUITE_P(, RealRunTest, ::testing::ValuesIn(all_scenarios().begin(), all_scenarios().end()),
                         [](const auto& which) { return std::string(which.param->name()); });

TEST_P(RealRunTest, IsCleanAndLeavesNothingBehind) {
  DirectIo backend({.caching = Caching::buffered});
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const RunResult result = run(seed, backend);
    for (const Violation& violation : result.violations) ADD_FAILURE() << violation.message;
    EXPECT_EQ(result.counters.seeds, 1u);
    EXPECT_EQ(result.counters.recoveries_verified, 1u) << "reopened and read at the end";
    EXPECT_EQ(result.counters.crashes, 0u);
    EXPECT_TRUE(std::filesystem::is_empty(directory_));
  }
}

/// A disk on which every write goes to the page after the one it was meant for.
class Misdirecting final : public IoBackend {
 public:
  IoResult<std::unique_ptr<IoFile>> open(const std::string& path, Access access) noexcept override {
    return inner_.open(path, access);
  }
  IoResult<std::unique_ptr<IoFile>> create(const std::string& path) noexcept override {
    return inner_.create(path).map([](std::unique_ptr<IoFile> file) -> std::unique_ptr<IoFile> {
      return std::make_unique<File>(std::move(file));
    });
  }
  int sync_directory(const std::string& path) noexcept override { return inner_.sync_directory(path); }

 private:
  class File final : public IoFile {
   public:
    explicit File(std::unique_ptr<IoFile> inner) : inner_(std::move(inner)) {}
    IoLimits limits() const noexcept override { return inner_->limits(); }
    IoResult<std::uint64_t> size() noexcept override { return inner_->size(); }
    int resize(std::uint64_t bytes) noexcept override { return inner_->resize(bytes); }
    int sync() noexcept override { return inner_->sync(); }
    void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
      std::vector<IoRequest> moved(requests.begin(), requests.end());
      for (IoRequest& request : moved) {
        // Not the superblocks: the file itself must stay one.
        if (request.op == IoOp::write && request.offset % (1u << 20) != 0) request.offset += 4096;
      }
      inner_->run(moved, done);
    }

   private:
    std::unique_ptr<IoFile> inner_;
  };
  DirectIo inner_{{.caching = Caching::buffered}};
};

TEST_P(RealRunTest, NoticesADiskThatIsWrong) {
  Misdirecting backend;
  const RunResult result = run(0, backend);
  ASSERT_FALSE(result.violations.empty());
  EXPECT_EQ(result.violations.front().scenario, GetParam()->name());
  EXPECT_EQ(result.violations.front().profile, "real disk");
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_P(RealRunTest, SaysWhenItsDirectoryIsNotThere) {
  DirectIo backend({.caching = Caching::buffered});
  std::filesystem::remove_all(directory_);
  const RunResult result = run(0, backend);
  ASSERT_FALSE(result.violations.empty());
  EXPECT_EQ(result.violations.front().invariant, Invariant::typed_errors);
  EXPECT_NE(result.violations.front().message.find("create failed on a real disk"), std::string::npos);
}

}  // namespace
}  // namespace pagedb::scenarios
