// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The oracle with a log: what an image, and what a change, obliges a recovery to.
#include <gtest/gtest.h>

#include "scenarios/oracle.h"
#include "scenarios/testing/oracle_bench.h"

namespace pagedb::scenarios {
namespace {

using Kind = Verdict::Kind;

TEST(OracleLog, WithALogNothingStaleIsExcused) {
  Bench b;
  const auto one = b.write(0);
  b.acknowledge(one);
  const auto two = b.misdirect(0, 2 * kPage);
  b.acknowledge(two);
  b.sync();
  EXPECT_EQ(b.recovered(0, one.bytes).kind, Kind::excused);
  b.oracle.has_log();
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
  EXPECT_EQ(b.live(0, one.bytes).kind, Kind::excused) << "the log helps recovery only";
  b.oracle.images_from(two.lsn + 1);
  EXPECT_EQ(b.recovered(0, one.bytes).kind, Kind::excused) << "its image is no longer in the log";
}

TEST(OracleLog, WithALogOfChangesALostWriteMustBeNoticed) {
  Bench b;
  const auto [one, two] = b.one_and_astray();
  const auto three = b.intend(0);
  b.oracle.has_log(Oracle::Log::of_changes);
  b.oracle.log_durable(three.lsn);
  const auto reported = [&](std::span<const std::byte> bytes) {
    return b.oracle.judge_recovered(0, nullptr, bytes, b.media, b.length, {}, true, true);
  };

  b.oracle.images_from(three.lsn);  // redo begins with the third version, which was made of the second
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
  EXPECT_EQ(reported(one.bytes).kind, Kind::detected);
  EXPECT_EQ(b.recovered(0, three.bytes).kind, Kind::legal);
  expect_broken(reported(three.bytes), Invariant::typed_errors, "reported as lost");
  b.oracle.image_logged(three.lsn);
  expect_broken(reported(one.bytes), Invariant::durability, "made durable by a sync");
  b.oracle.images_from(three.lsn + 1);
  // The log was cut above a version that was never sent to the disk: not the device's fault.
  expect_broken(b.recovered(0, one.bytes), Invariant::durability, "made durable by a sync");
}

TEST(OracleLog, WithALogOfChangesPagesThatAreNotTooOldMustComeBack) {
  Bench b;
  const auto one = b.write(0);
  b.acknowledge(one);
  b.sync();
  b.land(one);
  const auto two = b.intend(0);
  b.oracle.has_log(Oracle::Log::of_changes);
  b.oracle.log_durable(two.lsn);
  const auto reported = b.oracle.judge_recovered(0, nullptr, one.bytes, b.media, b.length, {}, true, true);
  expect_broken(reported, Invariant::durability, "made durable by a sync");
  expect_broken(b.recovered(0, ErrorCode::bad_checksum), Invariant::durability, "must be recovered");
  EXPECT_EQ(b.recovered(0, two.bytes).kind, Kind::legal);
}

}  // namespace
}  // namespace pagedb::scenarios
