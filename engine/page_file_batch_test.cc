// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Batches of pages: the callback, batches of every size class, and may_write.
#include <map>

#include "engine/page_file_test.h"

namespace pagedb::testing_support {
namespace {

class PageFileBatch : public PageFileTest {
 protected:
  /// Entries for `ids`, with memory of their own that holds version 1 of each page.
  std::vector<PageIo> entries(const std::vector<std::uint64_t>& ids) {
    std::vector<PageIo> batch;
    for (const std::uint64_t id : ids) {
      buffers_.push_back(page_with(4096, id, 1));
      batch.push_back({.id = PageId{id}, .page = buffers_.back().span()});
    }
    return batch;
  }
  static std::vector<std::uint64_t> sequence(std::uint64_t first, std::size_t count) {
    std::vector<std::uint64_t> ids(count);
    for (std::size_t i = 0; i < count; ++i) ids[i] = first + i;
    return ids;
  }

 private:
  std::vector<AlignedBuffer> buffers_;
};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileBatch, testing::Values(Caching::direct, Caching::buffered), caching_name);

// Around the sizes at which a batch is split, and at which it wants memory from the heap.
TEST_P(PageFileBatch, each_page_is_given_once_with_its_result) {
  const auto file = created();
  for (const std::size_t count : {std::size_t{1}, std::size_t{127}, std::size_t{128}, std::size_t{129},
                                  std::size_t{1024}, std::size_t{1025}, std::size_t{2100}}) {
    auto batch = entries(sequence(300, count));
    std::map<std::uint64_t, int> given;
    const auto note = [&](PageIo& entry) {
      EXPECT_TRUE(entry.result);
      EXPECT_EQ(&entry, &batch[entry.id.value - 300]);
      ++given[entry.id.value];
    };
    ASSERT_TRUE(file->write_batch(batch, note));
    for (PageIo& entry : batch) std::ranges::fill(entry.page, std::byte{0});
    ASSERT_TRUE(file->read_batch(batch, [&](PageIo& entry) {
      note(entry);
      EXPECT_EQ(page_lsn(entry.page), Lsn{1}) << "given before it was read";
    }));
    EXPECT_EQ(given.size(), count);
    for (const auto& [id, times] : given) EXPECT_EQ(times, 2) << id;
  }
}

// Positioned calls go one after the other: each page is given before the next one is transferred.
TEST_P(PageFileBatch, a_page_is_given_while_others_are_under_way) {
  const auto file = created();
  std::string order;
  const auto transferred = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
    order += "io" + std::to_string(offset / 4096) + " ";
    return std::nullopt;
  };
  system_.on_write = transferred;
  system_.on_read = transferred;
  auto batch = entries({5, 6, 7});
  const auto given = [&](PageIo& entry) { order += "done" + std::to_string(entry.id.value) + " "; };
  ASSERT_TRUE(file->write_batch(batch, given));
  EXPECT_EQ(order, "io5 done5 io6 done6 io7 done7 ");
  order.clear();
  ASSERT_TRUE(file->read_batch(batch, given));
  EXPECT_EQ(order, "io5 done5 io6 done6 io7 done7 ");
}

TEST_P(PageFileBatch, pages_that_fail_are_given_with_their_error) {
  const auto file = created();
  auto batch = entries({5, 0, 6, 256, 7});
  system_.on_write = [](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (offset == 6 * 4096) return -EIO;
    return std::nullopt;
  };
  std::map<std::uint64_t, std::string> given;
  const auto note = [&](PageIo& entry) {
    EXPECT_TRUE(given.try_emplace(entry.id.value, entry.result ? "ok" : name(entry.result.error().code)).second);
  };
  EXPECT_EQ(file->write_batch(batch, note).error().code, ErrorCode::reserved_page);
  using Given = std::map<std::uint64_t, std::string>;
  EXPECT_EQ(given, (Given{{5, "ok"}, {0, "reserved_page"}, {6, "io_error"}, {256, "reserved_page"}, {7, "ok"}}));

  poke(7 * 4096 + 50, "rot");
  given.clear();
  batch = entries({7, 5, 9000});
  EXPECT_EQ(file->read_batch(batch, note).error().code, ErrorCode::bad_checksum);
  EXPECT_EQ(given, (Given{{7, "bad_checksum"}, {5, "ok"}, {9000, "beyond_end"}}));
}

TEST_P(PageFileBatch, a_page_that_needs_several_tries_is_given_once) {
  const auto file = created();
  int calls = 0;
  system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
    if (offset == 6 * 4096 && calls++ < 3) return -EAGAIN;
    return std::nullopt;
  };
  auto batch = entries({5, 6, 7});
  std::vector<std::uint64_t> given;
  ASSERT_TRUE(file->write_batch(batch, [&](PageIo& entry) { given.push_back(entry.id.value); }));
  EXPECT_EQ(given, (std::vector<std::uint64_t>{5, 7, 6}));
}

TEST_P(PageFileBatch, a_page_store_is_all_that_a_pool_sees) {
  const auto file = created();
  PageStore& store = *file;
  auto batch = entries({5, 6});
  int given = 0;
  const auto count = [&](PageIo&) { ++given; };
  ASSERT_TRUE(store.write_batch(batch, count));
  ASSERT_TRUE(store.sync());
  ASSERT_TRUE(store.read_batch(batch, count));
  EXPECT_EQ(given, 4);
  ASSERT_TRUE(store.read(PageId{6}, batch[0].page));
  ASSERT_TRUE(store.commit_redo_from(Lsn{9}));
  EXPECT_EQ(file->redo_from(), Lsn{9});
  EXPECT_EQ(store.page_size(), file->page_size());
  EXPECT_EQ(store.limits().memory_align, file->limits().memory_align);
}

TEST_P(PageFileBatch, may_write_says_why_not) {
  const auto code = [](const PageFile& file, std::uint64_t id) {
    const auto answer = file.may_write(PageId{id});
    EXPECT_TRUE(answer || answer.error().page == PageId{id});
    return answer ? "ok" : std::string(name(answer.error().code));
  };
  const auto file = created();
  EXPECT_EQ(code(*file, 5), "ok");
  EXPECT_EQ(code(*file, 100000), "ok") << "writing extends the file";
  EXPECT_EQ(code(*file, 0), "reserved_page");
  EXPECT_EQ(code(*file, 256), "reserved_page");
  EXPECT_EQ(code(*file, std::uint64_t{1} << 52), "page_id_overflow");
  EXPECT_EQ(code(*opened(kReadOnly), 5), "read_only");
  system_.on_sync = [] { return -EIO; };
  EXPECT_FALSE(file->sync());
  EXPECT_EQ(code(*file, 5), "poisoned");
}

}  // namespace
}  // namespace pagedb::testing_support
