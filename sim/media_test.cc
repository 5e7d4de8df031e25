// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Media: sectors by identity on copy-on-write layers, damage as an overlay, and the hash that stands for all of it.
#include "sim/media.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "sim/testing/disk_world.h"

namespace pagedb::sim {
namespace {

/// Makes writes of one letter each.
class Writes {
 public:
  const WriteRecord& make(std::uint64_t sector, std::uint64_t count, char letter) {
    WriteRecord* record = arena_.record();
    const auto size = static_cast<std::size_t>(count * kSectorBytes);
    std::byte* bytes = arena_.allocate(size);
    std::memset(bytes, letter, size);
    record->id = next_++;
    record->offset = record->intended = sector * kSectorBytes;
    record->size = static_cast<std::uint32_t>(size);
    record->bytes = bytes;
    return *record;
  }

 private:
  Arena arena_;
  std::uint64_t next_ = 1;
};

std::vector<std::byte> read(const Media& media, std::uint64_t offset, std::size_t size) {
  std::vector<std::byte> out(size, std::byte{0xee});
  std::uint64_t bad = 0;
  EXPECT_TRUE(media.read(offset, out, bad));
  return out;
}

TEST(Arena, AlignsAndDoesNotOverlap) {
  Arena arena;
  std::byte* previous_end = nullptr;
  for (const std::size_t size : {1u, 63u, 64u, 65u, 4096u, 7u, 1u << 20, 100u, 3u << 20, 1u}) {
    std::byte* memory = arena.allocate(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 64, 0u) << size;
    EXPECT_TRUE(previous_end == nullptr || memory >= previous_end || memory + size <= previous_end) << size;
    std::memset(memory, 1, size);  // ASan knows where the chunk ends
    previous_end = memory + size;
  }
}

TEST(Arena, GivesTheSameMemoryAgainAfterClear) {
  Arena arena;
  const auto fill = [&] {
    std::vector<std::byte*> got;
    for (int i = 0; i < 300; ++i) got.push_back(arena.allocate(static_cast<std::size_t>(i) * 50 + 1));
    return got;
  };
  const auto first = fill();
  arena.clear();
  EXPECT_EQ(fill(), first);
  const std::set<std::byte*> distinct(first.begin(), first.end());
  EXPECT_EQ(distinct.size(), first.size());
}

TEST(Arena, SkipsAChunkThatIsTooSmallAfterClear) {
  Arena arena;
  std::byte* small = arena.allocate(100);
  arena.clear();
  std::byte* large = arena.allocate(5u << 20);  // the kept chunk is 1 MiB
  EXPECT_NE(large, small);
  std::memset(large, 1, 5u << 20);
}

TEST(Arena, RecordsStartEmpty) {
  Arena arena;
  WriteRecord* record = arena.record();
  record->tag = 7;
  arena.clear();
  EXPECT_EQ(arena.record(), record);
  EXPECT_EQ(record->tag, 0u);
}

TEST(Media, ReadsZerosWhereNothingWasWritten) {
  const Media media;
  EXPECT_EQ(sectors_of(media, 0, 20), std::string(20, '.'));
  EXPECT_FALSE(media.changed());
  EXPECT_EQ(media.hash(), StateHash{});
}

TEST(Media, ReadsWhatWasPut) {
  Writes writes;
  Media media;
  const WriteRecord& a = writes.make(3, 18, 'a');
  media.put(a);
  media.put(5, &writes.make(4, 4, 'b'));
  EXPECT_EQ(sectors_of(media, 0, 24), "...aabaaaaaaaaaaaaaaa...");
  EXPECT_EQ(media.record(3), &a);
  EXPECT_EQ(media.record(2), nullptr);
  media.put(4, nullptr);
  EXPECT_EQ(sectors_of(media, 0, 8), "...a.baa");
}

TEST(Media, ReadsEveryByteOfItsPlaceInTheWrite) {
  Arena arena;
  Media media;
  WriteRecord* record = arena.record();
  std::byte* bytes = arena.allocate(32 * kSectorBytes);
  for (std::size_t i = 0; i < 32 * kSectorBytes; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  *record = {.id = 1, .offset = 5 * kSectorBytes, .size = 32 * kSectorBytes, .bytes = bytes};
  media.put(*record);
  const std::uint64_t begin = record->offset;
  // Whole blocks (the fast path), whole sectors, and pieces of sectors that cross their borders.
  for (const auto& [offset, size] :
       std::vector<std::pair<std::uint64_t, std::size_t>>{{8 * kSectorBytes, 3 * kBlockBytes},
                                                          {5 * kSectorBytes, 32 * kSectorBytes},
                                                          {begin + 100, 1000},
                                                          {begin + 511, 2},
                                                          {begin + 17, 5 * kBlockBytes / 2},
                                                          {begin + 3 * kSectorBytes, kBlockBytes + 1}}) {
    const auto out = read(media, offset, size);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), bytes + (offset - begin))) << offset << " " << size;
  }
  const auto across = read(media, begin - 10, 20);  // zeros, then data
  EXPECT_EQ(std::count(across.begin(), across.begin() + 10, std::byte{}), 10);
  EXPECT_TRUE(std::equal(across.begin() + 10, across.end(), bytes));
}

