// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The transfer policy against a file that does as its script says.
#include "engine/io/transfer.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <vector>

namespace pagedb {
namespace {

constexpr int kAll = 0;  // move all that was asked for

// What the scripted file does with one request: an errno value, or up to that many bytes.
struct Step {
  int error = 0;
  std::size_t most = std::numeric_limits<std::size_t>::max();
};
Step fails(int error) { return {.error = error}; }
Step moves(std::size_t bytes) { return {.error = kAll, .most = bytes}; }

class ScriptedFile final : public IoFile {
 public:
  explicit ScriptedFile(std::size_t bytes = 64 * 1024, std::uint32_t align = 512) : content(bytes), align_(align) {}

  IoLimits limits() const noexcept override { return {.memory_align = 1, .offset_align = align_, .queue_depth = 8}; }
  IoResult<std::uint64_t> size() noexcept override { return content.size(); }
  int resize(std::uint64_t bytes) noexcept override {
    content.resize(bytes);
    return 0;
  }
  int sync() noexcept override {
    ++syncs;
    if (sync_script.empty()) return 0;
    const int error = sync_script.front();
    sync_script.pop_front();
    return error;
  }
  // Completions come in reverse order, as a device may deliver them.
  void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
    ++runs;
    for (std::size_t i = requests.size(); i-- > 0;) done(i, serve(requests[i]));
  }

  std::vector<std::byte> content;
  std::deque<Step> script;                           // for the next requests
  std::map<std::uint64_t, std::deque<Step>> places;  // for requests that begin at an offset
  std::deque<int> sync_script;
  int runs = 0;
  int served = 0;
  int syncs = 0;

 private:
  IoStatus serve(const IoRequest& request) {
    ++served;
    Step step;
    auto& steps = places.contains(request.offset) && !places[request.offset].empty() ? places[request.offset] : script;
    if (!steps.empty()) {
      step = steps.front();
      steps.pop_front();
    }
    if (step.error != 0) return {.error = step.error};
    const std::size_t there = request.offset < content.size() ? content.size() - request.offset : 0;
    const std::size_t bytes = std::min({step.most, request.size, there});
    if (bytes == 0) return {};
    std::byte* const place = content.data() + request.offset;
    if (request.op == IoOp::read) std::memcpy(request.data, place, bytes);
    if (request.op == IoOp::write) std::memcpy(place, request.data, bytes);
    return {.bytes = bytes};
  }

  std::uint32_t align_;
};

// Nothing to wait for: remembers how the pauses grew.
class PauseRecorder final : public Scheduler {
 public:
  TaskId current() noexcept override { return {1}; }
  bool park(Time) noexcept override { return true; }
  void unpark(TaskId) noexcept override {}
  TaskId spawn(std::string_view, std::function<void()>) override { return {}; }
  void join(TaskId) noexcept override {}
  Time now() noexcept override { return {}; }
  void relax(unsigned attempt) noexcept override { pauses.push_back(attempt); }

  std::vector<unsigned> pauses;
};

class TransferTest : public testing::Test {
 protected:
  TransferTest() {
    for (std::size_t i = 0; i < memory_.size(); ++i) memory_[i] = static_cast<std::byte>(i / 7);
  }
  IoRequest write_all() { return {.op = IoOp::write, .offset = 4096, .data = memory_.data(), .size = memory_.size()}; }
  bool written() const { return std::memcmp(file_.content.data() + 4096, memory_.data(), memory_.size()) == 0; }

  ScriptedFile file_;
  PauseRecorder scheduler_;
  std::array<std::byte, 4096> memory_{};
};

TEST_F(TransferTest, one_call_when_all_goes_well) {
  EXPECT_TRUE(transfer(file_, scheduler_, write_all()));
  EXPECT_TRUE(written());
  EXPECT_EQ(file_.runs, 1);
  EXPECT_TRUE(scheduler_.pauses.empty());
}

TEST_F(TransferTest, interruptions_are_tried_again_with_growing_pauses) {
  file_.script = {fails(EINTR), fails(EAGAIN), fails(EINTR)};
  EXPECT_TRUE(transfer(file_, scheduler_, write_all()));
  EXPECT_TRUE(written());
  EXPECT_EQ(scheduler_.pauses, (std::vector<unsigned>{0, 1, 2}));
}

TEST_F(TransferTest, interruptions_without_end_are_an_error) {
  for (const int error : {EINTR, EAGAIN}) {
    file_.script.assign(100, fails(error));
    file_.served = 0;
    const auto result = transfer(file_, scheduler_, write_all());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::io_error);
    EXPECT_EQ(result.error().sys_errno, error);
    EXPECT_EQ(file_.served, static_cast<int>(kTransferAttempts));
  }
}

