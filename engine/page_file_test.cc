// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Pages of an open file: reading, writing, batches, syncing, and every error on the way.
#include "engine/page_file.h"

#include <algorithm>
#include <limits>

#include "engine/page_file_test.h"

namespace pagedb::testing_support {
namespace {

class PageFileUse : public PageFileTest {};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileUse, testing::Values(Caching::direct, Caching::buffered), caching_name);

struct Batch {
  explicit Batch(std::uint64_t page_bytes) : page_bytes_(page_bytes) {}
  void add(std::uint64_t id, std::span<const std::byte> content = {}) {
    auto buffer = AlignedBuffer::allocate(page_bytes_);
    EXPECT_TRUE(buffer);
    std::ranges::copy(content, buffer->data());
    buffers.push_back(std::move(*buffer));
    entries.push_back({.id = PageId{id}, .page = buffers.back().span()});
  }

  std::vector<AlignedBuffer> buffers;
  std::vector<PageIo> entries;

 private:
  std::uint64_t page_bytes_;
};

TEST_P(PageFileUse, what_was_written_is_read) {
  for (const std::uint64_t bytes : {4096u, 16384u, 1u << 20}) {
    std::filesystem::remove(path_);
    const auto file = created(bytes);
    for (const std::uint64_t id : {2u, 3u, 700u}) ASSERT_TRUE(write_version(*file, id, id + 5));
    for (const std::uint64_t id : {2u, 3u, 700u}) EXPECT_EQ(read_version(*file, id), id + 5);
    EXPECT_TRUE(file->sync());
    EXPECT_EQ(file->page_count(), 701u);
  }
}

TEST_P(PageFileUse, survives_closing_and_opening) {
  {
    const auto file = created();
    for (std::uint64_t id = 1; id < 50; ++id) ASSERT_TRUE(write_version(*file, id, id));
    ASSERT_TRUE(file->sync());
  }
  const auto file = opened();
  for (std::uint64_t id = 1; id < 50; ++id) EXPECT_EQ(read_version(*file, id), id);
  EXPECT_EQ(file->file_id(), kId);
  EXPECT_EQ(file->page_size(), size_of(4096));
}

TEST_P(PageFileUse, writing_seals_in_place_with_the_files_identity) {
  const auto file = created();
  AlignedBuffer page = page_with(4096, 9, 4);
  ASSERT_TRUE(file->write(PageId{9}, page.span()));
  const auto header =
      verify(page.span(), size_of(4096), {.id = PageId{9}, .file_tag = 0xD4C3B2A1, .has_file_tag = true});
  ASSERT_TRUE(header) << header.error().message();
  EXPECT_EQ(header->lsn, 4u);
  EXPECT_EQ(header->flags, page_flags::kFileTag);
}

TEST_P(PageFileUse, superblock_pages_are_reserved) {
  for (const std::uint64_t bytes : {4096u, 65536u, 1u << 20}) {
    std::filesystem::remove(path_);
    const auto file = created(bytes);
    for (const std::uint64_t id : {std::uint64_t{0}, kTwinOffset / bytes}) {
      EXPECT_TRUE(file->is_reserved(PageId{id}));
      EXPECT_EQ(read_error(*file, id), ErrorCode::reserved_page);
      EXPECT_EQ(write_version(*file, id, 1).error().code, ErrorCode::reserved_page);
    }
    EXPECT_FALSE(file->is_reserved(PageId{kTwinOffset / bytes + 1}));
  }
}

TEST_P(PageFileUse, unwritten_pages_say_so) {
  const auto file = created();
  EXPECT_EQ(file->page_count(), 257u);
  EXPECT_EQ(read_error(*file, 1), ErrorCode::never_written);
  ASSERT_TRUE(write_version(*file, 300, 1));
  EXPECT_EQ(file->page_count(), 301u);
  EXPECT_EQ(read_error(*file, 299), ErrorCode::never_written);
}

TEST_P(PageFileUse, reading_past_the_end_is_beyond_end) {
  const auto file = created();
  for (const std::uint64_t id : {std::uint64_t{257}, std::uint64_t{1} << 40}) {
    const auto version = read_version(*file, id);
    ASSERT_FALSE(version);
    EXPECT_EQ(version.error().code, ErrorCode::beyond_end);
    EXPECT_EQ(version.error().actual, 257u);
    EXPECT_EQ(version.error().page, PageId{id});
  }
}

// A peer let page 2^52 wrap to byte 0 and overwrote page 0 with Ok.
TEST_P(PageFileUse, ids_without_an_offset_are_refused) {
  const auto file = created();
  const std::string before = bytes();
  constexpr std::uint64_t kFirstTooFar = (std::uint64_t{1} << 51) - 1;  // its end would be 2^63
  for (const std::uint64_t id : {kFirstTooFar, std::uint64_t{1} << 51, std::uint64_t{1} << 52,
                                 (std::uint64_t{1} << 52) + 5, std::numeric_limits<std::uint64_t>::max()}) {
    EXPECT_EQ(write_version(*file, id, 1).error().code, ErrorCode::page_id_overflow) << id;
    EXPECT_EQ(read_error(*file, id), ErrorCode::page_id_overflow) << id;
  }
  EXPECT_EQ(read_error(*file, kFirstTooFar - 1), ErrorCode::beyond_end);
  EXPECT_EQ(bytes(), before);
}

TEST_P(PageFileUse, a_misplaced_page_is_found) {
  const auto file = created();
  ASSERT_TRUE(write_version(*file, 5, 1));
  ASSERT_TRUE(write_version(*file, 6, 1));
  poke(6 * 4096, bytes().substr(5 * 4096, 4096));
  const auto version = opened({.access = Access::read_only});
  const auto read = read_version(*version, 6);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::wrong_page_id);
  EXPECT_EQ(read.error().actual, 5u);
}

