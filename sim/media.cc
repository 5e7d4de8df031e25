// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "sim/media.h"

#include <algorithm>
#include <cstring>

namespace pagedb::sim {
namespace {

std::uint64_t scramble(std::uint64_t x) noexcept {  // finaliser of SplitMix64 (Steele, Lea, Flood 2014)
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

const Block Media::kNothing{};

StateHash hash_term(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
  const std::uint64_t low =
      scramble(a * 0x9e3779b97f4a7c15u + scramble(b + 0x632be59bd9b4e019u) + c * 0xd6e8feb86659fd93u);
  const std::uint64_t high = scramble(low ^ (b * 0xa0761d6478bd642fu) ^ scramble(c + 0xe7037ed1a0b428dbu) ^ a);
  return {low, high};
}

std::uint64_t digest(std::span<const std::byte> bytes) noexcept {
  StateHash hash;
  for (std::size_t at = 0; at + 16 <= bytes.size(); at += 16) {
    std::uint64_t words[2];
    std::memcpy(words, bytes.data() + at, sizeof words);
    hash = hash_term(hash.high, words[0], words[1]);
  }
  return hash.low | std::uint64_t{1} << 63;
}

std::byte* Arena::allocate(std::size_t bytes) {
  bytes = (bytes + 63) & ~std::size_t{63};
  while (chunk_ < chunks_.size() && used_ + bytes > chunks_[chunk_].size) {
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const std::size_t size = std::max(bytes + 64, kChunkBytes);
    chunks_.push_back({std::make_unique_for_overwrite<std::byte[]>(size), size});
    // The chunk's own address need not be a multiple of 64: start where it is.
    used_ = (64 - reinterpret_cast<std::uintptr_t>(chunks_.back().memory.get()) % 64) % 64;
  } else if (used_ == 0) {
    used_ = (64 - reinterpret_cast<std::uintptr_t>(chunks_[chunk_].memory.get()) % 64) % 64;
    if (used_ + bytes > chunks_[chunk_].size) {
      ++chunk_;
      used_ = 0;
      return allocate(bytes);
    }
  }
  std::byte* memory = chunks_[chunk_].memory.get() + used_;
  used_ += bytes;
  return memory;
}

WriteRecord* Arena::record() { return new (allocate(sizeof(WriteRecord))) WriteRecord{}; }

void Arena::clear() noexcept { chunk_ = used_ = 0; }

void Media::reset(const Media* base) noexcept {
  base_ = base;
  blocks_.clear();
  numbers_.clear();
  damage_.clear();
  if (++generation_ == 0) {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    generation_ = 1;
  }
  hash_ = base != nullptr ? base->hash_ : StateHash{};
  end_block_ = base != nullptr ? base->end_block_ : 0;
}

void Media::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.generation != generation_) continue;
    std::size_t at = home(slot.index);
    while (slots_[at].generation == generation_) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

Block& Media::edit(std::uint64_t index) {
  if (const Block* own = find(index)) return const_cast<Block&>(*own);
  const Block copy = block(index);
  if (copy.damaged != 0) {
    for (std::uint32_t i = 0; i < kSectorsPerBlock; ++i) {
      const std::uint64_t sector = index * kSectorsPerBlock + i;
      if ((copy.damaged >> i & 1) != 0) damage_.push_back({sector, damage(sector)});
    }
  }
  if ((blocks_.size() + 1) * 2 > slots_.size()) grow();
  std::size_t at = home(index);
  while (slots_[at].generation == generation_) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {index, static_cast<std::uint32_t>(blocks_.size()), generation_};
  blocks_.push_back(copy);
  numbers_.push_back(index);
  end_block_ = std::max(end_block_, index + 1);
  return blocks_.back();
}

Damage Media::damage(std::uint64_t sector) const noexcept {
  const std::uint64_t index = sector / kSectorsPerBlock;
  for (const Media* layer = this; layer != nullptr; layer = layer->base_) {
    const Block* found = layer->find(index);
    if (found == nullptr) continue;
    if ((found->damaged >> (sector % kSectorsPerBlock) & 1) == 0) return {};
    for (std::size_t i = layer->damage_.size(); i-- > 0;) {
      if (layer->damage_[i].sector == sector) return layer->damage_[i].damage;
    }
  }
  return {};
}

void Media::toggle(std::uint64_t sector, const Block& block) noexcept {
  const std::uint32_t i = sector % kSectorsPerBlock;
  if (block.sector[i] != nullptr) hash_ ^= hash_term(sector, block.sector[i]->id ^ block.sector[i]->content, 0);
  if ((block.damaged >> i & 1) != 0) {
    const Damage found = damage(sector);
    hash_ ^= hash_term(sector, static_cast<std::uint64_t>(found.kind) << 32 | found.bit, found.noise + 1);
  }
}

void Media::put(std::uint64_t sector, const WriteRecord* record) {
  Block& block = edit(sector / kSectorsPerBlock);
  const std::uint32_t i = sector % kSectorsPerBlock;
  toggle(sector, block);
  block.sector[i] = record;
  block.damaged = static_cast<std::uint8_t>(block.damaged & ~(1u << i));
  toggle(sector, block);
}

void Media::put(const WriteRecord& record) {
  for (std::uint64_t at = record.offset; at < record.offset + record.size; at += kSectorBytes)
    put(at / kSectorBytes, &record);
}

void Media::damage(std::uint64_t sector, const Damage& damage) {
  Block& block = edit(sector / kSectorsPerBlock);
  toggle(sector, block);
  block.damaged = static_cast<std::uint8_t>(block.damaged | 1u << (sector % kSectorsPerBlock));
  damage_.push_back({sector, damage});
  toggle(sector, block);
}

void Media::cut(std::uint64_t sector, std::uint64_t before) {
  if (sector >= end_block_ * kSectorsPerBlock) return;
  for (const Media* layer = this; layer != nullptr; layer = layer->base_) {
    // By index and up to where it ended: cutting adds blocks to this layer.
    const std::size_t blocks = layer->numbers_.size();
    for (std::size_t n = 0; n < blocks; ++n) {
      const std::uint64_t first = layer->numbers_[n] * kSectorsPerBlock;
      for (std::uint32_t i = 0; i < kSectorsPerBlock && first + kSectorsPerBlock > sector; ++i) {
        if (first + i < sector) continue;
        const Block& held = block(layer->numbers_[n]);
        const WriteRecord* record = held.sector[i];
        if (record != nullptr ? record->id < before : (held.damaged >> i & 1) != 0) put(first + i, nullptr);
      }
    }
  }
}

bool Media::read(std::uint64_t offset, std::span<std::byte> out, std::uint64_t& bad_sector) const noexcept {
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t at = offset + done;
    const std::uint64_t first = at / kSectorBytes;
    const Block& held = block(first / kSectorsPerBlock);
    // The common case: a whole block that one write put there.
    const WriteRecord* whole = held.sector[0];
    if (at % kBlockBytes == 0 && out.size() - done >= kBlockBytes && held.damaged == 0 &&
        std::all_of(held.sector.begin() + 1, held.sector.end(), [whole](const WriteRecord* r) { return r == whole; })) {
      if (whole == nullptr) {
        std::memset(out.data() + done, 0, kBlockBytes);
      } else {
        std::memcpy(out.data() + done, whole->bytes + (at - whole->offset), kBlockBytes);
      }
      done += kBlockBytes;
      continue;
    }
    const std::size_t within = at % kSectorBytes;
    const std::size_t size = std::min<std::size_t>(kSectorBytes - within, out.size() - done);
    const WriteRecord* record = held.sector[first % kSectorsPerBlock];
    const Damage harm = (held.damaged >> (first % kSectorsPerBlock) & 1) != 0 ? damage(first) : Damage{};
    if (harm.kind == DamageKind::unreadable) {
      bad_sector = first;
      return false;
    }
    std::byte sector[kSectorBytes];
    if (record == nullptr) {
      std::memset(sector, 0, kSectorBytes);
    } else {
      std::memcpy(sector, record->bytes + (first * kSectorBytes - record->offset), kSectorBytes);
    }
    if (harm.kind == DamageKind::flipped)
      sector[harm.bit / 8] ^= std::byte{static_cast<unsigned char>(1u << (harm.bit % 8))};
    if (harm.kind == DamageKind::garbage) {
      for (std::uint32_t word = 0; word < kSectorBytes / 8; ++word) {
        const std::uint64_t noise = scramble(harm.noise + word * 0x9e3779b97f4a7c15u + 1);
        std::memcpy(sector + word * 8, &noise, 8);
      }
    }
    std::memcpy(out.data() + done, sector + within, size);
    done += size;
  }
  return true;
}

}  // namespace pagedb::sim
