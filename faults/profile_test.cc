// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Profiles: the built-in ones say what their names promise, and a profile that is not exactly right is refused with one
// line that says why.
#include "faults/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "faults/fault.h"

namespace pagedb::faults {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string error_of(std::string_view toml) {
  std::string error;
  EXPECT_FALSE(parse_profile(toml, error).has_value()) << toml;
  EXPECT_FALSE(error.empty());
  EXPECT_THAT(error, Not(HasSubstr("\n")));
  return error;
}

TEST(Profile, BuiltInNames) {
  EXPECT_THAT(profile_names(), ElementsAre("flaky", "nvme-4k", "nvme-512", "nvme-awu16k", "nvme-plp", "sata-512e",
                                           "sata-512e-misaligned"));
}

TEST(Profile, EveryBuiltInLoadsWithNameAndSummary) {
  for (const std::string_view name : profile_names()) {
    const auto profile = find_profile(name);
    ASSERT_TRUE(profile) << name;
    EXPECT_EQ(profile->name, name);
    EXPECT_FALSE(profile->summary.empty()) << name;
  }
  EXPECT_FALSE(find_profile("nvme"));
}

TEST(Profile, BuiltInFacts) {
  const auto nvme512 = find_profile("nvme-512");
  EXPECT_EQ(nvme512->physical_sector_bytes, 512u);
  EXPECT_TRUE(nvme512->volatile_cache);
  EXPECT_TRUE(nvme512->crash_tears);

  const auto nvme4k = find_profile("nvme-4k");
  EXPECT_EQ(nvme4k->logical_sector_bytes, 4096u);
  EXPECT_EQ(nvme4k->physical_sector_bytes, 4096u);

  EXPECT_EQ(find_profile("nvme-awu16k")->atomic_write_bytes, 16384u);

  const auto plp = find_profile("nvme-plp");
  EXPECT_TRUE(plp->power_loss_protection);
  EXPECT_FALSE(plp->volatile_cache);

  const auto aligned = find_profile("sata-512e");
  EXPECT_EQ(aligned->partition_offset_bytes % aligned->physical_sector_bytes, 0u);

  const auto misaligned = find_profile("sata-512e-misaligned");
  EXPECT_EQ(misaligned->partition_offset_bytes, 32256u);
  EXPECT_NE(misaligned->partition_offset_bytes % misaligned->physical_sector_bytes, 0u);
  EXPECT_TRUE(misaligned->crash_garbles);
  EXPECT_TRUE(misaligned->crash_unreadable);

  EXPECT_EQ(find_profile("flaky")->failed_flush, FailedFlush::keep);
}

TEST(Profile, EmptyTextIsTheDefaultDevice) {
  std::string error;
  const auto profile = parse_profile("", error);
  ASSERT_TRUE(profile) << error;
  EXPECT_EQ(profile->logical_sector_bytes, DeviceProfile{}.logical_sector_bytes);
  EXPECT_EQ(profile->queue_depth, DeviceProfile{}.queue_depth);
}

TEST(Profile, RefusesMalformedToml) {
  EXPECT_THAT(error_of("queue_depth = \n"), HasSubstr("line 1"));
  EXPECT_THAT(error_of("summary = \"a\"\nsummary = \"b\"\n"), HasSubstr("line 2"));
  EXPECT_THAT(error_of("\xff\xfe"), HasSubstr("line 1"));
}

TEST(Profile, RefusesUnknownKeysAndTables) {
  EXPECT_EQ(error_of("queue_depth = 4\nqueue_dept = 4\n"), "line 2: unknown key \"queue_dept\"");
  EXPECT_THAT(error_of("[disk]\nqueue_depth = 4\n"), HasSubstr("unknown key \"disk\""));
  EXPECT_THAT(error_of("name = \"x\"\n"), HasSubstr("unknown key \"name\""));
}

TEST(Profile, RefusesWrongTypes) {
  EXPECT_EQ(error_of("queue_depth = \"32\""), "line 1: queue_depth must be an integer");
  EXPECT_EQ(error_of("queue_depth = 32.0"), "line 1: queue_depth must be an integer");
  EXPECT_EQ(error_of("queue_depth = -1"), "line 1: queue_depth must be an integer that is not negative");
  EXPECT_EQ(error_of("queue_depth = 4294967296"), "line 1: queue_depth must be an integer below 2^32");
  EXPECT_EQ(error_of("volatile_cache = 1"), "line 1: volatile_cache must be true or false");
  EXPECT_EQ(error_of("summary = 3"), "line 1: summary must be a string");
  EXPECT_EQ(error_of("failed_flush = \"forget\""), "line 1: failed_flush must be \"drop\" or \"keep\"");
}

TEST(Profile, RefusesImpossibleCombinations) {
  EXPECT_THAT(error_of("logical_sector_bytes = 520"), HasSubstr("logical_sector_bytes = 520"));
  EXPECT_THAT(error_of("logical_sector_bytes = 0"), HasSubstr("logical_sector_bytes = 0"));
  EXPECT_THAT(error_of("physical_sector_bytes = 131072"), HasSubstr("physical_sector_bytes = 131072"));
  EXPECT_THAT(error_of("logical_sector_bytes = 4096"), HasSubstr("smaller than logical_sector_bytes"));
  EXPECT_THAT(error_of("partition_offset_bytes = 100"), HasSubstr("partition_offset_bytes = 100"));
  EXPECT_THAT(error_of("atomic_write_bytes = 12288"), HasSubstr("atomic_write_bytes = 12288"));
  EXPECT_THAT(error_of("atomic_write_bytes = 256"), HasSubstr("atomic_write_bytes = 256"));
  EXPECT_THAT(error_of("memory_align_bytes = 3"), HasSubstr("memory_align_bytes = 3"));
  EXPECT_THAT(error_of("queue_depth = 0"), HasSubstr("queue_depth = 0"));
  EXPECT_THAT(error_of("power_loss_protection = true"), HasSubstr("volatile_cache must be false"));
}

TEST(Profile, LoadsFromAPathAndNamesItInErrors) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("pagedb_profile_test." + std::to_string(::getpid()));
  std::filesystem::create_directory(directory);
  const std::string path = directory / "mine.toml";
  std::ofstream(path) << "queue_depth = 7\n";
  std::string error;
  const auto profile = load_profile(path, error);
  ASSERT_TRUE(profile) << error;
  EXPECT_EQ(profile->queue_depth, 7u);
  EXPECT_EQ(profile->name, path);