TEST_P(PageFileUse, a_page_of_another_file_is_found) {
  ASSERT_TRUE(write_version(*created(), 5, 1));
  const std::string page = bytes().substr(5 * 4096, 4096);
  std::filesystem::remove(path_);
  const FileId other{std::byte{1}};
  ASSERT_TRUE(PageFile::create(scheduler_, backend_, path_, size_of(4096), other));
  poke(5 * 4096, page);
  EXPECT_EQ(read_error(*opened(), 5), ErrorCode::wrong_file);
  poke(5 * 4096, headerless_page(4096, 5));
  EXPECT_EQ(read_error(*opened(), 5), ErrorCode::wrong_file);
}

TEST_P(PageFileUse, a_rotten_page_is_found_and_its_neighbours_are_read) {
  {
    const auto file = created();
    for (const std::uint64_t id : {4u, 5u, 6u}) ASSERT_TRUE(write_version(*file, id, 1));
    ASSERT_TRUE(file->sync());
  }
  poke(5 * 4096 + 2000, "rot");
  const auto file = opened();
  const auto rotten = read_version(*file, 5);
  ASSERT_FALSE(rotten);
  EXPECT_EQ(rotten.error().code, ErrorCode::bad_checksum);
  EXPECT_NE(rotten.error().stored_crc, rotten.error().computed_crc);
  EXPECT_EQ(read_version(*file, 4), 1u);
  EXPECT_EQ(read_version(*file, 6), 1u);
}

TEST_P(PageFileUse, a_file_opened_for_reading_refuses_to_write) {
  ASSERT_TRUE(write_version(*created(), 5, 1));
  const Snapshot before = snapshot();
  const auto file = opened({.access = Access::read_only});
  EXPECT_EQ(read_version(*file, 5), 1u);
  EXPECT_EQ(write_version(*file, 5, 2).error().code, ErrorCode::read_only);
  EXPECT_EQ(file->sync().error().code, ErrorCode::read_only);
  EXPECT_FALSE(file->poisoned());
  EXPECT_EQ(snapshot(), before);
}

TEST_P(PageFileUse, misaligned_memory_is_refused) {
  const auto file = created();
  auto memory = AlignedBuffer::allocate(8192 + 4096);
  ASSERT_TRUE(memory);
  const auto odd = memory->span().subspan(1, 4096);
  const std::uint32_t align = file->limits().memory_align;
  if (align == 1) {
    EXPECT_TRUE(file->write(PageId{1}, odd));
    return;
  }
  const auto result = file->write(PageId{1}, odd);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::misaligned);
  EXPECT_EQ(result.error().expected, align);
  EXPECT_EQ(file->read(PageId{1}, odd).error().code, ErrorCode::misaligned);
}

TEST_P(PageFileUse, a_span_of_another_size_is_a_programmer_error) {
  const auto file = created();
  auto memory = AlignedBuffer::allocate(8192);
  EXPECT_DEATH(static_cast<void>(file->write(PageId{1}, memory->span())), "page_size");
  EXPECT_DEATH(static_cast<void>(file->read(PageId{1}, memory->span().first(512))), "page_size");
}

