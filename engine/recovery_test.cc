// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Recovery: every row of the decision table, healing by a later image, what is refused, errors, and being cut off.
#include "engine/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/recovery_test.h"

namespace pagedb {
namespace {

using namespace testing_support;
using testing::ElementsAre;

class RecoveryTest : public testing::Test {
 protected:
  Result<RecoveryReport> run(const RecoveryOptions& options = {}) {
    log_.rewind();
    return recover(scheduler_, store_, log_, mix, options);
  }
  RecoveryReport ok(const RecoveryOptions& options = {}) {
    const auto report = run(options);
    EXPECT_TRUE(report) << report.error().message();
    return report.value_or(RecoveryReport{});
  }
  /// The LSN of page `id` as a crash now would leave it.
  std::uint64_t lsn_of(std::uint64_t id) {
    std::vector<std::byte> page(4096);
    const auto header = store_.read(PageId{id}, page);
    return header ? header->lsn : ~std::uint64_t{0};
  }
  void spoil(std::uint64_t id) { spoilt_.insert(id); }

  void SetUp() override {
    store_.on_read = [this](PageId id) -> std::optional<ErrorCode> {
      if (spoilt_.contains(id.value) && store_.writes_of(id.value) == 0) return ErrorCode::bad_checksum;
      return std::nullopt;
    };
  }

  ThreadScheduler scheduler_;
  MemoryStore store_;
  ListedLog log_;
  std::set<std::uint64_t> spoilt_;
};

// ---- the table

TEST_F(RecoveryTest, a_page_that_has_the_record_is_left_alone) {
  for (const std::uint64_t page : {5u, 6u, 7u}) put_page(store_, page, page, 100);
  for (const std::uint64_t page : {5u, 6u, 7u}) log_.change(page, 5, 3, 1);
  for (const std::uint64_t page : {6u, 7u}) log_.image(page, 6, 5, 2);
  const auto report = ok();
  EXPECT_EQ(report.records_skipped, 5u);
  EXPECT_EQ(report.pages_redone, 0u);
  EXPECT_EQ(store_.write_count(), 0u);
  EXPECT_TRUE(report.complete());
}

TEST_F(RecoveryTest, a_page_at_the_previous_lsn_is_changed_in_order) {
  put_page(store_, 1, 5, 100);
  log_.change(1, 6, 5, 1);
  log_.change(2, 7, 0, 9);
  log_.change(1, 8, 6, 2);
  const auto report = ok();
  EXPECT_EQ(store_.durable(1), mixed(mixed(100, 1), 2));
  EXPECT_EQ(lsn_of(1), 8u);
  EXPECT_EQ(store_.durable(2), mixed(0, 9)) << "a page that was never written has LSN 0";
  EXPECT_EQ(report.changes_applied, 3u);
  EXPECT_EQ(report.pages_redone, 2u);
  EXPECT_EQ(report.restored_from_image, 0u);
  EXPECT_EQ(store_.writes_of(1), 1);
  EXPECT_TRUE(report.complete());
}

TEST_F(RecoveryTest, an_image_takes_the_place_of_an_older_page) {
  put_page(store_, 1, 5, 100);
  log_.image(1, 6, 5, 1);
  log_.image(2, 7, 0, 9);
  log_.change(2, 8, 7, 3);
  const auto report = ok();
  EXPECT_EQ(store_.durable(1), 1u);
  EXPECT_EQ(store_.durable(2), mixed(9, 3));
  EXPECT_EQ(report.images_installed, 2u);
  EXPECT_EQ(report.restored_from_image, 0u) << "neither page was damaged";
}

TEST_F(RecoveryTest, a_page_below_the_previous_lsn_has_lost_a_write) {
  put_page(store_, 1, 5, 100);
  log_.change(1, 9, 7, 1);
  log_.change(1, 12, 9, 2);
  log_.change(3, 10, 4, 1);  // never written, though the log says it was
  const auto report = ok();
  EXPECT_EQ(report.lost_writes, 2u);
  ASSERT_EQ(report.unrecoverable.size(), 2u);
  EXPECT_EQ(report.unrecoverable[0].page, PageId{1});
  EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::lost_write);
  EXPECT_EQ(report.unrecoverable[0].found, Lsn{5});
  EXPECT_EQ(report.unrecoverable[0].needed, Lsn{9});
  EXPECT_EQ(report.unrecoverable[1].page, PageId{3});
  EXPECT_EQ(store_.write_count(), 0u) << "the evidence stays";
}

TEST_F(RecoveryTest, a_page_in_between_is_a_broken_chain) {
  put_page(store_, 1, 6, 100);
  log_.change(1, 9, 5, 1);
  const auto report = ok();
  EXPECT_EQ(report.lost_writes, 0u);
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::broken_chain);
  EXPECT_EQ(store_.write_count(), 0u);
}