  std::ofstream(path) << "queue_depth = 0\n";
  EXPECT_FALSE(load_profile(path, error));
  EXPECT_THAT(error, HasSubstr(path));
  EXPECT_THAT(error, HasSubstr("queue_depth"));

  for (const std::string& missing : {std::string("no-such-profile"), directory.string()}) {
    error.clear();
    EXPECT_FALSE(load_profile(missing, error)) << missing;
    EXPECT_THAT(error, HasSubstr("neither a built-in profile nor a file with a profile in it"));
  }
  std::filesystem::remove_all(directory);
}

TEST(Profile, LoadsBuiltInsByName) {
  std::string error;
  const auto profile = load_profile("nvme-4k", error);
  ASSERT_TRUE(profile) << error;
  EXPECT_EQ(profile->name, "nvme-4k");
}

TEST(FaultNames, AreDistinctAndTotal) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kFaultKindCount; ++i) names.insert(name(static_cast<FaultKind>(i)));
  EXPECT_EQ(names.size(), kFaultKindCount);
  EXPECT_EQ(name(FaultKind::torn_write), "torn_write");
  EXPECT_EQ(name(FaultKind::latent_sector_error), "latent_sector_error");
  EXPECT_EQ(name(FaultKind::recovery_crash), "recovery_crash");
  names.clear();
  for (std::size_t i = 0; i < kFateCount; ++i) names.insert(name(static_cast<Fate>(i)));
  EXPECT_EQ(names.size(), kFateCount);
  EXPECT_EQ(name(Fate::void_), "void");
  EXPECT_EQ(name(Fate::silent), "silent");
}

}  // namespace
}  // namespace pagedb::faults