TEST_P(PageFileUse, device_errors_name_their_page) {
  const auto file = created();
  ASSERT_TRUE(write_version(*file, 5, 1));
  const std::vector<std::pair<int, ErrorCode>> meanings{
      {EIO, ErrorCode::io_error}, {ENOSPC, ErrorCode::no_space}, {EDQUOT, ErrorCode::no_space}};
  for (const auto& [error, code] : meanings) {
    system_.on_write = [answer = -error](off_t, std::size_t) { return answer; };
    const auto result = write_version(*file, 6, 1);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code);
    EXPECT_EQ(result.error().sys_errno, error);
    EXPECT_EQ(result.error().page, PageId{6});
    EXPECT_TRUE(result.error().has_page);
  }
  system_.on_write = nullptr;
  system_.on_read = [](off_t, std::size_t) { return -EIO; };
  EXPECT_EQ(read_error(*file, 5), ErrorCode::io_error);
  system_.on_read = nullptr;
  EXPECT_EQ(read_version(*file, 5), 1u);
  EXPECT_FALSE(file->poisoned());
}

TEST_P(PageFileUse, interruptions_and_short_transfers_are_no_errors) {
  const auto file = created();
  int calls = 0;
  system_.on_write = [&](off_t, std::size_t) -> FaultySystem::Answer {
    ++calls;
    if (calls == 1) return -EINTR;
    if (calls == 2) return -EAGAIN;
    return std::nullopt;
  };
  EXPECT_TRUE(write_version(*file, 5, 1));
  EXPECT_EQ(calls, 3);
  system_.on_write = nullptr;
  EXPECT_EQ(read_version(*file, 5), 1u);
}

TEST_P(PageFileUse, a_device_that_moves_nothing_is_a_short_transfer) {
  const auto file = created();
  system_.on_write = [](off_t, std::size_t) { return 0; };
  const auto result = write_version(*file, 5, 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::short_transfer);
  EXPECT_EQ(result.error().expected, 4096u);
}

TEST_P(PageFileUse, a_failed_extension_does_not_count) {
  const auto file = created();
  system_.on_write = [](off_t, std::size_t) { return -ENOSPC; };
  EXPECT_EQ(write_version(*file, 400, 1).error().code, ErrorCode::no_space);
  EXPECT_EQ(file->page_count(), 257u);
  EXPECT_EQ(read_error(*file, 400), ErrorCode::beyond_end);
  system_.on_write = nullptr;
  ASSERT_TRUE(write_version(*file, 400, 1));
  EXPECT_EQ(file->page_count(), 401u);
}

// Another process cut the file under us.
TEST_P(PageFileUse, a_file_that_became_shorter_is_a_short_transfer) {
  const auto file = created();
  ASSERT_TRUE(write_version(*file, 400, 1));
  std::filesystem::resize_file(path_, 300 * 4096);
  EXPECT_EQ(read_error(*file, 400), ErrorCode::short_transfer);
}

TEST_P(PageFileUse, batches_write_and_read) {
  const auto file = created();
  Batch out(4096);
  for (std::uint64_t id = 300; id < 1500; ++id) out.add(id, page_with(4096, id, id).span());
  ASSERT_TRUE(file->write_batch(out.entries));
  EXPECT_EQ(file->page_count(), 1500u);
  Batch in(4096);
  for (std::uint64_t id = 1499; id >= 300; --id) in.add(id);
  ASSERT_TRUE(file->read_batch(in.entries));
  for (const PageIo& entry : in.entries) {
    ASSERT_TRUE(entry.result);
    const std::uint64_t id = entry.id.value;
    EXPECT_EQ(page_lsn(entry.page), Lsn{id});
    EXPECT_TRUE(std::ranges::equal(payload(entry.page), payload(page_with(4096, id, id).span())));
  }
}

TEST_P(PageFileUse, an_empty_batch_is_ok) {
  const auto file = created();
  EXPECT_TRUE(file->write_batch({}));
  EXPECT_TRUE(file->read_batch({}));
}