TEST(Media, TheFastPathNoticesOneOtherSector) {
  Writes writes;
  for (std::uint64_t odd = 0; odd < 8; ++odd) {
    Media media;
    media.put(writes.make(0, 8, 'a'));
    media.put(odd, &writes.make(odd, 1, 'b'));
    std::string expected(8, 'a');
    expected[odd] = 'b';
    const auto out = read(media, 0, kBlockBytes);
    for (std::uint64_t i = 0; i < 8; ++i)
      EXPECT_EQ(static_cast<char>(out[i * kSectorBytes + 500]), expected[i]) << odd << i;
  }
}

TEST(Media, AMisdirectedWriteReadsFromWhereItLanded) {
  Writes writes;
  WriteRecord astray = writes.make(16, 8, 'm');
  astray.offset = 8 * kSectorBytes;
  EXPECT_TRUE(astray.misdirected());
  Media media;
  media.put(astray);
  EXPECT_EQ(sectors_of(media, 0, 24), "........mmmmmmmm........");
}

TEST(Media, LayersDoNotChangeTheirBase) {
  Writes writes;
  Media base, layer, top;
  base.put(writes.make(0, 16, 'a'));
  base.damage(12, {DamageKind::unreadable, 0, 0});
  const StateHash before = base.hash();
  layer.reset(&base);
  EXPECT_EQ(layer.hash(), before);
  EXPECT_FALSE(layer.changed());
  layer.put(writes.make(2, 3, 'b'));
  layer.put(12, &writes.make(12, 1, 'c'));
  layer.damage(0, {DamageKind::unreadable, 0, 0});
  top.reset(&layer);
  top.put(3, nullptr);
  EXPECT_EQ(sectors_of(base, 0, 16), "aaaaaaaaaaaa!aaa");
  EXPECT_EQ(base.hash(), before);
  EXPECT_EQ(sectors_of(layer, 0, 16), "!abbbaaaaaaacaaa");
  EXPECT_EQ(sectors_of(top, 0, 16), "!ab.baaaaaaacaaa");
  EXPECT_TRUE(top.changed(0));
  EXPECT_FALSE(top.changed(1));
  EXPECT_TRUE(layer.changed(1));
}

TEST(Media, DamageStaysAcrossLayersAndGoesWhenTheSectorIsRewritten) {
  Writes writes;
  Media base, layer, top;
  base.put(writes.make(0, 8, 'a'));
  base.damage(1, {DamageKind::flipped, 9, 0});
  base.damage(3, {DamageKind::unreadable, 0, 0});
  base.damage(5, {DamageKind::garbage, 0, 77});
  layer.reset(&base);
  layer.put(writes.make(0, 1, 'b'));  // another sector of the block: the damage comes along
  top.reset(&layer);
  EXPECT_EQ(sectors_of(top, 0, 8), "b?a!a?aa");
  EXPECT_EQ(top.damage(1).kind, DamageKind::flipped);
  EXPECT_EQ(top.damage(1).bit, 9);
  EXPECT_EQ(top.damage(3).kind, DamageKind::unreadable);
  EXPECT_EQ(top.damage(5).noise, 77u);
  EXPECT_EQ(top.damage(2).kind, DamageKind::none);
  EXPECT_EQ(sectors_of(top, 0, 8), "b?a!a?aa") << "a retry does not heal";
  for (const std::uint64_t sector : {1u, 3u, 5u}) {
    top.put(sector, &writes.make(sector, 1, 'n'));
    EXPECT_EQ(top.damage(sector).kind, DamageKind::none);
  }
  EXPECT_EQ(sectors_of(top, 0, 8), "bnananaa");
  EXPECT_EQ(sectors_of(layer, 0, 8), "b?a!a?aa");
}

TEST(Media, AFlippedBitIsOneBit) {
  Writes writes;
  Media media;
  media.put(writes.make(0, 8, 'a'));
  const auto before = read(media, 0, kBlockBytes);
  for (const std::uint16_t bit : std::vector<std::uint16_t>{0, 7, 8, 2047, 4095}) {
    Media layer;
    layer.reset(&media);
    layer.damage(6, {DamageKind::flipped, bit, 0});
    const auto after = read(layer, 0, kBlockBytes);
    for (std::size_t i = 0; i < after.size(); ++i) {
      const std::size_t at = 6 * kSectorBytes + bit / 8u;
      const auto expected = i == at ? before[i] ^ std::byte{static_cast<unsigned char>(1u << bit % 8)} : before[i];
      ASSERT_EQ(after[i], expected) << "bit " << bit << " byte " << i;
    }
  }
}