TEST_F(RecoveryTest, a_page_that_does_not_verify_waits_for_an_image) {
  put_page(store_, 1, 5, 100);
  put_page(store_, 2, 5, 100);
  spoil(1);
  spoil(2);
  for (const std::uint64_t page : {1u, 2u}) log_.change(page, 6, 5, 1);
  log_.image(2, 7, 6, 50);
  log_.change(2, 8, 7, 3);
  const auto report = ok();
  EXPECT_EQ(store_.durable(2), mixed(50, 3));
  EXPECT_EQ(report.restored_from_image, 1u);
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].page, PageId{1});
  EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::invalid);
  EXPECT_EQ(report.unrecoverable[0].error, ErrorCode::bad_checksum);
  EXPECT_EQ(report.unrecoverable[0].needed, Lsn{6});
}

TEST_F(RecoveryTest, a_later_image_heals_what_was_lost_or_broken) {
  put_page(store_, 1, 5, 100);
  put_page(store_, 2, 6, 100);
  log_.change(1, 9, 7, 1);
  log_.change(2, 9, 5, 1);
  log_.image(1, 10, 9, 20);
  log_.image(2, 10, 9, 30);
  const auto report = ok();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.lost_writes, 2u) << "page 2 is below the image's previous LSN";
  EXPECT_EQ(report.restored_from_image, 2u);
  EXPECT_EQ(store_.durable(1), 20u);
  EXPECT_EQ(store_.durable(2), 30u);
}

TEST_F(RecoveryTest, a_page_may_be_damaged_again_after_an_image) {
  log_.image(1, 10, 0, 20);
  log_.change(1, 13, 12, 1);
  const auto report = ok();
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].found, Lsn{10});
  EXPECT_EQ(store_.durable(1), 20u) << "as far as the log leads";
}

TEST_F(RecoveryTest, every_read_error_about_a_page_is_an_invalid_page_and_no_other) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::allocation_damaged); ++code) {
    MemoryStore store;
    put_page(store, 1, 5, 100);
    store.on_read = [code](PageId) { return static_cast<ErrorCode>(code); };
    ListedLog log;
    log.change(1, 6, 5, 1);
    const auto report = recover(scheduler_, store, log, mix);
    switch (static_cast<ErrorCode>(code)) {
      case ErrorCode::io_error:
      case ErrorCode::bad_length:
      case ErrorCode::bad_magic:
      case ErrorCode::bad_version:
      case ErrorCode::bad_checksum:
      case ErrorCode::wrong_page_id:
      case ErrorCode::wrong_file:
        ASSERT_TRUE(report);
        EXPECT_EQ(report->unrecoverable.at(0).why, RedoDamage::invalid);
        break;
      case ErrorCode::never_written:
      case ErrorCode::beyond_end:
        ASSERT_TRUE(report);
        EXPECT_EQ(report->unrecoverable.at(0).why, RedoDamage::lost_write) << "the log says that it was written";
        break;
      default:
        ASSERT_FALSE(report);
        EXPECT_EQ(report.error().code, static_cast<ErrorCode>(code));
    }
    EXPECT_EQ(store.write_count(), 0u);
  }
}

// ---- records that make no sense

TEST_F(RecoveryTest, what_the_change_function_refuses_stays_as_it_was_found) {
  put_page(store_, 1, 5, 100);
  log_.change(1, 6, 5, 1);
  log_.add(RedoKind::change, 1, 7, 6, {std::byte{1}});
  log_.change(1, 8, 7, 1);
  const auto report = ok();
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::refused);
  EXPECT_EQ(report.unrecoverable[0].error, ErrorCode::bad_length);
  EXPECT_EQ(report.unrecoverable[0].needed, Lsn{7});
  EXPECT_EQ(store_.write_count(), 0u) << "half of a change is in memory only";
}

TEST_F(RecoveryTest, an_image_heals_a_refused_change) {
  put_page(store_, 1, 5, 100);
  log_.add(RedoKind::change, 1, 7, 5, {std::byte{1}});
  log_.image(1, 8, 7, 9);
  const auto report = ok();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.restored_from_image, 1u);
  EXPECT_EQ(store_.durable(1), 9u);
}

