// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Peers: RocksDB's HyperClockCache and LRUCache.
#include "tools/benchmarks/pool/peers.h"

#if PAGEDB_BENCH_ROCKSDB

#include <rocksdb/cache.h>

#include <cstdio>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {
namespace {

constexpr std::size_t kPageBytes = 4096;

// As a block cache's key: 8 bytes that tell the file, 8 that tell the place.
struct Key {
  std::uint64_t file = 0x5DEECE66D1234567u;
  std::uint64_t block;
};
static_assert(sizeof(Key) == 16);

rocksdb::Slice slice(const Key& key) { return {reinterpret_cast<const char*>(&key), sizeof key}; }

class RocksCache final : public Peer {
 public:
  explicit RocksCache(std::shared_ptr<rocksdb::Cache> cache) : cache_(std::move(cache)) {}

  // Whether all pages stayed in.
  bool fill(std::span<std::byte* const> pages) {
    const auto nothing = [](const rocksdb::Slice&, void*) {};
    for (std::uint64_t id = 0; id < pages.size(); ++id) {
      const Key key{.block = id};
      if (!cache_->Insert(slice(key), pages[id], kPageBytes, nothing).ok()) return false;
    }
    for (std::uint64_t id = 0; id < pages.size(); ++id) {
      const Key key{.block = id};
      rocksdb::Cache::Handle* handle = cache_->Lookup(slice(key));
      if (handle == nullptr) return false;
      cache_->Release(handle);
    }
    return true;
  }

  std::uint64_t visit(std::span<const std::uint32_t> ids, std::size_t offset) override {
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) {
      const Key key{.block = id};
      rocksdb::Cache::Handle* handle = cache_->Lookup(slice(key));
      seen ^= read_64(static_cast<const std::byte*>(cache_->Value(handle)) + offset);
      cache_->Release(handle);
    }
    return seen;
  }

  std::uint64_t hold(std::uint32_t id, std::uint64_t count) override {
    std::uint64_t seen = 0;
    for (; count > 0; --count) {
      const Key key{.block = id};
      rocksdb::Cache::Handle* handle = cache_->Lookup(slice(key));
      seen += static_cast<std::uint64_t>(handle != nullptr);
      cache_->Release(handle);
    }
    return seen;
  }

 private:
  std::shared_ptr<rocksdb::Cache> cache_;
};

std::unique_ptr<Peer> filled(std::shared_ptr<rocksdb::Cache> cache, std::span<std::byte* const> pages) {
  auto peer = std::make_unique<RocksCache>(std::move(cache));
  if (peer->fill(pages)) return peer;
  std::fprintf(stderr, "pool_bench: RocksDB's cache does not keep %zu pages\n", pages.size());
  return nullptr;
}

}  // namespace

// Room for a quarter more, as pages are spread unevenly over its shards.
std::unique_ptr<Peer> make_hyper_clock_cache(std::span<std::byte* const> pages) {
  const std::size_t capacity = pages.size() * (kPageBytes + 64) * 5 / 4;
  return filled(rocksdb::HyperClockCacheOptions(capacity, kPageBytes).MakeSharedCache(), pages);
}

std::unique_ptr<Peer> make_lru_cache(std::span<std::byte* const> pages) {
  return filled(rocksdb::NewLRUCache(pages.size() * (kPageBytes + 128) * 5 / 4), pages);
}

}  // namespace pagedb::bench

#else

namespace pagedb::bench {
std::unique_ptr<Peer> make_hyper_clock_cache(std::span<std::byte* const>) { return nullptr; }
std::unique_ptr<Peer> make_lru_cache(std::span<std::byte* const>) { return nullptr; }
}  // namespace pagedb::bench

#endif
