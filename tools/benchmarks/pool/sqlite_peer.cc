// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Peers: SQLite's page cache, and SQLite.
#include "tools/benchmarks/pool/peers.h"

#if PAGEDB_BENCH_SQLITE

#include <sqlite3.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "tools/benchmarks/measure.h"

namespace pagedb::bench {
namespace {

class SqlitePcache final : public Peer {
 public:
  explicit SqlitePcache(std::uint32_t pages) {
    constexpr int kExtraBytes = 136;  // about what the pager keeps with each page
    sqlite3_shutdown();               // the configuration is asked for before the library starts
    sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &methods_);
    sqlite3_initialize();
    cache_ = methods_.xCreate(4096, kExtraBytes, 1);
    methods_.xCachesize(cache_, static_cast<int>(pages + pages / 8));
    for (std::uint32_t id = 0; id < pages; ++id) {
      constexpr int kMake = 2;
      sqlite3_pcache_page* page = methods_.xFetch(cache_, id + 1, kMake);
      std::memset(page->pBuf, 1, 4096);
      methods_.xUnpin(cache_, page, 0);
    }
  }
  ~SqlitePcache() override { methods_.xDestroy(cache_); }

  std::uint64_t visit(std::span<const std::uint32_t> ids, std::size_t offset) override {
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) {
      sqlite3_pcache_page* page = methods_.xFetch(cache_, id + 1, 0);
      seen ^= read_64(static_cast<const std::byte*>(page->pBuf) + offset);
      methods_.xUnpin(cache_, page, 0);
    }
    return seen;
  }

  std::uint64_t hold(std::uint32_t id, std::uint64_t count) override {
    for (; count > 0; --count) methods_.xUnpin(cache_, methods_.xFetch(cache_, id + 1, 0), 0);
    return 0;
  }

 private:
  sqlite3_pcache_methods2 methods_{};
  sqlite3_pcache* cache_ = nullptr;
};

// Fills a page of 4 KiB, with what SQLite stores beside it: one row a page, no overflow pages.
constexpr int kValueBytes = 4000;

class SqliteDatabase final : public Database {
 public:
  ~SqliteDatabase() override {
    sqlite3_finalize(update_);
    sqlite3_close(db_);
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
  }

  bool open(const std::string& directory, std::uint32_t rows) {
    path_ = directory + "/pool_bench.sqlite";
    std::filesystem::remove(path_);
    value_.assign(kValueBytes, 'a');
    if (sqlite3_open(path_.c_str(), &db_) != SQLITE_OK) return fails("open");
    if (!run("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
             "PRAGMA cache_size=-1048576; CREATE TABLE pages(id INTEGER PRIMARY KEY, value BLOB NOT NULL); BEGIN"))
      return false;
    sqlite3_stmt* insert = nullptr;
    if (sqlite3_prepare_v2(db_, "INSERT INTO pages VALUES(?, ?)", -1, &insert, nullptr) != SQLITE_OK)
      return fails("insert");
    bool good = true;
    for (std::uint32_t row = 0; row < rows && good; ++row) good = step(insert, 1, row, 2);
    sqlite3_finalize(insert);
    if (!good || !run("COMMIT")) return fails("insert");
    tidy();
    return sqlite3_prepare_v2(db_, "UPDATE pages SET value=? WHERE id=?", -1, &update_, nullptr) == SQLITE_OK ||
           fails("update");
  }

  bool replace(std::span<const std::uint32_t> ids, std::uint64_t& commit_ns) override {
    ++value_[0];
    if (!run("BEGIN")) return false;
    for (const std::uint32_t id : ids) {
      if (!step(update_, 2, id, 1)) return fails("update");
    }
    const std::uint64_t before = now_ns();
    const bool good = run("COMMIT");
    commit_ns = now_ns() - before;
    return good;
  }

  void tidy() override { run("PRAGMA wal_checkpoint(PASSIVE)"); }

 private:
  bool run(const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK || fails(sql); }
  bool step(sqlite3_stmt* statement, int id_at, std::uint32_t id, int value_at) {
    sqlite3_bind_int64(statement, id_at, id);
    sqlite3_bind_blob(statement, value_at, value_.data(), kValueBytes, SQLITE_STATIC);
    const bool good = sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_reset(statement);
    return good;
  }
  bool fails(const char* what) {
    std::fprintf(stderr, "pool_bench: SQLite: %s: %s\n", what, sqlite3_errmsg(db_));
    return false;
  }

  std::string path_;
  std::string value_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* update_ = nullptr;
};

}  // namespace

std::unique_ptr<Peer> make_sqlite_pcache(std::uint32_t pages) { return std::make_unique<SqlitePcache>(pages); }

std::unique_ptr<Database> make_sqlite_database(const std::string& directory, std::uint32_t rows) {
  auto database = std::make_unique<SqliteDatabase>();
  if (!database->open(directory, rows)) return nullptr;
  return database;
}

}  // namespace pagedb::bench

#else

namespace pagedb::bench {
std::unique_ptr<Peer> make_sqlite_pcache(std::uint32_t) { return nullptr; }
std::unique_ptr<Database> make_sqlite_database(const std::string&, std::uint32_t) { return nullptr; }
}  // namespace pagedb::bench

#endif