TEST_F(RecoveryTest, an_image_that_is_not_written_heals_nothing) {
  put_page(store_, 10, 5, 100);
  spoil(10);
  log_.change(10, 6, 5, 1);
  for (std::uint64_t page = 100; page < 200; ++page) log_.image(page, page, 0, page);  // more than a gathering holds
  log_.image(10, 300, 6, 1);
  log_.add(RedoKind::change, 10, 301, 300, {std::byte{1}});
  const auto report = ok({.redo_memory = 0});
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::invalid) << "as it stands on disk, and the first reason";
  EXPECT_EQ(report.restored_from_image, 0u);
  EXPECT_EQ(store_.writes_of(10), 0);
}

TEST_F(RecoveryTest, an_image_of_another_size_is_refused) {
  for (const std::size_t size : {0u, 1u, 4095u, 4097u, 8192u}) {
    log_.records.clear();
    log_.add(RedoKind::image, 1, 7, 0, std::vector<std::byte>(size));
    const auto report = ok();
    ASSERT_EQ(report.unrecoverable.size(), 1u);
    EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::refused);
    EXPECT_EQ(report.unrecoverable[0].error, ErrorCode::bad_length);
  }
  EXPECT_EQ(store_.write_count(), 0u);
}

TEST_F(RecoveryTest, a_page_that_cannot_be_written_is_refused_and_not_read) {
  log_.image(MemoryStore::kPagesMax, 7, 0, 1);
  log_.image(~std::uint64_t{0}, 7, 0, 1);
  log_.image(3, 7, 0, 1);
  const auto report = ok();
  ASSERT_EQ(report.unrecoverable.size(), 2u);
  EXPECT_EQ(report.unrecoverable[0].error, ErrorCode::page_id_overflow);
  EXPECT_EQ(store_.read_count(), 1u);
  EXPECT_EQ(store_.durable(3), 1u);
}

TEST_F(RecoveryTest, lsns_that_make_no_sense_do_no_harm) {
  put_page(store_, 1, 5, 100);
  log_.change(1, 0, 0, 1);                  // LSN 0 is reached by every page
  log_.change(1, 9, 9, 1);                  // its own predecessor
  log_.change(1, 8, ~std::uint64_t{0}, 1);  // a predecessor that is later
  log_.change(2, ~std::uint64_t{0}, 0, 1);  // the last LSN there is
  log_.change(2, 4, 0, 1);                  // and an earlier one, later in the log
  const auto report = ok();
  EXPECT_EQ(store_.durable(1), 100u);
  EXPECT_EQ(report.unrecoverable.size(), 2u) << "page 2's last record has another predecessor";
  EXPECT_EQ(store_.durable(2), mixed(0, 1));
}

TEST_F(RecoveryTest, a_record_larger_than_the_memory_ends_the_recovery) {
  log_.image(1, 5, 0, 1);
  log_.add(RedoKind::change, 2, 6, 0, std::vector<std::byte>(kRedoMemoryMin));
  const auto report = run({.redo_memory = 1});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(report.error().page, PageId{2});
}

// ---- more records than memory

TEST_F(RecoveryTest, a_log_larger_than_the_memory_is_redone_in_several_gatherings) {
  std::vector<std::uint64_t> expected(40), lsns(40);
  for (std::uint64_t lsn = 1; lsn <= 5000; ++lsn) {
    const std::uint64_t page = lsn * 7 % 40;
    log_.change(page, lsn, lsns[page], lsn);
    expected[page] = mixed(expected[page], lsn);
    lsns[page] = lsn;
  }
  const auto report = ok({.redo_memory = 0});
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.changes_applied, 5000u);
  EXPECT_GT(report.pages_scanned, 5 * 40u) << "several gatherings";
  for (std::uint64_t page = 0; page < 40; ++page) EXPECT_EQ(store_.durable(page), expected[page]);
}

TEST_F(RecoveryTest, an_image_in_a_later_gathering_heals) {
  for (const std::uint64_t page : {10u, 11u, 12u, 13u}) put_page(store_, page, 5, 100);
  spoil(10);
  spoil(13);
  log_.change(10, 6, 5, 1);
  log_.change(11, 7, 6, 1);                                                            // lost
  log_.add(RedoKind::change, 12, 8, 5, {std::byte{1}});                                // refused
  log_.change(13, 9, 5, 1);                                                            // never healed
  for (std::uint64_t page = 100; page < 200; ++page) log_.image(page, page, 0, page);  // more than a gathering holds
  for (const std::uint64_t page : {10u, 11u, 12u}) log_.image(page, 300 + page, 9, page);
  const auto report = ok({.redo_memory = 0});
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].page, PageId{13});
  EXPECT_EQ(report.restored_from_image, 3u);
  EXPECT_EQ(report.lost_writes, 2u) << "each page counts once: 11, and 12, whose image says what preceded it";
  for (const std::uint64_t page : {10u, 11u, 12u}) EXPECT_EQ(store_.durable(page), page);
}

