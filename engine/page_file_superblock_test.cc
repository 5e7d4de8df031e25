// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Opening with damaged, older, contradicting, unknown and hostile superblocks.
#include "engine/page_file_test.h"

namespace pagedb::testing_support {
namespace {

class PageFileSuperblock : public PageFileTest {};
INSTANTIATE_TEST_SUITE_P(Caching, PageFileSuperblock, testing::Values(Caching::direct, Caching::buffered),
                         caching_name);

// Superblocks.

TEST_P(PageFileSuperblock, a_damaged_superblock_is_healed_from_its_twin) {
  for (const std::uint64_t size : {4096u, 65536u, 1u << 20}) {
    for (const SuperblockSlot slot : {SuperblockSlot::first, SuperblockSlot::twin}) {
      for (const std::string& damage : {std::string(size, '\0'), std::string(size, 'x'), std::string("rot")}) {
        std::filesystem::remove(path_);
        ASSERT_TRUE(write_version(*created(size), 5, 1));
        const std::string whole = bytes();
        poke(slot_offset(slot), damage);
        const Snapshot before = snapshot();
        {
          const auto file = opened(kReadOnly);
          ASSERT_TRUE(file);
          EXPECT_TRUE(file->open_report().superblock_damaged);
          EXPECT_FALSE(file->open_report().superblock_healed);
          EXPECT_EQ(read_version(*file, 5), 1u);
        }
        EXPECT_EQ(snapshot(), before) << "a reader heals nothing";
        EXPECT_TRUE(opened()->open_report().superblock_healed);
        EXPECT_EQ(bytes(), whole);
        EXPECT_FALSE(opened()->open_report().superblock_healed);
      }
    }
  }
}

TEST_P(PageFileSuperblock, a_missing_twin_is_healed) {
  for (const std::uint64_t length : {std::uint64_t{4096}, std::uint64_t{5000}, kTwinOffset, kTwinOffset + 512}) {
    std::filesystem::remove(path_);
    created();
    const std::string whole = bytes();
    std::filesystem::resize_file(path_, length);
    const auto file = opened();
    EXPECT_TRUE(file->open_report().superblock_healed);
    EXPECT_EQ(file->page_count(), 257u);
    EXPECT_EQ(bytes(), whole);
  }
}

TEST_P(PageFileSuperblock, the_higher_generation_counts_and_the_older_slot_follows) {
  for (const SuperblockSlot newer : {SuperblockSlot::first, SuperblockSlot::twin}) {
    std::filesystem::remove(path_);
    created();
    poke(slot_offset(newer), superblock(newer, 2));
    const auto before = bytes();
    const auto reader = opened(kReadOnly);
    EXPECT_EQ(reader->generation(), 2u);
    EXPECT_FALSE(reader->open_report().superblock_damaged) << "a slot that is merely older is sound";
    EXPECT_EQ(bytes(), before);
    const auto file = opened();
    EXPECT_EQ(file->generation(), 2u);
    EXPECT_TRUE(file->open_report().superblock_healed);
    EXPECT_EQ(slot_bytes(other(newer)), superblock(other(newer), 2));
  }
}

TEST_P(PageFileSuperblock, healing_syncs_before_and_after) {
  created();
  poke(0, std::string(4096, '\0'));
  std::string order;
  system_.on_read = [&](off_t, std::size_t) -> FaultySystem::Answer {
    if (!order.ends_with("read ")) order += "read ";
    return std::nullopt;
  };
  system_.on_write = [&](off_t offset, std::size_t) -> FaultySystem::Answer {
    order += "write" + std::to_string(offset) + " ";
    return std::nullopt;
  };
  system_.on_sync = [&]() -> FaultySystem::Answer {
    order += "sync ";
    return std::nullopt;
  };
  opened();
  EXPECT_EQ(order, "sync read write0 sync write1048576 sync ");
}

TEST_P(PageFileSuperblock, neither_superblock_verifies) {
  created();
  poke(100, "rot");
  poke(kTwinOffset + 100, "rot");
  expect_refused(ErrorCode::superblock_damaged);
  expect_refused(ErrorCode::superblock_damaged, kReadOnly);
  expect_refused(ErrorCode::superblock_damaged, kFinish);
  expect_refused(ErrorCode::superblock_damaged, legacy(4096));
}

TEST_P(PageFileSuperblock, pages_with_a_tag_tell_that_superblocks_are_missing) {
  ASSERT_TRUE(write_version(*created(), 2, 1));
  poke(0, std::string(4096, '\0'));
  poke(kTwinOffset, std::string(4096, '\0'));
  expect_refused(ErrorCode::superblock_damaged, kFinish);
}

TEST_P(PageFileSuperblock, superblocks_of_two_files_contradict_each_other) {
  created();
  poke(kTwinOffset, superblock(SuperblockSlot::twin, 9, 4096, FileId{std::byte{1}}));
  expect_refused(ErrorCode::superblock_damaged);
  poke(kTwinOffset, superblock(SuperblockSlot::twin, 9, 8192));
  expect_refused(ErrorCode::superblock_damaged);
}

TEST_P(PageFileSuperblock, one_generation_with_two_allocation_roots_is_a_contradiction) {
  created();
  const auto put = [&](SuperblockSlot slot, std::uint64_t generation, const AllocationRoot& root) {
    std::vector<std::byte> page(4096);
    encode_superblock({.page_size = size_of(4096), .file_id = kId, .generation = generation, .allocation = root}, slot,
                      page);
    poke(slot_offset(slot), {reinterpret_cast<const char*>(page.data()), page.size()});
  };
  const AllocationRoot root{.page = PageId{258}, .generation = 4, .crc32c = 7};
  put(SuperblockSlot::first, 3, root);
  for (const AllocationRoot& another :
       {AllocationRoot{.page = PageId{260}, .generation = 4, .crc32c = 7},
        AllocationRoot{.page = PageId{258}, .generation = 5, .crc32c = 7},
        AllocationRoot{.page = PageId{258}, .generation = 4, .crc32c = 8}, AllocationRoot{}}) {
    put(SuperblockSlot::twin, 3, another);
    expect_refused(ErrorCode::superblock_damaged);
    expect_refused(ErrorCode::superblock_damaged, kReadOnly);
  }
  put(SuperblockSlot::twin, 3, root);
  EXPECT_EQ(opened(kReadOnly)->generation(), 3u);
  put(SuperblockSlot::twin, 4, {});
  EXPECT_EQ(opened(kReadOnly)->generation(), 4u) << "another commit may well name another root";
}

TEST_P(PageFileSuperblock, an_unknown_format_is_refused_even_beside_a_known_one) {
  created();
  for (const SuperblockSlot slot : {SuperblockSlot::first, SuperblockSlot::twin}) {
    const std::string sound = superblock(slot, 1);
    poke(slot_offset(slot), forged(sound, 40, 7));
    EXPECT_EQ(expect_refused(ErrorCode::unknown_format).actual, 7u);
    expect_refused(ErrorCode::unknown_format, kReadOnly);
    expect_refused(ErrorCode::unknown_format, legacy(4096));
    poke(slot_offset(slot), sound);
  }
}

TEST_P(PageFileSuperblock, a_superblock_that_cannot_be_read_fails_the_open) {
  created();
  for (const off_t bad : {off_t{0}, static_cast<off_t>(kTwinOffset)}) {
    system_.on_read = [bad](off_t offset, std::size_t) -> FaultySystem::Answer {
      if (offset == bad) return -EIO;
      return std::nullopt;
    };
    EXPECT_EQ(expect_refused(ErrorCode::io_error).sys_errno, EIO);
    expect_refused(ErrorCode::io_error, kReadOnly);
  }
}

TEST_P(PageFileSuperblock, open_fails_when_its_sync_does) {
  created();
  poke(0, std::string(4096, '\0'));
  system_.on_sync = [] { return -EIO; };
  expect_refused(ErrorCode::io_error);
  EXPECT_TRUE(open(kReadOnly)) << "a reader syncs nothing";
}

TEST_P(PageFileSuperblock, open_fails_when_healing_does) {
  created();
  poke(0, std::string(4096, '\0'));
  system_.on_write = [](off_t, std::size_t) { return -EIO; };
  expect_refused(ErrorCode::io_error);
}

// Fixed seed: the same hostile superblocks each time. Whatever they are, opening ends, and changes nothing or heals.
TEST_P(PageFileSuperblock, hostile_superblocks) {
  ASSERT_TRUE(write_version(*created(), 2, 1));
  const std::string whole = bytes();
  system_.on_sync = [] { return 0; };  // what is tested needs no disk
  std::uint64_t state = 42;
  const auto draw = [&](std::uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  int healed = 0;
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string content = whole;
    const std::uint64_t slots = draw(3);
    for (const std::uint64_t base : {std::uint64_t{0}, kTwinOffset}) {
      if ((base == 0 && slots == 1) || (base != 0 && slots == 0)) continue;
      const std::uint64_t changes = 1 + draw(4);
      for (std::uint64_t i = 0; i < changes; ++i) content[base + draw(160)] = static_cast<char>(draw(256));
      if (draw(2) == 0) content.replace(base, 4096, forged(content.substr(base, 4096), 100, content[base + 100]));
    }
    put_bytes(content);
    const Snapshot before = snapshot();
    EXPECT_EQ((open(kReadOnly), snapshot()), before);
    const auto file = open();
    if (!file) {
      ++refused;
      EXPECT_EQ(snapshot(), before) << name(file.error().code);
      continue;
    }
    healed += (*file)->open_report().superblock_healed;
    EXPECT_EQ(read_version(**file, 2), 1u);
    std::string now = bytes();
    for (const std::uint64_t base : {std::uint64_t{0}, kTwinOffset}) now.replace(base, 4096, content, base, 4096);
    EXPECT_EQ(now, content) << "opening changed more than superblocks";
  }
  EXPECT_GT(healed, 20);
  EXPECT_GT(refused, 20);
}

}  // namespace
}  // namespace pagedb::testing_support
