// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Media: which version of each sector a file's medium holds, as a cheap copy-on-write layer.
//
// Bytes are never copied into a medium: a sector is a pointer to the write that put it there (or null: never written,
// reads zero). Damage is an overlay on top of that, so the pristine sectors stay known and the oracle can tell a
// damaged page from one that was written wrongly. Damage stays until the sector is written again: a retry does not heal
// it.
//
// A Media sits on a base that it never changes: a crash image is a new layer on the durable one, made in O(changed). It
// keeps a 128-bit hash of all that makes it up, adjusted with each change, so that equal crash states are recognised
// without looking at them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace pagedb::sim {

inline constexpr std::uint32_t kSectorBytes = 512;  ///< the smallest logical sector, and the unit of everything here
inline constexpr std::uint32_t kSectorsPerBlock = 8;
inline constexpr std::uint32_t kBlockBytes = kSectorBytes * kSectorsPerBlock;

/// A write as it was submitted. Immutable once made; lives in an Arena as long as any medium may point to it.
struct WriteRecord {
  std::uint64_t id = 0;      ///< counted per disk; a crash image goes on where its origin stood, so branches share ids
  std::uint64_t offset = 0;  ///< where it landed: not where it was sent, when it was misdirected; kNowhere: dropped
  std::uint64_t intended = 0;  ///< where it was sent
  std::uint32_t size = 0;      ///< bytes
  std::uint32_t file = 0;      ///< number of the file
  const std::byte* bytes = nullptr;
  std::uint64_t tag = 0;      ///< what the observer made of it when it was submitted; 0: nothing
  std::uint64_t content = 0;  ///< digest of the bytes where the id alone does not name them; see SimDisk

  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
  /// It is not where it was sent: it was misdirected, or dropped.
  [[nodiscard]] bool misdirected() const noexcept { return offset != intended; }
};

/// What happened to a sector besides being written.
enum class DamageKind : std::uint8_t {
  none,
  flipped,     ///< one bit differs
  garbage,     ///< nothing is as it was written
  unreadable,  ///< reading gives EIO
};

/// Damage of one sector.
struct Damage {
  DamageKind kind = DamageKind::none;
  std::uint16_t bit = 0;    ///< flipped: which of the sector's 4096 bits
  std::uint64_t noise = 0;  ///< garbage: what it is generated from
};

/// Eight sectors: what each holds, and how each is damaged.
struct Block {
  std::array<const WriteRecord*, kSectorsPerBlock> sector{};
  std::uint8_t damaged = 0;  ///< a bit a sector
};

/// Hash of a medium's contents by version identity; XOR of a term a sector, so order does not matter.
struct StateHash {
  std::uint64_t low = 0, high = 0;
  StateHash& operator^=(const StateHash& other) noexcept {
    low ^= other.low;
    high ^= other.high;
    return *this;
  }
  friend bool operator==(const StateHash&, const StateHash&) = default;
};