TEST_F(RecoveryTest, the_first_reason_is_kept_over_gatherings) {
  put_page(store_, 10, 5, 100);
  log_.add(RedoKind::change, 10, 8, 5, {std::byte{1}});
  for (std::uint64_t page = 100; page < 200; ++page) log_.image(page, page, 0, page);
  log_.change(10, 300, 8, 1);
  const auto report = ok({.redo_memory = 0});
  ASSERT_EQ(report.unrecoverable.size(), 1u);
  EXPECT_EQ(report.unrecoverable[0].why, RedoDamage::refused);
  EXPECT_EQ(report.unrecoverable[0].needed, Lsn{8});
}

TEST_F(RecoveryTest, a_report_that_would_outgrow_the_memory_ends_the_recovery) {
  for (std::uint64_t page = 0; page < 20'000; ++page) log_.change(page, page + 10, 5, 1);
  const auto report = run({.redo_memory = 0});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::out_of_memory);
}

TEST_F(RecoveryTest, more_pages_than_a_task_has_memory_for_are_read_in_turn) {
  for (std::uint64_t page = 0; page < 3000; ++page) log_.change(page, page + 1, 0, page);
  const auto report = ok({.tasks = 1});
  EXPECT_EQ(report.pages_redone, 3000u);
  EXPECT_LE(store_.batches_max(), 256u);
  for (std::uint64_t page = 0; page < 3000; ++page) ASSERT_EQ(store_.durable(page), mixed(0, page));
}

TEST_F(RecoveryTest, a_page_with_more_records_than_a_window_is_redone_once) {
  std::uint64_t expected = 0;
  for (std::uint64_t lsn = 1; lsn <= 5000; ++lsn) {
    log_.change(7, lsn, lsn - 1, lsn);
    expected = mixed(expected, lsn);
  }
  for (std::uint64_t page = 8; page < 2000; ++page) log_.change(page, 6000 + page, 0, page);
  const auto report = ok();
  EXPECT_EQ(store_.durable(7), expected);
  EXPECT_EQ(store_.writes_of(7), 1);
  EXPECT_EQ(report.pages_redone, 1993u);
}

// ---- the rest of the interface

TEST_F(RecoveryTest, records_below_redo_from_are_skipped) {
  log_.change(1, 4, 3, 1);
  log_.image(1, 5, 4, 2);
  const auto report = ok({.redo_from = Lsn{5}});
  EXPECT_EQ(report.records_skipped, 1u);
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(store_.durable(1), 2u);
}

TEST_F(RecoveryTest, an_empty_log_needs_nothing_of_the_store) {
  store_.read_only = true;
  EXPECT_EQ(ok().records, 0u);
  EXPECT_EQ(store_.sync_count(), 0u);
}

TEST_F(RecoveryTest, what_an_attempt_that_failed_has_written_is_made_durable) {
  log_.image(1, 5, 0, 1);
  for (std::uint64_t page = 100; page < 200; ++page) log_.image(page, page, 0, page);
  log_.fails_at = 50;
  EXPECT_FALSE(run({.redo_memory = 0}));
  EXPECT_GT(store_.write_count(), 0u);
  EXPECT_EQ(store_.durable(1), std::nullopt);
  log_.fails_at.reset();
  log_.records.resize(1);
  EXPECT_EQ(ok().pages_redone, 0u);
  EXPECT_EQ(store_.durable(1), 1u);
}

struct Allocation final : RedoAllocation {
  Result<void> redo_allocate(PageId id) noexcept override { return note(static_cast<std::int64_t>(id.value)); }
  Result<void> redo_free(PageId id) noexcept override { return note(-static_cast<std::int64_t>(id.value)); }
  Result<void> note(std::int64_t what) {
    if (what == fails_at) return failure({.code = ErrorCode::allocation_damaged});
    calls.push_back(what);
    return {};
  }
  std::vector<std::int64_t> calls;
  std::int64_t fails_at = 0;
};

