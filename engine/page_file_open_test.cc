// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Opening: what is refused because it is not there, not ours or not what the caller takes it for. A refusal changes
// nothing.
#include "engine/page_file_test.h"

namespace pagedb::testing_support {
namespace {

class PageFileOpen : public PageFileTest {};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileOpen, testing::Values(Caching::direct, Caching::buffered), caching_name);

// Opening what is not there, or not ours to open.

TEST_P(PageFileOpen, not_found) { EXPECT_EQ(open().error().code, ErrorCode::not_found); }

TEST_P(PageFileOpen, a_folder_is_no_regular_file) {
  std::filesystem::create_directory(path_);
  EXPECT_EQ(open().error().code, ErrorCode::not_a_regular_file);
  EXPECT_EQ(open(kReadOnly).error().code, ErrorCode::not_a_regular_file);
}

TEST_P(PageFileOpen, a_pipe_is_no_regular_file) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(open().error().code, ErrorCode::not_a_regular_file);
}

TEST_P(PageFileOpen, a_forbidden_file) {
  created();
  for (const int error : {EACCES, EPERM, EROFS}) {
    system_.on_open = [error](const char*, int flags) -> FaultySystem::Answer {
      if ((flags & O_ACCMODE) == O_RDWR) return -error;
      return std::nullopt;
    };
    EXPECT_EQ(open().error().code, ErrorCode::permission_denied);
    EXPECT_TRUE(open(kReadOnly));
  }
}

TEST_P(PageFileOpen, an_interrupted_open_is_tried_again) {
  created();
  int calls = 0;
  system_.on_open = [&](const char*, int) -> FaultySystem::Answer {
    if (++calls < 3) return -EINTR;
    return std::nullopt;
  };
  EXPECT_TRUE(open());
}

// Two openers of a peer both handed out page 1.
TEST_P(PageFileOpen, one_writer_at_a_time) {
  auto first = created();
  EXPECT_EQ(expect_refused(ErrorCode::locked).code, ErrorCode::locked);
  EXPECT_TRUE(open(kReadOnly)) << "readers take no lock";
  first.reset();
  const auto second = opened();
  EXPECT_EQ(create().error().code, ErrorCode::already_exists);
}

// Foreign files.

TEST_P(PageFileOpen, a_text_file_is_refused) {
  for (const std::size_t length : {1u, 37u, 511u, 4095u, 4096u, 12288u, 2u << 20, 3u << 20}) {
    std::string text;
    while (text.size() < length) text += "All work and no play makes Jack a dull boy.\n";
    put_bytes(text.substr(0, length));
    expect_refused(ErrorCode::not_a_page_file);
    expect_refused(ErrorCode::not_a_page_file, kReadOnly);
    expect_refused(ErrorCode::not_a_page_file, kFinish);
    expect_refused(ErrorCode::not_a_page_file, legacy(4096));
  }
}

TEST_P(PageFileOpen, zeros_too_long_for_a_create_are_refused) {
  put_bytes(std::string((2u << 20) + 1, '\0'));
  expect_refused(ErrorCode::not_a_page_file, kFinish);
}

TEST_P(PageFileOpen, almost_zeros_are_refused) {
  std::string zeros(8192, '\0');
  zeros.back() = 1;
  put_bytes(zeros);
  expect_refused(ErrorCode::not_a_page_file, kFinish);
}

// Page sizes.

TEST_P(PageFileOpen, the_file_knows_its_page_size) {
  created(16384);
  EXPECT_EQ(opened()->page_size(), size_of(16384));
  EXPECT_EQ(opened({.page_size = size_of(16384)})->page_size(), size_of(16384));
  const PageError error = expect_refused(ErrorCode::wrong_page_size, {.page_size = size_of(4096)});
  EXPECT_EQ(error.actual, 16384u);
  EXPECT_EQ(error.expected, 4096u);
}

// A peer opened 12 KiB of 4 KiB pages at 16 KiB as new, and overwrote them.
TEST_P(PageFileOpen, headerless_files_need_to_be_asked_for_and_say_their_page_size) {
  for (std::uint64_t size = PageSize::kMinBytes; size <= PageSize::kMaxBytes; size *= 2) {
    for (const std::uint64_t pages : {1u, 3u}) {
      put_bytes(headerless_file(size, pages));
      EXPECT_EQ(expect_refused(ErrorCode::headerless_file).actual, size);
      EXPECT_EQ(expect_refused(ErrorCode::headerless_file, kReadOnly).actual, size);
      EXPECT_EQ(expect_refused(ErrorCode::headerless_file, kFinish).actual, size);
      const std::uint64_t wrong = size == 4096 ? 16384 : 4096;
      const PageError error = expect_refused(ErrorCode::wrong_page_size, legacy(wrong));
      EXPECT_EQ(error.actual, size);
      EXPECT_EQ(error.expected, wrong);

      const auto file = opened(legacy(size));
      ASSERT_TRUE(file);
      EXPECT_EQ(file->page_count(), pages);
      EXPECT_EQ(read_version(*file, 0), 1u);
    }
  }
}