TEST_F(TransferTest, aligned_remainders_are_continued_without_pause) {
  file_.script = {moves(512), moves(1024), moves(2048)};
  EXPECT_TRUE(transfer(file_, scheduler_, write_all()));
  EXPECT_TRUE(written());
  EXPECT_EQ(file_.served, 4);
  EXPECT_TRUE(scheduler_.pauses.empty());
}

TEST_F(TransferTest, unaligned_progress_goes_on_from_the_aligned_part) {
  file_.script = {moves(700)};
  EXPECT_TRUE(transfer(file_, scheduler_, write_all()));
  EXPECT_TRUE(written());
  EXPECT_EQ(file_.served, 2);
}

TEST_F(TransferTest, many_small_steps_reach_the_end) {
  file_.script.assign(7, moves(512));
  EXPECT_TRUE(transfer(file_, scheduler_, write_all()));
  EXPECT_TRUE(written());
}

TEST_F(TransferTest, progress_too_small_to_keep_is_a_short_transfer) {
  file_.script.assign(100, moves(100));
  const auto result = transfer(file_, scheduler_, write_all());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::short_transfer);
  EXPECT_EQ(result.error().actual, 100u);
  EXPECT_EQ(result.error().expected, 4096u);
  EXPECT_EQ(file_.served, static_cast<int>(kTransferAttempts));
}

TEST_F(TransferTest, nothing_moved_is_a_short_transfer_in_the_end) {
  file_.script = {moves(1024)};
  file_.script.insert(file_.script.end(), 100, moves(0));
  const auto result = transfer(file_, scheduler_, write_all());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::short_transfer);
  EXPECT_EQ(result.error().actual, 1024u);
  EXPECT_EQ(file_.served, 1 + static_cast<int>(kTransferAttempts));
  EXPECT_EQ(scheduler_.pauses.size(), kTransferAttempts - 1);
}

TEST_F(TransferTest, a_stall_among_progress_is_survived) {
  file_.script = {moves(512), moves(0), fails(EINTR), moves(512), moves(0)};
  EXPECT_TRUE(transfer(file_, scheduler_, write_all()));
  EXPECT_TRUE(written());
}

TEST_F(TransferTest, device_errors_are_final) {
  const std::map<int, ErrorCode> meanings{{EIO, ErrorCode::io_error},
                                          {ENOSPC, ErrorCode::no_space},
                                          {EDQUOT, ErrorCode::no_space},
                                          {EOPNOTSUPP, ErrorCode::unsupported},
                                          {ENOSYS, ErrorCode::unsupported},
                                          {EROFS, ErrorCode::permission_denied},
                                          {EPERM, ErrorCode::permission_denied},
                                          {EACCES, ErrorCode::permission_denied},
                                          {ENOMEM, ErrorCode::out_of_memory},
                                          {EBADF, ErrorCode::io_error}};
  for (const auto& [error, code] : meanings) {
    file_.script = {fails(error)};
    file_.served = 0;
    const auto result = transfer(file_, scheduler_, write_all());
    ASSERT_FALSE(result);
    EXPECT_EQ(name(result.error().code), name(code));
    EXPECT_EQ(result.error().sys_errno, error);
    EXPECT_EQ(file_.served, 1);
  }
}

TEST_F(TransferTest, an_error_after_some_progress_is_that_error) {
  file_.script = {moves(1024), fails(ENOSPC)};
  EXPECT_EQ(transfer(file_, scheduler_, write_all()).error().code, ErrorCode::no_space);
}

TEST_F(TransferTest, einval_is_misaligned_only_when_the_request_is) {
  file_.script = {fails(EINVAL), fails(EINVAL)};
  EXPECT_EQ(transfer(file_, scheduler_, write_all()).error().code, ErrorCode::io_error);
  IoRequest odd = write_all();
  odd.offset += 100;
  const auto result = transfer(file_, scheduler_, odd);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::misaligned);
  EXPECT_EQ(result.error().expected, 512u);
}

TEST_F(TransferTest, a_read_that_meets_the_end_has_what_it_needs) {
  ScriptedFile small(700);
  const IoRequest request{.op = IoOp::read, .offset = 0, .data = memory_.data(), .size = 1024};
  EXPECT_TRUE(transfer(small, scheduler_, request, 700));
  EXPECT_EQ(small.runs, 1);
  const auto more = transfer(small, scheduler_, request);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::short_transfer);
  EXPECT_EQ(more.error().actual, 700u);
}

