// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The other caches that pool_bench compares with, each behind the same two loops.
//
// What a peer is not built with (tools/setup bench installs it) has no maker here that works: it answers with a null
// pointer, and the report names the package.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace pagedb::bench {

/// A cache or store whose pages 0, 1, 2, ... are all in memory.
class Peer {
 public:
  virtual ~Peer() = default;
  /// Looks up, reads the 64 bytes at `offset`, and releases each of `ids`.
  virtual std::uint64_t visit(std::span<const std::uint32_t> ids, std::size_t offset) = 0;
  /// Looks up and releases page `id`, `count` times.
  virtual std::uint64_t hold(std::uint32_t id, std::uint64_t count) = 0;
};

/// RocksDB's block caches, with 16-byte keys as its block cache has them. `pages[id]` becomes the value of page `id`:
/// the pool's own page memory, so that what is compared is the caches.
[[nodiscard]] std::unique_ptr<Peer> make_hyper_clock_cache(std::span<std::byte* const> pages);
[[nodiscard]] std::unique_ptr<Peer> make_lru_cache(std::span<std::byte* const> pages);

/// std::mutex and std::unordered_map, with a pin count changed under the mutex. Over the same page memory.
[[nodiscard]] std::unique_ptr<Peer> make_mutex_map(std::span<std::byte* const> pages);

/// SQLite's page cache (pcache2: xFetch, xUnpin), in memory of its own. One thread.
[[nodiscard]] std::unique_ptr<Peer> make_sqlite_pcache(std::uint32_t pages);

/// LMDB: mdb_get in a read transaction, integer keys, values of 4,080 bytes (one overflow page each). One thread.
/// `directory` must exist; its files are removed at the end.
[[nodiscard]] std::unique_ptr<Peer> make_lmdb(const std::string& directory, std::uint32_t pages);

/// A table of `rows` values of about 4 KiB under integer keys, on disk, durable.
class Database {
 public:
  virtual ~Database() = default;
  /// Replaces the values of `ids` in one durable transaction. False: it failed, and said why on stderr. `commit_ns`:
  /// the part of it that the commit took.
  virtual bool replace(std::span<const std::uint32_t> ids, std::uint64_t& commit_ns) = 0;
  /// Brings what was replaced to its place, where `replace` has only put it into a log.
  virtual void tidy() {}
};
[[nodiscard]] std::unique_ptr<Database> make_lmdb_database(const std::string& directory, std::uint32_t rows);
/// WAL, synchronous=FULL. What SQLite does by itself at the end of a transaction of more than 1,000 pages, bringing the
/// log's pages to their places, is `tidy` here, to be timed apart.
[[nodiscard]] std::unique_ptr<Database> make_sqlite_database(const std::string& directory, std::uint32_t rows);

}  // namespace pagedb::bench
