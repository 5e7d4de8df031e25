// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Peers: LMDB, to look up in and to write to.
#include "tools/benchmarks/pool/peers.h"

#if PAGEDB_BENCH_LMDB

#include <lmdb.h>

#include <cstdio>
#include <filesystem>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {
namespace {

constexpr std::size_t kValueBytes = 4080;  // with its header one overflow page of 4 KiB

// An environment with one table of integer keys.
class Table {
 public:
  ~Table() {
    if (env_ != nullptr) mdb_env_close(env_);
    for (const char* suffix : {"", "-lock"}) std::filesystem::remove(path_ + suffix);
  }

  bool open(const std::string& path, std::uint32_t rows) {
    path_ = path;
    value_.assign(kValueBytes, 'a');
    std::filesystem::remove(path_);
    MDB_txn* txn = nullptr;
    if (!good(mdb_env_create(&env_)) || !good(mdb_env_set_mapsize(env_, std::size_t{rows} * 16384 + (64u << 20))) ||
        !good(mdb_env_open(env_, path_.c_str(), MDB_NOSUBDIR, 0644)) || !good(mdb_txn_begin(env_, nullptr, 0, &txn)) ||
        !good(mdb_dbi_open(txn, nullptr, MDB_INTEGERKEY, &dbi_)))
      return false;
    for (std::size_t row = 0; row < rows; ++row) {
      if (!put(txn, row, MDB_APPEND)) return false;
    }
    return good(mdb_txn_commit(txn));
  }

  bool put(MDB_txn* txn, std::size_t id, unsigned flags) {
    MDB_val key{sizeof id, &id};
    MDB_val data{value_.size(), value_.data()};
    return good(mdb_put(txn, dbi_, &key, &data, flags));
  }

  [[nodiscard]] static bool good(int error) {
    if (error != 0) std::fprintf(stderr, "pool_bench: LMDB: %s\n", mdb_strerror(error));
    return error == 0;
  }

  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  std::string value_;

 private:
  std::string path_;
};

class LmdbPeer final : public Peer {
 public:
  ~LmdbPeer() override { mdb_txn_abort(txn_); }
  bool open(const std::string& directory, std::uint32_t pages) {
    return table_.open(directory + "/pool_bench.lmdb_read", pages) &&
           Table::good(mdb_txn_begin(table_.env_, nullptr, MDB_RDONLY, &txn_));
  }

  std::uint64_t visit(std::span<const std::uint32_t> ids, std::size_t offset) override {
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) seen ^= read_64(get(id) + offset);
    return seen;
  }
  std::uint64_t hold(std::uint32_t id, std::uint64_t count) override {
    std::uint64_t seen = 0;
    for (; count > 0; --count) seen += static_cast<std::uint64_t>(get(id) != nullptr);
    return seen;
  }

 private:
  const std::byte* get(std::size_t id) {
    MDB_val key{sizeof id, &id};
    MDB_val data{};
    return mdb_get(txn_, table_.dbi_, &key, &data) == 0 ? static_cast<const std::byte*>(data.mv_data) : nullptr;
  }
  Table table_;
  MDB_txn* txn_ = nullptr;
};

class LmdbDatabase final : public Database {
 public:
  bool open(const std::string& directory, std::uint32_t rows) {
    return table_.open(directory + "/pool_bench.lmdb", rows);
  }

  bool replace(std::span<const std::uint32_t> ids, std::uint64_t& commit_ns) override {
    ++table_.value_[0];
    MDB_txn* txn = nullptr;
    if (!Table::good(mdb_txn_begin(table_.env_, nullptr, 0, &txn))) return false;
    for (const std::uint32_t id : ids) {
      if (table_.put(txn, id, 0)) continue;
      mdb_txn_abort(txn);
      return false;
    }
    const std::uint64_t before = now_ns();
    const bool good = Table::good(mdb_txn_commit(txn));
    commit_ns = now_ns() - before;
    return good;
  }

 private:
  Table table_;
};

}  // namespace

std::unique_ptr<Peer> make_lmdb(const std::string& directory, std::uint32_t pages) {
  auto peer = std::make_unique<LmdbPeer>();
  if (!peer->open(directory, pages)) return nullptr;
  return peer;
}

std::unique_ptr<Database> make_lmdb_database(const std::string& directory, std::uint32_t rows) {
  auto database = std::make_unique<LmdbDatabase>();
  if (!database->open(directory, rows)) return nullptr;
  return database;
}

}  // namespace pagedb::bench

#else

namespace pagedb::bench {
std::unique_ptr<Peer> make_lmdb(const std::string&, std::uint32_t) { return nullptr; }
std::unique_ptr<Database> make_lmdb_database(const std::string&, std::uint32_t) { return nullptr; }
}  // namespace pagedb::bench

#endif