TEST(Media, GarbageDependsOnItsNoiseAndIsReproducible) {
  Writes writes;
  Media one, same, other;
  for (Media* media : {&one, &same, &other}) {
    media->put(writes.make(0, 1, 'a'));
    media->damage(0, {DamageKind::garbage, 0, media == &other ? 2u : 1u});
  }
  EXPECT_EQ(read(one, 0, kSectorBytes), read(same, 0, kSectorBytes));
  EXPECT_NE(read(one, 0, kSectorBytes), read(other, 0, kSectorBytes));
  const auto bytes = read(one, 0, kSectorBytes);
  EXPECT_LT(std::count(bytes.begin(), bytes.end(), std::byte{'a'}), 20);
}

TEST(Media, ReadingNamesTheFirstUnreadableSectorItTouches) {
  Writes writes;
  Media media;
  media.put(writes.make(0, 16, 'a'));
  media.damage(9, {DamageKind::unreadable, 0, 0});
  media.damage(11, {DamageKind::unreadable, 0, 0});
  std::vector<std::byte> out(16 * kSectorBytes);
  std::uint64_t bad = 0;
  EXPECT_FALSE(media.read(0, out, bad));
  EXPECT_EQ(bad, 9u);
  EXPECT_FALSE(media.read(10 * kSectorBytes, std::span(out).first(6 * kSectorBytes), bad));
  EXPECT_EQ(bad, 11u);
  EXPECT_TRUE(media.read(10 * kSectorBytes, std::span(out).first(kSectorBytes), bad));
  EXPECT_FALSE(media.read(9 * kSectorBytes + 511, std::span(out).first(1), bad)) << "the last byte of a bad sector";
}

TEST(Media, NewerComparesWhatASectorHolds) {
  Writes writes;
  const WriteRecord &a = writes.make(0, 2, 'a'), &b = writes.make(0, 1, 'b');
  Media media;
  EXPECT_FALSE(media.newer(0, a));
  media.put(b);
  EXPECT_TRUE(media.newer(0, a));
  EXPECT_FALSE(media.newer(0, b));
  EXPECT_FALSE(media.newer(1, a));
}

TEST(Media, CutEmptiesEverythingFromASectorOn) {
  Writes writes;
  Media base, layer;
  base.put(writes.make(0, 20, 'a'));
  base.put(writes.make(800, 3, 'f'));
  base.damage(10, {DamageKind::unreadable, 0, 0});
  layer.reset(&base);
  layer.put(writes.make(4, 2, 'b'));
  layer.damage(900, {DamageKind::unreadable, 0, 0});  // a sector that was never written
  layer.cut(5);
  EXPECT_EQ(sectors_of(layer, 0, 24), "aaaab" + std::string(19, '.'));
  EXPECT_EQ(sectors_of(layer, 798, 6), "......");
  EXPECT_EQ(sectors_of(layer, 900, 1), ".");
  EXPECT_EQ(sectors_of(base, 0, 24), "aaaaaaaaaa!aaaaaaaaa....");
  EXPECT_EQ(sectors_of(base, 798, 6), "..fff.");
  const StateHash hash = layer.hash();
  layer.cut(5);
  EXPECT_EQ(layer.hash(), hash);
}

TEST(Media, CutSparesWhatWasWrittenAfterIt) {
  Writes writes;
  Media media;
  media.put(writes.make(0, 8, 'a'));
  const WriteRecord& b = writes.make(2, 2, 'b');
  media.put(b);
  media.put(writes.make(5, 1, 'c'));
  media.cut(1, b.id);
  EXPECT_EQ(sectors_of(media, 0, 8), "a.bb.c..");
}

TEST(Media, CutIsQuickHoweverFarAwayTheLastSectorIs) {
  Writes writes;
  Media media;
  media.put(writes.make(std::uint64_t{1} << 52, 1, 'z'));
  media.cut(0);  // a loop over all sectors would not end
  EXPECT_EQ(media.record(std::uint64_t{1} << 52), nullptr);
  EXPECT_EQ(media.hash(), StateHash{});
}

TEST(Media, HashDoesNotDependOnTheOrder) {
  Writes writes;
  const WriteRecord &a = writes.make(0, 9, 'a'), &b = writes.make(40, 3, 'b');
  const Damage harm{DamageKind::garbage, 0, 5};
  Media left, right;
  left.put(a), left.put(b), left.damage(7, harm), left.damage(41, harm);
  right.damage(41, {DamageKind::unreadable, 0, 0});
  right.put(b), right.damage(41, harm), right.put(a), right.damage(7, harm);
  EXPECT_EQ(left.hash(), right.hash());
  EXPECT_NE(left.hash(), StateHash{});
}