TEST_F(RecoveryTest, allocations_are_redone_in_order) {
  log_.add(RedoKind::allocate, 4, 5);
  log_.add(RedoKind::free, 4, 6);
  log_.add(RedoKind::allocate, 9, 7);
  Allocation allocation;
  const auto report = ok({.redo_from = Lsn{6}, .allocation = &allocation});
  EXPECT_THAT(allocation.calls, ElementsAre(-4, 9));
  EXPECT_EQ(report.allocations_redone, 2u);
  EXPECT_EQ(report.records_skipped, 1u);
  EXPECT_EQ(ok().records_skipped, 3u) << "nobody to redo them";
  allocation.fails_at = 9;
  EXPECT_EQ(run({.allocation = &allocation}).error().code, ErrorCode::allocation_damaged);
}

TEST_F(RecoveryTest, progress_is_told_on_the_calling_task) {
  for (std::uint64_t page = 0; page < 5000; ++page) log_.change(page, page + 1, 0, page);
  std::uint64_t told = 0, records = 0, reads = 0;
  const auto caller = scheduler_.current();
  const auto report = ok({.progress = [&](const RecoveryProgress& progress) {
    EXPECT_EQ(scheduler_.current(), caller);
    EXPECT_GE(progress.page_reads, reads);
    reads = progress.page_reads;
    records = progress.records;
    ++told;
  }});
  EXPECT_GE(told, 1u);
  EXPECT_EQ(records, report.records);
  EXPECT_EQ(reads, report.pages_scanned);
}

// ---- errors, and being cut off

TEST_F(RecoveryTest, errors_of_the_log_the_store_and_the_sync_are_its_result) {
  log_.image(1, 5, 0, 1);
  log_.image(2, 6, 0, 1);
  log_.fails_at = 1;
  EXPECT_EQ(run().error().code, ErrorCode::io_error);
  EXPECT_EQ(store_.sync_count(), 0u);
  log_.fails_at.reset();
  store_.on_write = [](PageId id) { return id.value == 2 ? std::optional(ErrorCode::no_space) : std::nullopt; };
  EXPECT_EQ(run().error().code, ErrorCode::no_space);
  EXPECT_EQ(store_.sync_count(), 0u);
  store_.on_write = {};
  EXPECT_TRUE(run());
  store_.on_sync = [] { return std::optional(ErrorCode::io_error); };
  EXPECT_EQ(run().error().code, ErrorCode::io_error);
  EXPECT_EQ(run().error().code, ErrorCode::poisoned);
}

TEST_F(RecoveryTest, a_read_only_store_is_an_error) {
  log_.image(1, 5, 0, 1);
  store_.read_only = true;
  EXPECT_EQ(run().error().code, ErrorCode::read_only);
}

TEST_F(RecoveryTest, repeated_it_does_nothing) {
  put_page(store_, 1, 5, 100);
  log_.change(1, 6, 5, 1);
  log_.image(2, 7, 0, 2);
  log_.change(2, 8, 7, 3);
  static_cast<void>(ok());
  const auto writes = store_.write_count();
  const auto again = ok();
  EXPECT_EQ(store_.write_count(), writes);
  EXPECT_EQ(again.records_skipped, 3u);
  EXPECT_EQ(again.pages_redone, 0u);
}

TEST_F(RecoveryTest, cut_off_at_any_write_and_begun_again_the_pages_are_the_same) {
  for (std::uint64_t lsn = 1; lsn <= 60; ++lsn) {
    if (lsn % 7 == 0) {
      log_.image(lsn % 5, lsn, lsn - std::min<std::uint64_t>(lsn, 5), lsn);
    } else {
      log_.change(lsn % 5, lsn, lsn - std::min<std::uint64_t>(lsn, 5), lsn);
    }
  }
  const auto whole = ok();
  EXPECT_TRUE(whole.complete());
  for (int cut = 0; cut < 6; ++cut) {
    MemoryStore store;
    int writes = 0;
    store.on_write = [&](PageId) { return writes++ == cut ? std::optional(ErrorCode::io_error) : std::nullopt; };
    log_.rewind();
    EXPECT_EQ(recover(scheduler_, store, log_, mix).has_value(), cut > 4);
    log_.rewind();
    const auto again = recover(scheduler_, store, log_, mix);
    ASSERT_TRUE(again && again->complete());
    for (std::uint64_t page = 0; page < 5; ++page) EXPECT_EQ(store.durable(page), store_.durable(page));
  }
}

TEST(RedoDamageTest, each_has_its_name) {
  EXPECT_EQ(name(RedoDamage::none), "none");
  EXPECT_EQ(name(RedoDamage::lost_write), "lost_write");
  EXPECT_EQ(name(RedoDamage::broken_chain), "broken_chain");
  EXPECT_EQ(name(RedoDamage::invalid), "invalid");
  EXPECT_EQ(name(RedoDamage::refused), "refused");
}

}  // namespace
}  // namespace pagedb
