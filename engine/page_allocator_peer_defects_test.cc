// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Defects of a published paging layer's allocator, each by the number of its row in the list that this project keeps,
// and each shown absent here. (buffer_pool_peer_defects_test.cc has those of the pool.)
#include <map>

#include "engine/buffer_pool.h"
#include "engine/page_allocator_test.h"

namespace pagedb::testing_support {
namespace {

class AllocatorPeerDefect : public PageAllocatorTest {
 protected:
  using Pages = std::vector<std::uint64_t>;

  void write(std::uint64_t page, std::uint64_t version) { must(write_version(*file_, page, version)); }
  std::string page_bytes(std::uint64_t page) const {
    std::string found(4096, '\0');
    std::ifstream in(path_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(page * 4096));
    in.read(found.data(), 4096);
    return found;
  }
  void put_page(std::uint64_t page, const std::string& content) const { poke(page * 4096, content); }
};
INSTANTIATE_TEST_SUITE_P(Caching, AllocatorPeerDefect, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

// "Freed id reused, written, crash before the allocator's sync: the file never opens again; in a variant it opens and
// hands out a live page."
TEST_P(AllocatorPeerDefect, row_04_a_freed_page_that_is_written_before_a_crash) {
  make();
  const Pages synced = take(400);
  for (const std::uint64_t page : synced) write(page, 1);
  must(pages_->sync());
  for (std::size_t i = 0; i < synced.size(); i += 3) give(synced[i]);
  // New owners write all that they get.
  for (const std::uint64_t page : take(600)) {
    EXPECT_EQ(std::ranges::count(synced, page), 0) << page << " could come back as its old owner's";
    write(page, 2);
  }
  write(run(100), 2);
  reopen();
  EXPECT_EQ(all(), synced);
  for (const std::uint64_t page : synced) EXPECT_EQ(must(read_version(*file_, page)), 1u);
  for (const std::uint64_t page : take(600)) EXPECT_EQ(std::ranges::count(synced, page), 0) << "a live page";
}

TEST_P(AllocatorPeerDefect, row_04_a_freed_page_that_is_given_out_after_a_sync) {
  make();
  const Pages synced = take(200);
  for (const std::uint64_t page : synced) write(page, 1);
  must(pages_->sync());
  give(synced[7]);
  must(pages_->sync());
  EXPECT_EQ(must(pages_->allocate_near(PageId{synced[7]})).value, synced[7]);
  write(synced[7], 2);
  reopen();
  Pages expected = synced;
  expected.erase(expected.begin() + 7);
  EXPECT_EQ(all(), expected);
}

// "One bad bit in a free page's unused bytes: the whole file refuses to open."
TEST_P(AllocatorPeerDefect, row_06_what_stands_in_a_free_page_is_nobodys_business) {
  make();
  const Pages pages = take(20);
  for (const std::uint64_t page : pages) write(page, 1);
  must(pages_->sync());
  give(pages);
  must(pages_->sync());
  close();
  for (const std::uint64_t page : pages) poke(page * 4096 + 2000, "x");
  reopen();
  EXPECT_EQ(all(), Pages{});
  const std::uint64_t again = must(pages_->allocate_near(PageId{pages[5]})).value;
  EXPECT_EQ(again, pages[5]);
  write(again, 2);
  must(pages_->sync());
  EXPECT_EQ(must(read_version(*file_, again)), 2u);
}

TEST_P(AllocatorPeerDefect, row_06_a_bad_bit_in_the_map_costs_one_region) {
  for (const std::size_t byte : {100u, 600u, 3000u, 4000u}) {
    make();
    const Pages near = take(20);
    const std::uint64_t far = run(pages_->run_max());
    must(pages_->sync());
    ASSERT_EQ(far / kRegion, 1u);
    close();
    const std::uint64_t leaf = geometry_.home(0, 1, 1);
    std::string bad = page_bytes(leaf);
    bad[byte] = static_cast<char>(bad[byte] ^ 4);
    put_page(leaf, bad);
    reopen();
    EXPECT_EQ(error_of(pages_->free(PageId{far})).code, ErrorCode::allocation_damaged);
    EXPECT_EQ(error_of(pages_->is_allocated(PageId{far})).page, PageId{leaf});
    for (const std::uint64_t page : near) EXPECT_TRUE(has(page));
    give(near[0]);
    take(10);
    must(pages_->sync());
    EXPECT_EQ(page_bytes(leaf), bad) << "nothing is changed on its account";
  }
}

// "Double free undetected: same id handed out twice; after sync never opens."
TEST_P(AllocatorPeerDefect, row_07_a_double_free_is_an_error) {
  make();
  const Pages pages = take(10);
  give(pages[4]);
  EXPECT_EQ(error_of(pages_->free(PageId{pages[4]})).code, ErrorCode::not_allocated);
  must(pages_->sync());
  EXPECT_EQ(error_of(pages_->free(PageId{pages[4]})).code, ErrorCode::not_allocated);
  reopen();
  EXPECT_EQ(error_of(pages_->free(PageId{pages[4]})).code, ErrorCode::not_allocated);
  Pages taken = take(300);
  std::ranges::sort(taken);
  EXPECT_EQ(std::ranges::adjacent_find(taken), taken.end()) << "a page was given out twice";
  EXPECT_EQ(std::ranges::count(taken, pages[4]), 1);
  must(pages_->sync());
  reopen();
  EXPECT_EQ(all().size(), 309u);
}

// "No way to discard a page from the pool: a freed page's late write-back overwrites allocator state."
TEST_P(AllocatorPeerDefect, row_08_a_dropped_page_is_not_written_and_no_page_of_the_pool_is_the_maps) {
  make();
  auto pool = must(
      BufferPool::create(scheduler_, *file_, {.frames = 16, .background_writer = false, .background_reader = false}));
  const Pages pages = take(4);
  for (const std::uint64_t page : pages) {
    auto guard = must(pool->new_page(PageId{page}));
    payload(guard.write())[0] = std::byte{7};
    guard.set_lsn(Lsn{1});
  }
  pool->drop(PageId{pages[2]});
  give(pages[2]);
  note_order();
  must(pool->checkpoint(Lsn{2}));
  EXPECT_EQ(order_.find(what_is(pages[2])), std::string::npos) << "a page that nobody has was written: " << order_;
  EXPECT_NE(order_.find(what_is(pages[1])), std::string::npos);
  for (std::uint64_t page = 255; page < kZoneEnd; ++page)
    EXPECT_EQ(error_of(pool->new_page(PageId{page})).code, ErrorCode::reserved_page) << page;
  must(pool->close());
  pool.reset();
  no_faults();
  reopen();
  EXPECT_EQ(all(), (Pages{pages[0], pages[1], pages[3]}));
}

// "Allocator sync rewrites every free page each time; open reads one page per free page."
TEST_P(AllocatorPeerDefect, row_14_neither_sync_nor_open_touch_what_is_free) {
  skip_syncs();
  make();
  Pages runs;
  for (int i = 0; i < 7; ++i) runs.push_back(run(16'000));
  take(10);
  for (const std::uint64_t first : runs) {
    for (std::uint64_t page = first; page < first + 16'000; ++page) give(page);
  }
  must(pages_->sync());
  EXPECT_GT(pages_->free_count(), 100'000u);

  note_order();
  must(pages_->sync());
  EXPECT_EQ(order_, "sync slot sync twin sync ") << "nothing changed";
  note_order();
  take();
  must(pages_->sync());
  EXPECT_EQ(std::ranges::count(order_, ' '), 2 + 5) << "a leaf, the root, and the superblock: " << order_;
  no_faults();
  skip_syncs();

  pages_.reset();
  count_reads();
  pages_ = must(PageAllocator::open(*file_));
  EXPECT_EQ(reads_, 1) << "the root";
  take();
  EXPECT_LE(reads_, 2) << "and a leaf";
}

// "Lost writes and pages of another file pass the checks: stale data served as valid."
TEST_P(AllocatorPeerDefect, row_18_a_node_whose_write_was_lost_is_found_out) {
  make();
  take(10);
  must(pages_->sync());
  take(10);
  must(pages_->sync());
  const std::string stale = page_bytes(geometry_.home(0, 0, 1));
  take(10);
  must(pages_->sync());  // into the home of the first one
  close();
  ASSERT_NE(page_bytes(geometry_.home(0, 0, 3)), stale);
  put_page(geometry_.home(0, 0, 3), stale);  // sound, of this file, in its place: but old
  EXPECT_EQ(open_error().code, ErrorCode::allocation_damaged);
}

TEST_P(AllocatorPeerDefect, row_18_a_node_of_another_file_is_found_out) {
  make();
  take(10);
  must(pages_->sync());
  close();
  const std::string ours = page_bytes(geometry_.home(0, 0, 1));
  std::filesystem::remove(path_);
  const FileId other{std::byte{9}};
  file_ = must(PageFile::create(scheduler_, backend_, path_, PageSize(), other));
  pages_ = must(PageAllocator::open(*file_));
  take(10);
  must(pages_->sync());
  EXPECT_EQ(all().size(), 10u);
  close();
  put_page(geometry_.home(0, 0, 1), ours);
  EXPECT_EQ(open_error().code, ErrorCode::allocation_damaged);
}

// ---- crash states

/// The operating system, keeping what changed a file between its barriers.
class RecordingSystem final : public System {
 public:
  struct Change {
    off_t offset = 0;   // of a write; or the length that the file was cut to
    std::string bytes;  // none: it was cut
  };
  ssize_t pwrite(int fd, const std::byte* data, std::size_t size, off_t offset) const noexcept override {
    epochs.back().push_back({offset, {reinterpret_cast<const char*>(data), size}});
    return System::pwrite(fd, data, size, offset);
  }
  int ftruncate(int fd, off_t bytes) const noexcept override {
    epochs.back().push_back({bytes, {}});
    return System::ftruncate(fd, bytes);
  }
  int fdatasync(int fd) const noexcept override {
    epochs.emplace_back();
    return System::fdatasync(fd);
  }
  void begin() { epochs.assign(1, {}); }
  mutable std::vector<std::vector<Change>> epochs{{}};
};

class AllocatorPeerDefect05 : public AllocatorPeerDefect {
 protected:
  /// What stands in a file: the pages that are not zero.
  struct Image {
    std::map<std::uint64_t, std::string> pages;
    std::uint64_t count = 0;
  };

  Image image_of_file() const {
    Image image;
    const std::string content = bytes(), zeros(4096, '\0');
    for (; image.count < content.size() / 4096; ++image.count) {
      const auto page = content.substr(image.count * 4096, 4096);
      if (page != zeros) image.pages[image.count] = page;
    }
    return image;
  }
  void put(const Image& image) const {
    std::ofstream out(path_, std::ios::binary | std::ios::trunc);
    for (const auto& [page, content] : image.pages) out.seekp(static_cast<std::streamoff>(page * 4096)) << content;
    out.close();
    std::filesystem::resize_file(path_, image.count * 4096);
  }
  static void apply(Image& image, const RecordingSystem::Change& change, bool torn) {
    std::uint64_t page = static_cast<std::uint64_t>(change.offset) / 4096;
    if (change.bytes.empty()) {
      image.count = page;
      image.pages.erase(image.pages.lower_bound(page), image.pages.end());
      return;
    }
    for (std::size_t at = 0; at < change.bytes.size(); at += 4096, ++page) {
      std::string& content = image.pages[page];
      content.resize(4096);
      content.replace(0, torn ? 512 : 4096, change.bytes, at, torn ? 512 : 4096);
      image.count = std::max(image.count, page + 1);
    }
  }

  /// Opens what a crash left: it must be one of the two states, and go on working.
  void expect_either(const Image& image, const Pages& before, const Pages& after) {
    put(image);
    reopen();
    const Pages found = all();
    EXPECT_TRUE(found == before || found == after);
    (found == before ? old_ : new_) += 1;
    expect_consistent();
    for (const std::uint64_t page : take(3)) EXPECT_EQ(std::ranges::count(found, page), 0) << "a live page";
    must(pages_->sync());
    close();
  }

  /// Does `work` on a file as `prepare` leaves it, and opens every state in which a crash can leave the file: of each
  /// stretch between two barriers any subset of the changes, and one of these torn.
  void expect_every_crash_state(const std::function<void()>& prepare, const std::function<void()>& work) {
    RecordingSystem recording;
    DirectIo recorder({.caching = Caching::buffered}, recording);
    make();
    prepare();
    must(pages_->sync());
    close();
    const Image base = image_of_file();
    file_ = must(PageFile::open(scheduler_, recorder, path_));
    pages_ = must(PageAllocator::open(*file_));
    const Pages before = all();
    recording.begin();
    work();
    const Pages after = all();
    close();
    system_.on_sync = system_.on_fsync = [] { return 0; };
    Image reached = base;
    for (const auto& epoch : recording.epochs) {
      ASSERT_LE(epoch.size(), 8u);
      for (std::uint32_t kept = 0; kept < 1u << epoch.size(); ++kept) {
        for (std::size_t torn = 0; torn <= epoch.size(); ++torn) {  // the last one: none
          if (torn < epoch.size() && ((kept >> torn & 1) == 0 || epoch[torn].bytes.empty())) continue;
          SCOPED_TRACE("kept " + std::to_string(kept) + ", torn " + std::to_string(torn));
          Image image = reached;
          for (std::size_t i = 0; i < epoch.size(); ++i)
            if ((kept >> i & 1) != 0) apply(image, epoch[i], i == torn);
          expect_either(image, before, after);
          if (HasFailure()) return;
        }
      }
      for (const auto& change : epoch) apply(reached, change, false);
    }
    RecordProperty("states", old_ + new_);
    EXPECT_GT(old_, 3);
    EXPECT_GT(new_, 3);
  }

  int old_ = 0;
  int new_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Caching, AllocatorPeerDefect05, testing::Values(Caching::buffered), caching_name);

// "No barrier between free chain and superblock: 5 of 8 crash states of one sync refuse to open."
TEST_P(AllocatorPeerDefect05, row_05_every_crash_state_of_a_sync_opens) {
  Pages pages;
  expect_every_crash_state([&] { pages = take(300); },
                           [&] {
                             give(pages[4]);
                             give(pages[290]);
                             take(20);
                             must(pages_->sync());
                           });
}

TEST_P(AllocatorPeerDefect05, row_05_every_crash_state_of_the_first_sync_of_a_map_opens) {
  expect_every_crash_state([] {},
                           [&] {
                             take(20);
                             must(pages_->sync());
                           });
}

TEST_P(AllocatorPeerDefect05, row_05_every_crash_state_of_a_sync_that_grows_the_tree_opens) {
  expect_every_crash_state([&] { run(200); },
                           [&] {
                             give(2);
                             for (int i = 0; i < 2; ++i) run(pages_->run_max());
                             must(pages_->sync());
                           });
}

TEST_P(AllocatorPeerDefect05, row_05_every_crash_state_of_a_shrinking_file_opens) {
  Pages pages;
  expect_every_crash_state(
      [&] {
        pages = take(600);
        for (const std::uint64_t page : pages) write(page, 1);
      },
      [&] {
        for (std::size_t i = 350; i < pages.size(); ++i) give(pages[i]);
        must(pages_->shrink_to_fit());
      });
}

}  // namespace
}  // namespace pagedb::testing_support
