// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Creating page files, and finishing creates that were interrupted.
#include "engine/page_file_test.h"

namespace pagedb::testing_support {
namespace {

class PageFileCreate : public PageFileTest {};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileCreate, testing::Values(Caching::direct, Caching::buffered), caching_name);

// Creating.

TEST_P(PageFileCreate, a_created_file_is_both_superblocks_and_zeros) {
  for (std::uint64_t size = PageSize::kMinBytes; size <= PageSize::kMaxBytes; size *= 4) {
    std::filesystem::remove(path_);
    const auto file = created(size);
    EXPECT_EQ(file->generation(), 1u);
    EXPECT_EQ(file->page_count(), kTwinOffset / size + 1);
    std::string expected(kTwinOffset + size, '\0');
    expected.replace(0, size, superblock(SuperblockSlot::first, 1, size));
    expected.replace(kTwinOffset, size, superblock(SuperblockSlot::twin, 1, size));
    EXPECT_EQ(bytes(), expected);
  }
}

TEST_P(PageFileCreate, create_refuses_what_exists) {
  put_bytes("something of somebody's");
  const Snapshot before = snapshot();
  const auto file = create();
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::already_exists);
  EXPECT_EQ(snapshot(), before);
}

TEST_P(PageFileCreate, create_in_a_missing_folder_is_not_found) {
  path_ = folder_ + "/none/pages";
  EXPECT_EQ(create().error().code, ErrorCode::not_found);
}

TEST_P(PageFileCreate, create_reports_a_full_device) {
  system_.on_truncate = [](off_t) { return -ENOSPC; };
  EXPECT_EQ(create().error().code, ErrorCode::no_space);
}

// The commit rule twice, as the device sees it: generation 0, the name, generation 1.
TEST_P(PageFileCreate, create_puts_a_barrier_around_each_superblock) {
  std::string order;
  system_.on_truncate = [&](off_t bytes) -> FaultySystem::Answer {
    order += "length" + std::to_string(bytes) + " ";
    return std::nullopt;
  };
  system_.on_write = [&](off_t offset, std::size_t size) -> FaultySystem::Answer {
    order += "write" + std::to_string(offset) + "+" + std::to_string(size) + " ";
    return std::nullopt;
  };
  system_.on_sync = [&]() -> FaultySystem::Answer {
    order += "sync ";
    return std::nullopt;
  };
  system_.on_fsync = [&]() -> FaultySystem::Answer {
    order += "directory ";
    return std::nullopt;
  };
  ASSERT_TRUE(create());
  EXPECT_EQ(order,
            "length1052672 sync write0+4096 sync write1048576+4096 sync directory "
            "sync write0+4096 sync write1048576+4096 sync ");
}

TEST_P(PageFileCreate, a_create_that_fails_anywhere_leaves_something_that_can_be_finished) {
  for (int survivors = 0;; ++survivors) {
    std::filesystem::remove(path_);
    int calls = 0;
    const auto fail_later = [&](auto...) -> FaultySystem::Answer {
      if (calls++ >= survivors) return -EIO;
      return std::nullopt;
    };
    system_.on_truncate = fail_later;
    system_.on_write = fail_later;
    system_.on_sync = fail_later;
    system_.on_fsync = fail_later;
    const bool whole = create().has_value();
    system_.on_truncate = nullptr;
    system_.on_write = nullptr;
    system_.on_sync = nullptr;
    system_.on_fsync = nullptr;
    if (whole) {
      EXPECT_EQ(survivors, 12);
      break;
    }
    const bool blank = survivors < 3;  // before the first superblock was written
    EXPECT_EQ(opened(kReadOnly)->open_report().interrupted_create, blank) << survivors;
    const auto file = opened(kFinish);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->open_report().interrupted_create, blank);
    EXPECT_EQ(file->open_report().superblock_healed, survivors == 9 || survivors == 10)
        << "only the first slot had reached generation 1";
    EXPECT_TRUE(write_version(*file, 5, 1));
    EXPECT_EQ(slot_bytes(SuperblockSlot::first), superblock(SuperblockSlot::first, 1));
    EXPECT_EQ(slot_bytes(SuperblockSlot::twin), superblock(SuperblockSlot::twin, 1));
  }
}

// Interrupted creates.