TEST(Media, HashChangesWithEachThingAndReturnsWhenItIsUndone) {
  Writes writes;
  const WriteRecord &a = writes.make(0, 8, 'a'), &b = writes.make(0, 8, 'b');
  Media media;
  media.put(a);
  const StateHash start = media.hash();
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen{{0, 0}};
  const auto fresh = [&] { return seen.insert({media.hash().low, media.hash().high}).second; };
  EXPECT_TRUE(fresh());
  for (std::uint64_t sector = 0; sector < 8; ++sector) {
    media.put(sector, &b);
    EXPECT_TRUE(fresh());
    media.put(sector, nullptr);
    EXPECT_TRUE(fresh());
    for (const Damage& harm :
         {Damage{DamageKind::flipped, 1, 0}, Damage{DamageKind::flipped, 2, 0}, Damage{DamageKind::garbage, 0, 1},
          Damage{DamageKind::garbage, 0, 2}, Damage{DamageKind::unreadable, 0, 0}}) {
      media.put(sector, &a);
      EXPECT_EQ(media.hash(), start);
      media.damage(sector, harm);
      EXPECT_TRUE(fresh());
    }
    media.put(sector, &a);
    EXPECT_EQ(media.hash(), start);
  }
  media.cut(3);
  EXPECT_TRUE(fresh());
  for (std::uint64_t sector = 3; sector < 8; ++sector) media.put(sector, &a);
  EXPECT_EQ(media.hash(), start);
}

TEST(Media, HashTellsContentsApartWhereIdsComeAgain) {
  Writes writes;
  WriteRecord one = writes.make(0, 1, 'a'), other = one;
  one.content = 1;
  other.content = 2;
  Media left, right;
  left.put(one);
  right.put(other);
  EXPECT_NE(left.hash(), right.hash());
}

TEST(Media, DigestTellsContentsApart) {
  std::vector<std::byte> bytes(4096);
  std::set<std::uint64_t> seen{0, digest(bytes)};
  EXPECT_EQ(seen.size(), 2u);
  for (std::size_t i = 0; i < bytes.size(); i += 7) {
    bytes[i] ^= std::byte{1};
    EXPECT_TRUE(seen.insert(digest(bytes)).second) << i;
  }
  std::vector<std::byte> swapped(32);
  swapped[0] = std::byte{1};
  const auto first = digest(swapped);
  std::swap(swapped[0], swapped[16]);
  EXPECT_NE(digest(swapped), first);
}

TEST(Media, ManyBlocksAreFoundAfterTheTableGrew) {
  Writes writes;
  Media media;
  std::vector<const WriteRecord*> records;
  for (std::uint64_t i = 0; i < 3000; ++i) {  // far apart, so that homes collide
    records.push_back(&writes.make(i * i * 64, 1, 'a'));
    media.put(*records.back());
  }
  for (std::uint64_t i = 0; i < 3000; ++i) ASSERT_EQ(media.record(i * i * 64), records[i]) << i;
  EXPECT_EQ(media.record(1), nullptr);
  EXPECT_EQ(media.record(64 * 2), nullptr);
  EXPECT_EQ(media.written_blocks().size(), 3000u);
}

TEST(Media, ResetForgetsEverythingAndCanBeUsedAgain) {
  Writes writes;
  Media base, media;
  base.put(writes.make(3, 1, 'b'));
  for (int life = 0; life < 100; ++life) {
    media.reset(life % 2 == 0 ? nullptr : &base);
    EXPECT_EQ(sectors_of(media, 0, 8), life % 2 == 0 ? "........" : "...b....");
    EXPECT_FALSE(media.changed());
    media.put(writes.make(static_cast<std::uint64_t>(life % 8), 1, 'a'));
    media.damage(100 + static_cast<std::uint64_t>(life), {DamageKind::unreadable, 0, 0});
    EXPECT_EQ(media.damage(99 + static_cast<std::uint64_t>(life)).kind, DamageKind::none) << "of the life before";
  }
}

TEST(Media, WrittenBlocksAreThoseOfTheLowestLayer) {
  Writes writes;
  Media base, layer;
  base.put(writes.make(80, 1, 'a'));
  base.put(writes.make(0, 9, 'b'));
  layer.reset(&base);
  layer.put(writes.make(160, 1, 'c'));
  EXPECT_EQ(layer.written_blocks(), (std::vector<std::uint64_t>{10, 0, 1}));
}

}  // namespace
}  // namespace pagedb::sim