/// 128 well-mixed bits of three numbers.
[[nodiscard]] StateHash hash_term(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept;

/// 64 bits that tell contents apart; never 0. The size is a multiple of 16.
[[nodiscard]] std::uint64_t digest(std::span<const std::byte> bytes) noexcept;

/// Bump allocator for records and their bytes; everything goes at once.
class Arena {
 public:
  /// Memory for `bytes` bytes, aligned to 64. Contents are undefined.
  [[nodiscard]] std::byte* allocate(std::size_t bytes);
  /// A new record.
  [[nodiscard]] WriteRecord* record();
  /// Forgets everything and keeps the memory for the next user.
  void clear() noexcept;

 private:
  static constexpr std::size_t kChunkBytes = 1u << 20;
  struct Chunk {
    std::unique_ptr<std::byte[]> memory;
    std::size_t size = 0;
  };
  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0, used_ = 0;
};

/// One file's medium, as a layer on a base.
class Media {
 public:
  Media() { slots_.resize(kMinSlots); }

  /// Starts again as an unchanged copy of `base`, which must not change while this lives; null: nothing was ever
  /// written.
  void reset(const Media* base) noexcept;

  /// Block `index`, as it is now.
  [[nodiscard]] const Block& block(std::uint64_t index) const noexcept {
    for (const Media* layer = this; layer != nullptr; layer = layer->base_) {
      if (const Block* found = layer->find(index)) return *found;
    }
    return kNothing;
  }

  /// What sector `sector` (counted from the start of the file) holds, and its damage.
  [[nodiscard]] const WriteRecord* record(std::uint64_t sector) const noexcept {
    return block(sector / kSectorsPerBlock).sector[sector % kSectorsPerBlock];
  }
  [[nodiscard]] Damage damage(std::uint64_t sector) const noexcept;
  /// Whether a sector holds something that was written after `record`: a write that a sync passed over cannot come back
  /// over a newer one.
  [[nodiscard]] bool newer(std::uint64_t sector, const WriteRecord& written) const noexcept {
    const WriteRecord* held = record(sector);
    return held != nullptr && held->id > written.id;
  }

  /// Puts `record` (null: zeros) into a sector; whatever damaged it is gone.
  void put(std::uint64_t sector, const WriteRecord* record);
  /// Puts all of `record`, at the place where it landed.
  void put(const WriteRecord& record);
  /// Damages a sector on top of what it holds.
  void damage(std::uint64_t sector, const Damage& damage);
  /// Empties every sector from `sector` on, except those that hold a write with id `before` or a later one: a file cut
  /// short before that write. O(blocks ever written).
  void cut(std::uint64_t sector, std::uint64_t before = ~std::uint64_t{0});

  /// Whether this layer itself has changed block `index`.
  [[nodiscard]] bool changed(std::uint64_t index) const noexcept { return find(index) != nullptr; }
  /// Whether this layer has changed anything.
  [[nodiscard]] bool changed() const noexcept { return !blocks_.empty(); }

  /// Numbers of all blocks that the lowest layer holds, in the order in which they were first written.
  [[nodiscard]] const std::vector<std::uint64_t>& written_blocks() const noexcept {
    return base_ != nullptr ? base_->written_blocks() : numbers_;
  }

  /// Copies [offset, offset + out.size()) as a reader would see it. False when it meets an unreadable sector, whose
  /// number is then in `bad_sector`.
  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> out, std::uint64_t& bad_sector) const noexcept;

  [[nodiscard]] StateHash hash() const noexcept { return hash_; }

 private:
  static constexpr std::size_t kMinSlots = 16;
  static const Block kNothing;

  struct Slot {
    std::uint64_t index = 0;
    std::uint32_t position = 0;    // into blocks_
    std::uint32_t generation = 0;  // slot is in use when equal to generation_
  };
  struct DamagedSector {
    std::uint64_t sector;
    Damage damage;
  };

  [[nodiscard]] std::size_t home(std::uint64_t index) const noexcept {
    return static_cast<std::size_t>((index * 0x9e3779b97f4a7c15u) >> 32) & (slots_.size() - 1);
  }
  [[nodiscard]] const Block* find(std::uint64_t index) const noexcept {
    if (blocks_.empty()) return nullptr;
    for (std::size_t at = home(index); slots_[at].generation == generation_; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].index == index) return &blocks_[slots_[at].position];
    }
    return nullptr;
  }
  Block& edit(std::uint64_t index);
  void grow();
  void toggle(std::uint64_t sector, const Block& block) noexcept;

  const Media* base_ = nullptr;
  std::vector<Slot> slots_;  // open addressing, never more than half full
  std::vector<Block> blocks_;
  std::vector<std::uint64_t> numbers_;  // of blocks_
  std::vector<DamagedSector> damage_;
  std::uint32_t generation_ = 1;
  std::uint64_t end_block_ = 0;  // blocks at and after it hold nothing, here and in every base
  StateHash hash_;
};

}  // namespace pagedb::sim