TEST_P(PageFileCreate, blank_files_are_empty_page_files) {
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{700}, std::size_t{4096},
                                   std::size_t{12288}, kTwinOffset, kTwinOffset + 4096, std::size_t{2u << 20}}) {
    put_bytes(std::string(length, '\0'));
    const Snapshot before = snapshot();
    for (const OpenOptions& options :
         {OpenOptions{}, kReadOnly, OpenOptions{.page_size = size_of(4096)}, OpenOptions{.file_id = kId}}) {
      const auto file = opened(options);
      ASSERT_TRUE(file);
      EXPECT_TRUE(file->open_report().interrupted_create);
      EXPECT_EQ(file->page_count(), 0u);
      EXPECT_EQ(file->generation(), 0u);
      EXPECT_EQ(write_version(*file, 5, 1).error().code, ErrorCode::read_only);
      EXPECT_EQ(read_error(*file, 5), ErrorCode::beyond_end);
    }
    EXPECT_EQ(snapshot(), before);

    const auto file = opened(kFinish);
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->open_report().interrupted_create);
    EXPECT_EQ(file->file_id(), kId);
    EXPECT_EQ(file->generation(), 1u);
    EXPECT_GE(file->page_count(), 257u);
    EXPECT_TRUE(write_version(*file, 5, 1));
    EXPECT_TRUE(file->sync());
    EXPECT_EQ(opened(kReadOnly)->open_report().interrupted_create, false);
  }
}

TEST_P(PageFileCreate, finishing_a_create_makes_the_name_durable) {
  put_bytes("");
  int directories = 0;
  system_.on_fsync = [&]() -> FaultySystem::Answer {
    ++directories;
    return std::nullopt;
  };
  EXPECT_TRUE(open(kFinish));
  EXPECT_EQ(directories, 1);
}

// A create whose syncs failed may have left superblocks in a cache only.
TEST_P(PageFileCreate, generation_0_is_committed_again_and_keeps_its_pages) {
  ASSERT_TRUE(write_version(*created(), 5, 1));
  poke(0, superblock(SuperblockSlot::first, 0));
  poke(kTwinOffset, superblock(SuperblockSlot::twin, 0));
  const Snapshot before = snapshot();
  EXPECT_EQ(opened(kReadOnly)->generation(), 0u);
  EXPECT_EQ(snapshot(), before);
  const auto file = opened();
  EXPECT_EQ(file->generation(), 1u);
  EXPECT_EQ(file->file_id(), kId);
  EXPECT_EQ(read_version(*file, 5), 1u);
  EXPECT_EQ(slot_bytes(SuperblockSlot::first), superblock(SuperblockSlot::first, 1));
  EXPECT_EQ(slot_bytes(SuperblockSlot::twin), superblock(SuperblockSlot::twin, 1));
}

TEST_P(PageFileCreate, a_create_is_not_finished_before_its_name_is_durable) {
  put_bytes("");
  system_.on_fsync = [] { return -EIO; };
  EXPECT_EQ(open(kFinish).error().code, ErrorCode::io_error);
  EXPECT_EQ(slot_bytes(SuperblockSlot::first), superblock(SuperblockSlot::first, 0));
  EXPECT_EQ(open(kFinish).error().code, ErrorCode::io_error) << "generation 0 is not taken for a finished file";
  system_.on_fsync = nullptr;
  EXPECT_EQ(opened(kFinish)->generation(), 1u);
}

TEST_P(PageFileCreate, a_file_that_was_created_keeps_its_identity) {
  created();
  const auto file = opened({.page_size = size_of(4096), .file_id = FileId{std::byte{9}}});
  EXPECT_EQ(file->file_id(), kId);
  EXPECT_FALSE(file->open_report().interrupted_create);
}

TEST_P(PageFileCreate, a_partial_last_page_is_reported_and_ignored) {
  ASSERT_TRUE(write_version(*created(), 300, 1));
  std::filesystem::resize_file(path_, 301 * 4096 + 1234);
  const std::string before = bytes();
  for (const Access access : {Access::read_only, Access::read_write}) {
    const auto file = opened({.access = access});
    EXPECT_EQ(file->open_report().partial_tail_bytes, 1234u);
    EXPECT_EQ(file->page_count(), 301u);
    EXPECT_EQ(read_version(*file, 300), 1u);
    EXPECT_EQ(read_error(*file, 301), ErrorCode::beyond_end);
  }
  EXPECT_EQ(bytes(), before);
  const auto file = opened();
  ASSERT_TRUE(write_version(*file, 301, 2));
  EXPECT_EQ(read_version(*file, 301), 2u);
}

}  // namespace
}  // namespace pagedb::testing_support