TEST_P(PageFileUse, entries_of_a_batch_fail_by_themselves) {
  const auto file = created();
  Batch out(4096);
  for (const std::uint64_t id : {std::uint64_t{5}, std::uint64_t{0}, std::uint64_t{6}, std::uint64_t{7},
                                 std::uint64_t{1} << 60, std::uint64_t{8}}) {
    out.add(id, page_with(4096, id, 1).span());
  }
  system_.on_write = [](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (offset == 6 * 4096) return -EIO;
    return std::nullopt;
  };
  const auto result = file->write_batch(out.entries);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::reserved_page) << "the first error in span order";
  EXPECT_TRUE(out.entries[0].result);
  EXPECT_EQ(out.entries[1].result.error().code, ErrorCode::reserved_page);
  EXPECT_EQ(out.entries[2].result.error().code, ErrorCode::io_error);
  EXPECT_EQ(out.entries[2].result.error().page, PageId{6});
  EXPECT_TRUE(out.entries[3].result);
  EXPECT_EQ(out.entries[4].result.error().code, ErrorCode::page_id_overflow);
  EXPECT_TRUE(out.entries[5].result);
  system_.on_write = nullptr;

  poke(7 * 4096 + 100, "rot");
  const auto again = opened({.access = Access::read_only});
  Batch in(4096);
  for (const std::uint64_t id : {5u, 7u, 8u, 9u, 5000u}) in.add(id);
  in.entries[4].result = {};
  const auto read = again->read_batch(in.entries);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::bad_checksum);
  EXPECT_TRUE(in.entries[0].result);
  EXPECT_EQ(in.entries[1].result.error().page, PageId{7});
  EXPECT_TRUE(in.entries[2].result);
  EXPECT_EQ(in.entries[3].result.error().code, ErrorCode::never_written);
  EXPECT_EQ(in.entries[4].result.error().code, ErrorCode::beyond_end);
  EXPECT_TRUE(std::ranges::equal(payload(in.entries[2].page), payload(page_with(4096, 8, 1).span())));

  in.entries[1].id = PageId{5};
  in.entries.resize(3);
  EXPECT_TRUE(again->read_batch(in.entries)) << "results of an earlier batch must not linger";
}

TEST_P(PageFileUse, a_failed_extension_in_a_batch_does_not_count) {
  const auto file = created();
  Batch out(4096);
  for (const std::uint64_t id : {500u, 400u, 600u}) out.add(id, page_with(4096, id, 1).span());
  system_.on_write = [](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (offset == 600 * 4096) return -ENOSPC;
    return std::nullopt;
  };
  EXPECT_EQ(file->write_batch(out.entries).error().code, ErrorCode::no_space);
  EXPECT_EQ(file->page_count(), 501u);
}

// A peer answered Ok to the second sync, while the old page was what was durable.
TEST_P(PageFileUse, a_failed_sync_poisons_until_reopened) {
  auto file = created();
  ASSERT_TRUE(write_version(*file, 5, 1));
  system_.on_sync = [] { return -EIO; };
  const auto result = file->sync();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::io_error);
  EXPECT_EQ(result.error().sys_errno, EIO);
  system_.on_sync = nullptr;

  const int syncs = system_.syncs;
  EXPECT_TRUE(file->poisoned());
  EXPECT_EQ(file->sync().error().code, ErrorCode::poisoned);
  EXPECT_EQ(system_.syncs, syncs) << "a poisoned file must not be synced again";
  EXPECT_EQ(read_error(*file, 5), ErrorCode::poisoned);
  EXPECT_EQ(write_version(*file, 5, 2).error().code, ErrorCode::poisoned);
  Batch batch(4096);
  batch.add(5);
  EXPECT_EQ(file->read_batch(batch.entries).error().code, ErrorCode::poisoned);
  EXPECT_EQ(file->write_batch(batch.entries).error().code, ErrorCode::poisoned);

  file.reset();
  file = opened();
  EXPECT_FALSE(file->poisoned());
  EXPECT_EQ(read_version(*file, 5), 1u);
  EXPECT_TRUE(file->sync());
}

TEST_P(PageFileUse, every_kind_of_failed_sync_poisons) {
  for (const int error : {EIO, ENOSPC, EDQUOT, EROFS, EAGAIN}) {
    std::filesystem::remove(path_);
    const auto file = created();
    system_.on_sync = [error] { return -error; };
    EXPECT_EQ(file->sync().error().sys_errno, error);
    EXPECT_TRUE(file->poisoned());
    system_.on_sync = nullptr;
  }
}

TEST_P(PageFileUse, an_interrupted_sync_does_not_poison) {
  const auto file = created();
  int calls = 0;
  system_.on_sync = [&]() -> FaultySystem::Answer {
    if (++calls < 3) return -EINTR;
    return std::nullopt;
  };
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(calls, 3);
  EXPECT_FALSE(file->poisoned());
}

TEST_P(PageFileUse, closing_syncs_nothing) {
  auto file = created();
  ASSERT_TRUE(write_version(*file, 5, 1));
  const int syncs = system_.syncs;
  file.reset();
  EXPECT_EQ(system_.syncs, syncs);
}

}  // namespace
}  // namespace pagedb::testing_support