TEST_P(PageFileOpen, headerless_files_reserve_and_tag_nothing) {
  put_bytes(headerless_file(4096, 300));
  const auto file = opened(legacy(4096));
  EXPECT_EQ(file->file_id(), FileId{});
  EXPECT_EQ(file->generation(), 0u);
  for (const std::uint64_t id : {0u, 256u, 299u}) {
    EXPECT_FALSE(file->is_reserved(PageId{id}));
    EXPECT_EQ(read_version(*file, id), 1u);
    ASSERT_TRUE(write_version(*file, id, 2));
    EXPECT_EQ(bytes().substr(id * 4096, 4096), headerless_page(4096, id, 2));
  }
}

TEST_P(PageFileOpen, a_headerless_file_with_a_rotten_first_page_is_still_known) {
  put_bytes(headerless_file(8192, 3));
  poke(100, "rot");
  EXPECT_EQ(expect_refused(ErrorCode::headerless_file).actual, 8192u);
  const auto file = opened(legacy(8192));
  EXPECT_EQ(read_error(*file, 0), ErrorCode::bad_checksum);
  EXPECT_EQ(read_version(*file, 1), 1u);
}

TEST_P(PageFileOpen, a_headerless_file_whose_size_is_hidden_by_damage_opens_on_the_callers_word) {
  put_bytes(headerless_file(8192, 1));
  poke(100, "rot");
  EXPECT_EQ(expect_refused(ErrorCode::headerless_file).actual, 0u);
  EXPECT_EQ(read_error(*opened(legacy(8192)), 0), ErrorCode::bad_checksum);
}

TEST_P(PageFileOpen, a_bad_sector_does_not_hide_a_headerless_file) {
  put_bytes(headerless_file(4096, 8));
  system_.on_read = [](off_t offset, std::size_t size) -> FaultySystem::Answer {
    constexpr off_t kBad = 2 * 4096;
    if (offset <= kBad && kBad < offset + static_cast<off_t>(size)) return -EIO;
    return std::nullopt;
  };
  EXPECT_EQ(expect_refused(ErrorCode::headerless_file).actual, 4096u);
  const auto file = opened(legacy(4096));
  EXPECT_EQ(read_error(*file, 2), ErrorCode::io_error);
  EXPECT_EQ(read_version(*file, 3), 1u);
}

TEST_P(PageFileOpen, a_bad_sector_is_not_blank) {
  put_bytes(std::string(16384, '\0'));
  system_.on_read = [](off_t offset, std::size_t size) -> FaultySystem::Answer {
    constexpr off_t kBad = 2 * 4096;
    if (offset <= kBad && kBad < offset + static_cast<off_t>(size)) return -EIO;
    return std::nullopt;
  };
  expect_refused(ErrorCode::io_error, kFinish);
}

TEST_P(PageFileOpen, a_torn_first_extension_of_a_headerless_file) {
  put_bytes(headerless_file(4096, 1).substr(0, 600));
  const auto file = opened(legacy(4096));
  EXPECT_EQ(file->page_count(), 0u);
  EXPECT_EQ(file->open_report().partial_tail_bytes, 600u);
}

TEST_P(PageFileOpen, an_empty_headerless_file_can_be_written) {
  put_bytes("");
  const auto file = opened(legacy(4096));
  EXPECT_TRUE(file->open_report().interrupted_create);
  ASSERT_TRUE(write_version(*file, 0, 1));
  EXPECT_EQ(bytes(), headerless_page(4096, 0));
}

TEST_P(PageFileOpen, legacy_is_refused_where_there_is_a_superblock) {
  created(8192);
  EXPECT_EQ(expect_refused(ErrorCode::not_headerless, legacy(8192)).actual, 8192u);
  poke(0, std::string(8192, 'x'));
  EXPECT_EQ(expect_refused(ErrorCode::not_headerless, legacy(4096)).actual, 8192u) << "the twin is enough";
}

TEST_P(PageFileOpen, legacy_without_page_size_is_a_programmer_error) {
  put_bytes(headerless_file(4096, 1));
  EXPECT_DEATH(static_cast<void>(open({.legacy = true})), "legacy needs page_size");
}

}  // namespace
}  // namespace pagedb::testing_support