class TransferBatchTest : public TransferTest {
 protected:
  static constexpr std::size_t kCount = 2500;  // more than one chunk
  static constexpr std::size_t kSize = 1024;

  TransferBatchTest() : big_(kCount * kSize), data_(kCount * kSize) {
    for (std::size_t i = 0; i < data_.size(); ++i) data_[i] = static_cast<std::byte>(i / kSize + i);
    for (std::size_t i = 0; i < kCount; ++i) {
      requests_.push_back({.op = IoOp::write, .offset = i * kSize, .data = data_.data() + i * kSize, .size = kSize});
    }
  }

  // How each request ended; fails when one ended twice or never.
  std::vector<Result<void>> run() {
    std::vector<Result<void>> results(kCount);
    std::vector<int> ended(kCount);
    transfer_batch(big_, scheduler_, requests_, [&](std::size_t i, const Result<void>& result) {
      results[i] = result;
      ++ended[i];
    });
    EXPECT_EQ(ended, std::vector<int>(kCount, 1));
    return results;
  }

  ScriptedFile big_;
  std::vector<std::byte> data_;
  std::vector<IoRequest> requests_;
};

TEST_F(TransferBatchTest, all_goes_well) {
  for (const auto& result : run()) EXPECT_TRUE(result);
  EXPECT_EQ(big_.content, data_);
  EXPECT_EQ(big_.served, static_cast<int>(kCount));
}

TEST_F(TransferBatchTest, only_what_is_left_is_run_again) {
  big_.places[3 * kSize] = {moves(512)};
  big_.places[1500 * kSize] = {fails(EINTR), moves(0), fails(EAGAIN)};
  big_.places[2400 * kSize] = {moves(700)};
  for (const auto& result : run()) EXPECT_TRUE(result);
  EXPECT_EQ(big_.content, data_);
  EXPECT_EQ(big_.served, static_cast<int>(kCount) + 1 + 3 + 1);
}

TEST_F(TransferBatchTest, each_request_fails_by_itself) {
  big_.places[7 * kSize] = {fails(EIO)};
  big_.places[1024 * kSize] = std::deque<Step>(100, moves(0));
  big_.places[1025 * kSize] = std::deque<Step>(100, fails(EINTR));
  const auto results = run();
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(results[i].has_value(), i != 7 && i != 1024 && i != 1025) << i;
  EXPECT_EQ(results[7].error().code, ErrorCode::io_error);
  EXPECT_EQ(results[1024].error().code, ErrorCode::short_transfer);
  EXPECT_EQ(results[1025].error().sys_errno, EINTR);
}

TEST_F(TransferBatchTest, every_request_in_trouble_at_once) {
  for (std::size_t i = 0; i < kCount; ++i) big_.places[i * kSize] = {fails(EAGAIN), moves(512)};
  for (const auto& result : run()) EXPECT_TRUE(result);
  EXPECT_EQ(big_.content, data_);
  EXPECT_EQ(big_.served, static_cast<int>(3 * kCount));
}

TEST_F(TransferBatchTest, an_empty_batch_does_nothing) {
  transfer_batch(big_, scheduler_, {}, [](std::size_t, const Result<void>&) { FAIL(); });
  EXPECT_EQ(big_.runs, 0);
}

TEST_F(TransferTest, an_interrupted_sync_is_tried_again) {
  file_.sync_script = {EINTR, EINTR};
  EXPECT_TRUE(sync_file(file_, scheduler_));
  EXPECT_EQ(file_.syncs, 3);
}

TEST_F(TransferTest, a_failed_sync_is_never_repeated) {
  for (const int error : {EIO, EAGAIN, ENOSPC, EROFS}) {
    file_.sync_script = {error};
    file_.syncs = 0;
    const auto result = sync_file(file_, scheduler_);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().sys_errno, error);
    EXPECT_EQ(file_.syncs, 1);
  }
}

TEST_F(TransferTest, a_sync_that_is_interrupted_without_end_is_an_error) {
  file_.sync_script.assign(100, EINTR);
  EXPECT_EQ(sync_file(file_, scheduler_).error().sys_errno, EINTR);
  EXPECT_EQ(file_.syncs, static_cast<int>(kTransferAttempts));
}

}  // namespace
}  // namespace pagedb
