// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// PageAllocator on metadata that lies: each contradiction with checksums that hold, and how far it reaches.
#include "engine/page_allocator_test.h"

namespace pagedb::testing_support {
namespace {

class PageAllocatorDamage : public PageAllocatorTest {
 protected:
  using Bytes = std::vector<std::byte>;
  using Change = std::function<void(std::span<std::byte>)>;

  Bytes page_bytes(std::uint64_t page) const {
    Bytes found(4096);
    std::ifstream in(path_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(page * 4096));
    in.read(reinterpret_cast<char*>(found.data()), 4096);
    return found;
  }
  void put_page(std::uint64_t page, std::span<const std::byte> bytes) const {
    poke(page * 4096, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  template <class T>
  static void set(std::span<std::byte> page, std::size_t at, T value) {
    std::memcpy(page.data() + at, &value, sizeof value);
  }
  template <class T>
  static T get(std::span<const std::byte> page, std::size_t at) {
    T value;
    std::memcpy(&value, page.data() + at, sizeof value);
    return value;
  }
  static constexpr std::size_t entry_at(std::uint64_t child) { return detail::kNodeBody + child * 24; }

  Superblock superblock_now() const { return *decode_superblock(page_bytes(0), SuperblockSlot::first); }
  void put_root(const AllocationRoot& root) const {
    Superblock superblock = superblock_now();
    superblock.allocation = root;
    Bytes page(4096);
    for (const SuperblockSlot slot : {SuperblockSlot::first, SuperblockSlot::twin}) {
      encode_superblock(superblock, slot, page);
      put_page(slot_page(slot, PageSize{}).value, page);
    }
  }
  /// Where the node stands that the superblock's tree has as `index` of `level`.
  std::uint64_t where(unsigned level, std::uint64_t index) const { return path_to(level, index).back(); }
  std::vector<std::uint64_t> path_to(unsigned level, std::uint64_t index) const {
    std::vector<std::uint64_t> path{superblock_now().allocation.page.value};
    for (unsigned at = detail::node_header(page_bytes(path[0])).level; at > level; --at) {
      const std::uint64_t child = index >> (7 * (at - 1 - level));
      const auto generation = get<std::uint64_t>(page_bytes(path.back()), entry_at(child % 128));
      path.push_back(geometry_.home(at - 1, child, generation));
    }
    return path;
  }
  /// Changes a node, seals it, and makes everything above agree with its new checksum.
  void forge(unsigned level, std::uint64_t index, const Change& change, std::uint16_t flags = page_flags::kMetadata,
             std::uint32_t tag = file_tag(kId)) const {
    std::vector<std::uint64_t> path = path_to(level, index);
    std::uint32_t crc = 0;
    for (bool lowest = true; !path.empty(); path.pop_back(), lowest = false) {
      Bytes page = page_bytes(path.back());
      if (lowest) {
        change(page);
      } else {
        set(page, entry_at(index % 128) + 16, crc);
        index /= 128;
      }
      seal(page, {.id = PageId{path.back()}, .file_tag = lowest ? tag : file_tag(kId), .has_file_tag = true},
           lowest ? flags : page_flags::kMetadata);
      crc = read_header(page).crc32c;
      put_page(path.back(), page);
    }
    AllocationRoot root = superblock_now().allocation;
    root.crc32c = crc;
    put_root(root);
  }

  /// The time of the last write, which changes with the next one. (The file is sparse and long.)
  std::pair<std::int64_t, std::int64_t> last_write() const {
    struct stat facts{};
    EXPECT_EQ(stat(path_.c_str(), &facts), 0);
    return {facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec};
  }
  /// A map of one leaf, closed.
  void make_leaf() {
    make();
    take(300);
    give(20);
    must(pages_->sync());
    close();
  }
  /// A map of a root over regions 0 to 3, each with something in it, closed.
  void make_tree() {
    make();
    take(300);
    for (int i = 0; i < 3; ++i) run(pages_->run_max());
    for (std::uint64_t region = 1; region <= 3; ++region) give(region * kRegion + 100);
    must(pages_->sync());
    close();
  }
  /// Opening refuses: allocation_damaged about `page`, with few reads, and nothing is changed.
  void expect_damaged(std::uint64_t page, const std::string& what) {
    close();
    for (const OpenOptions& how : {OpenOptions{}, kReadOnly}) {
      file_ = opened(how);
      ASSERT_NE(file_, nullptr);
      const auto before = last_write();
      count_reads();
      const PageError error = error_of(PageAllocator::open(*file_));
      EXPECT_EQ(name(error.code), name(ErrorCode::allocation_damaged)) << what;
      EXPECT_EQ(error.page, PageId{page}) << what;
      EXPECT_TRUE(error.has_page);
      EXPECT_LE(reads_, 1) << what;
      no_faults();
      close();
      EXPECT_EQ(last_write(), before) << what;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Caching, PageAllocatorDamage, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

// ---- the superblock's word

TEST_P(PageAllocatorDamage, a_root_that_is_not_where_a_root_stands_is_refused) {
  make_tree();
  const AllocationRoot right = superblock_now().allocation;
  for (const std::uint64_t page :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{256}, std::uint64_t{257},
        std::uint64_t{259}, std::uint64_t{285}, std::uint64_t{286}, kRegion + 1, right.page.value + 1,
        right.page.value ^ 2, std::uint64_t{1} << 51, ~std::uint64_t{0}}) {
    put_root({.page = PageId{page}, .generation = right.generation, .crc32c = right.crc32c});
    expect_damaged(page, "page " + std::to_string(page));
  }
  for (unsigned level = 0; level <= 6; ++level) {
    if (level == 1) continue;
    const std::uint64_t home = geometry_.home(level, 0, right.generation);
    put_root({.page = PageId{home}, .generation = right.generation, .crc32c = right.crc32c});
    expect_damaged(home, "level " + std::to_string(level));
  }
  put_root(right);
  reopen();
}

TEST_P(PageAllocatorDamage, a_root_of_another_generation_or_checksum_is_refused) {
  for (const bool leaf : {true, false}) {
    if (leaf) make_leaf();
    if (!leaf) make_tree();
    const AllocationRoot right = superblock_now().allocation;
    for (const std::uint64_t generation :
         {std::uint64_t{0}, right.generation + 1, right.generation + 2, right.generation + (1u << 20)}) {
      put_root({.page = right.page, .generation = generation, .crc32c = right.crc32c});
      expect_damaged(right.page.value, "generation " + std::to_string(generation));
    }
    put_root({.page = right.page, .generation = right.generation, .crc32c = right.crc32c + 1});
    expect_damaged(right.page.value, "checksum");
    put_root({.page = {}, .generation = right.generation, .crc32c = 0});
    expect_damaged(0, "generation without a page");
    put_root({.page = {}, .generation = 0, .crc32c = 1});
    expect_damaged(0, "checksum without a page");
  }
}

TEST_P(PageAllocatorDamage, a_root_past_the_end_of_the_file_is_refused) {
  make_leaf();
  std::filesystem::resize_file(path_, 257 * 4096);
  expect_damaged(superblock_now().allocation.page.value, "cut off");
}

// ---- the root

TEST_P(PageAllocatorDamage, a_root_that_contradicts_itself_is_refused) {
  struct Case {
    std::string what;
    bool leaf;
    Change change;
  };
  const auto field = [](std::size_t at, std::uint64_t value) -> Change {
    return [=](std::span<std::byte> page) { set(page, at, value); };
  };
  const auto bit = [](std::uint64_t at) -> Change {
    return [=](std::span<std::byte> page) {
      page[detail::kNodeBody + at / 8] |= static_cast<std::byte>(1u << at % 8);
      set(page, 64, get<std::uint64_t>(page, 64) + 1);
    };
  };
  const Case cases[] = {
      {"an LSN", true, field(16, 1)},
      {"magic", true, field(32, 1)},
      {"level", true, field(40, 1)},
      {"index", true, field(48, 1)},
      {"generation in the future", true, field(56, 99)},
      {"fewer are used than there are bits", true, field(64, 298)},
      {"more are used than there are bits", true, field(64, 300)},
      {"high water past the region", true, field(72, kRegion + 1)},
      {"high water past everything", true, field(72, ~std::uint64_t{0})},
      {"a bit past high water", true, bit(4000)},
      {"a bit at high water", true, bit(332)},
      {"high water below a bit", true, field(72, 331)},
      {"a superblock's bit", true, bit(0)},
      {"the bit beside it", true, bit(1)},
      {"the bit beside the twin", true, bit(255)},
      {"the twin's bit", true, bit(256)},
      {"a home's bit", true, bit(258)},
      {"the last guard's bit", true, bit(285)},
      {"something in the head's zeros", true, field(120, 1)},
      {"something behind the bitmap", true, field(128 + 2048, 1)},
      {"level of a root", false, field(40, 2)},
      {"high water past what it covers", false, field(72, 128 * kRegion + 1)},
      {"high water before a child", false, field(72, 3 * kRegion)},
      {"fewer than the entries say", false, field(64, 5)},
      {"a child that uses too many pages", false,
       [](std::span<std::byte> page) {
         set<std::uint64_t>(page, entry_at(1) + 8, kRegion - 4);
         set<std::uint64_t>(page, 64, get<std::uint64_t>(page, 64) + 2);
       }},
      {"counts that wrap", false,
       [](std::span<std::byte> page) {
         set<std::uint64_t>(page, entry_at(1) + 8,
                            get<std::uint64_t>(page, entry_at(1) + 8) + (std::uint64_t{1} << 63));
         set<std::uint64_t>(page, entry_at(2) + 8,
                            get<std::uint64_t>(page, entry_at(2) + 8) + (std::uint64_t{1} << 63));
       }},
      {"used without a generation", false, field(entry_at(1), 0)},
      {"a generation without used", false,
       [](std::span<std::byte> page) {
         set<std::uint64_t>(page, 64, get<std::uint64_t>(page, 64) - get<std::uint64_t>(page, entry_at(1) + 8));
         set<std::uint64_t>(page, entry_at(1) + 8, 0);
       }},
      {"a checksum alone", false, field(entry_at(5) + 16, 7)},
      {"an entry past high water", false,
       [](std::span<std::byte> page) {
         set<std::uint64_t>(page, entry_at(4), 1);
         set<std::uint64_t>(page, entry_at(4) + 8, 1);
         set<std::uint64_t>(page, 64, get<std::uint64_t>(page, 64) + 1);
       }},
      {"something behind the entries", false, field(128 + 128 * 24, 1)},
  };
  for (const Case& damage : cases) {
    if (damage.leaf) make_leaf();
    if (!damage.leaf) make_tree();
    forge(damage.leaf ? 0 : 1, 0, damage.change);
    expect_damaged(superblock_now().allocation.page.value, damage.what);
  }
}

TEST_P(PageAllocatorDamage, a_root_that_is_a_users_page_or_another_files_is_refused) {
  for (const bool leaf : {true, false}) {
    const unsigned level = leaf ? 0 : 1;
    const auto again = [&] { leaf ? make_leaf() : make_tree(); };
    again();
    const Change nothing = [](std::span<std::byte>) {};
    forge(level, 0, nothing);
    reopen();  // the forger does it right
    again();
    forge(level, 0, nothing, 0);
    expect_damaged(superblock_now().allocation.page.value, "no metadata");
    again();
    forge(level, 0, nothing, page_flags::kMetadata, 0xDEAD);
    expect_damaged(superblock_now().allocation.page.value, "another file's");
    again();
    const std::uint64_t root = superblock_now().allocation.page.value;
    put_page(root, Bytes(4096));
    expect_damaged(root, "never written");
    again();
    put_page(root, page_bytes(0));
    expect_damaged(root, "a superblock");
    again();
    poke(root * 4096 + 3000, "rot");
    expect_damaged(root, "rot");
  }
}

// ---- below the root

TEST_P(PageAllocatorDamage, a_damaged_leaf_hides_its_region_and_nothing_else) {
  struct Case {
    std::string what;
    Change leaf;  // of region 2
    Change root;
    bool swaps = false;
  };
  const auto used_of = [](std::span<std::byte> page, std::uint64_t child) {
    return get<std::uint64_t>(page, entry_at(child) + 8);
  };
  const Case cases[] = {
      {"a reserved bit",
       [](std::span<std::byte> page) {
         page[detail::kNodeBody] |= std::byte{1};
         set(page, 64, get<std::uint64_t>(page, 64) + 1);
       },
       [&](std::span<std::byte> page) {
         // What the node says is what the parent says.
         set<std::uint64_t>(page, entry_at(2) + 8, used_of(page, 2) + 1);
         set(page, 64, get<std::uint64_t>(page, 64) + 1);
       }},
      {"used is not what the parent says", [](std::span<std::byte> page) { set<std::uint64_t>(page, 64, 5); }, {}},
      {"high water in a leaf", [](std::span<std::byte> page) { set<std::uint64_t>(page, 72, 4 * kRegion); }, {}},
      {"another leaf's index", [](std::span<std::byte> page) { set<std::uint64_t>(page, 48, 1); }, {}},
      {"its own generation in the future", [](std::span<std::byte> page) { set<std::uint64_t>(page, 56, 3); }, {}},
      {"a generation in the future in the entry, of the same home",
       {},
       [](std::span<std::byte> page) {
         set<std::uint64_t>(page, entry_at(2), get<std::uint64_t>(page, entry_at(2)) + 2);
       }},
      {"a generation in the future in the entry, of the other home",
       {},
       [](std::span<std::byte> page) {
         set<std::uint64_t>(page, entry_at(2), get<std::uint64_t>(page, entry_at(2)) + 1);
       }},
      {"another checksum in the entry",
       {},
       [](std::span<std::byte> page) { set<std::uint32_t>(page, entry_at(2) + 16, 12345); }},
      {"the entry of another leaf",
       {},
       [](std::span<std::byte> page) { std::memcpy(page.data() + entry_at(2), page.data() + entry_at(3), 24); }},
  };
  for (const Case& damage : cases) {
    make_tree();
    if (damage.leaf) forge(0, 2, damage.leaf);
    if (damage.root) forge(1, 0, damage.root);
    const std::uint64_t leaf = where(0, 2);
    reopen();
    const std::uint64_t high_water = pages_->high_water().value;
    const auto on_disk = last_write();
    count_reads();
    for (const PageError& error :
         {error_of(pages_->free(PageId{2 * kRegion + 50})), error_of(pages_->is_allocated(PageId{2 * kRegion + 50})),
          error_of(pages_->next_allocated(PageId{2 * kRegion}))}) {
      EXPECT_EQ(name(error.code), name(ErrorCode::allocation_damaged)) << damage.what;
      EXPECT_EQ(error.page, PageId{leaf}) << damage.what;
    }
    EXPECT_LE(reads_, 3);
    EXPECT_EQ(error_of(pages_->free(PageId{2 * kRegion})).code, ErrorCode::reserved_page) << "that is known";
    EXPECT_EQ(last_write(), on_disk) << damage.what;

    // The others go on.
    EXPECT_TRUE(has(kRegion + 50));
    EXPECT_TRUE(has(3 * kRegion + 50));
    give(3 * kRegion + 50);
    EXPECT_EQ(must(pages_->allocate_near(PageId{kRegion + 100})).value, kRegion + 100);
    const auto elsewhere = must(pages_->allocate_near(PageId{2 * kRegion + 100}));
    EXPECT_NE(elsewhere.value / kRegion, 2u);
    const auto taken = take(kInRegion0);
    EXPECT_EQ(std::ranges::count_if(taken, [](std::uint64_t page) { return page / kRegion == 2; }), 0);
    EXPECT_GT(run(pages_->run_max()) / kRegion, 3u);
    EXPECT_GE(pages_->high_water().value, high_water);
    must(pages_->sync());
    must(pages_->shrink_to_fit());  // it reads from the end, and not that far
    no_faults();

    // And stay as they are, with the damage where it was.
    reopen();
    EXPECT_FALSE(has(3 * kRegion + 50));
    EXPECT_TRUE(has(taken.back()));
    EXPECT_EQ(error_of(pages_->free(PageId{2 * kRegion + 50})).code, ErrorCode::allocation_damaged);
  }
}

TEST_P(PageAllocatorDamage, damage_at_the_end_stops_shrinking_but_not_the_sync) {
  make_tree();
  forge(0, 3, [](std::span<std::byte> page) { set<std::uint64_t>(page, 64, 5); });
  const std::uint64_t leaf = where(0, 3);
  reopen();
  const std::uint64_t high_water = pages_->high_water().value;
  give(5);
  const PageError error = error_of(pages_->shrink_to_fit());
  EXPECT_EQ(error.code, ErrorCode::allocation_damaged);
  EXPECT_EQ(error.page, PageId{leaf});
  reopen();
  EXPECT_FALSE(has(5));
  EXPECT_EQ(pages_->high_water(), PageId{high_water});
}

TEST_P(PageAllocatorDamage, a_damaged_node_above_leaves_hides_what_is_below_it) {
  make();
  take(10);
  for (int i = 0; i < 130; ++i) run(pages_->run_max());
  must(pages_->sync());
  close();
  forge(1, 1, [](std::span<std::byte> page) { set<std::uint64_t>(page, 64, 5); });
  const std::uint64_t node = where(1, 1);
  reopen();
  for (const std::uint64_t page : {128 * kRegion + 50, 129 * kRegion + 50, 200 * kRegion + 50}) {
    const PageError error = error_of(pages_->is_allocated(PageId{page}));
    EXPECT_EQ(error.code, ErrorCode::allocation_damaged) << page;
    EXPECT_EQ(error.page, PageId{node});
  }
  EXPECT_TRUE(has(100 * kRegion + 50));
  for (const std::uint64_t page : take(kInRegion0 - 10)) EXPECT_LT(page, kRegion);
  count_reads();
  EXPECT_EQ(take() / kRegion, 256u) << "the first region that is not below it";
  EXPECT_LE(reads_, 4) << "all of it is passed by at once";
}

TEST_P(PageAllocatorDamage, when_only_damaged_regions_are_left_that_is_what_allocate_says) {
  make({.end = PageId{4 * kRegion}});
  take(kInRegion0);
  for (int i = 0; i < 3; ++i) run(pages_->run_max());
  give(2 * kRegion + 100);
  must(pages_->sync());
  close();
  forge(0, 2, [](std::span<std::byte> page) { set<std::uint64_t>(page, 64, 5); });
  const std::uint64_t leaf = where(0, 2);
  reopen({.end = PageId{4 * kRegion}});
  for (int attempt = 0; attempt < 3; ++attempt) {
    const PageError error = error_of(pages_->allocate());
    EXPECT_EQ(name(error.code), name(ErrorCode::allocation_damaged)) << "attempt " << attempt;
    EXPECT_EQ(error.page, PageId{leaf});
  }
  give(3 * kRegion + 100);
  must(pages_->sync());
  EXPECT_EQ(take(), 3 * kRegion + 100);
}

// Fixed seed: bytes of nodes and roots at random, sealed or not. Whatever they are, opening and use end, with a typed
// error or a consistent answer.
TEST_P(PageAllocatorDamage, hostile_maps) {
  make_tree();
  skip_syncs();
  const std::uint64_t pages[] = {where(1, 0), where(0, 0), where(0, 1), where(0, 2), where(0, 3)};
  std::vector<Bytes> right;
  for (const std::uint64_t page : pages) right.push_back(page_bytes(page));
  const AllocationRoot root = superblock_now().allocation;
  std::uint64_t state = 42;
  const auto draw = [&](std::uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  int refused = 0, contained = 0;
  for (int round = 0; round < 300; ++round) {
    put_root(root);
    for (std::size_t i = 0; i < right.size(); ++i) put_page(pages[i], right[i]);
    const std::uint64_t which = draw(5);
    const Change change = [&](std::span<std::byte> page) {
      for (std::uint64_t i = 0, changes = 1 + draw(3); i < changes; ++i)
        page[32 + draw(draw(2) == 0 ? 100 : 4064)] = static_cast<std::byte>(draw(256));
    };
    which == 0 ? forge(1, 0, change) : forge(0, which - 1, change);
    close();
    file_ = opened();
    auto allocator = PageAllocator::open(*file_);
    if (!allocator) {
      EXPECT_EQ(name(allocator.error().code), name(ErrorCode::allocation_damaged));
      ++refused;
      continue;
    }
    pages_ = std::move(*allocator);
    bool whole = true;
    for (const std::uint64_t page : {std::uint64_t{40}, kRegion + 50, 2 * kRegion + 50, 3 * kRegion + 50}) {
      const auto is = pages_->is_allocated(PageId{page});
      if (is) continue;
      EXPECT_EQ(is.error().code, ErrorCode::allocation_damaged);
      whole = false;
    }
    contained += !whole;
    for (int i = 0; i < 50; ++i) {
      const auto page = pages_->allocate();
      ASSERT_TRUE(page) << page.error().message();
      EXPECT_FALSE(geometry_.reserved(page->value));
    }
    must(pages_->sync());
    reopen();
    if (whole) expect_consistent();
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(contained, 100);
}

}  // namespace
}  // namespace pagedb::testing_support
