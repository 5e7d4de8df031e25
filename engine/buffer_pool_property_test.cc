// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Property: whatever a task does with a pool that is smaller than what it works on, it reads what it last wrote; and so
// does the next pool over the same store after a close.
//
// The model is a map from page to value. Guards are held across operations, so that frames are short.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <bit>
#include <cstdio>
#include <map>

#include "engine/buffer_pool.h"
#include "engine/pool/pool_world_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

// What depends on timing may not fail again while rapidcheck shrinks, and its message would be lost: it is printed at
// once.
#define REQUIRE(condition)                                                                \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      RC_FAIL(#condition);                                                                \
    }                                                                                     \
  } while (false)

constexpr std::uint64_t kIds = 24;
constexpr std::size_t kSlots = 3;

/// One step: what, to which page, with which detail.
struct Step {
  enum What {
    read_shared,
    read_copy,
    read_optimistic,
    write,
    upgrade,
    downgrade,
    new_page,
    hold,
    let_go,
    flush,
    flush_all,
    sync,
    checkpoint,
    drop,
    prefetch,
    kWhats
  };
  int what = 0;
  std::uint64_t id = 0;
  std::uint64_t detail = 0;
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  constexpr std::array kNames{"read_shared", "read_copy", "read_optimistic", "write", "upgrade",   "downgrade",
                              "new_page",    "hold",      "let_go",          "flush", "flush_all", "sync",
                              "checkpoint",  "drop",      "prefetch"};
  static_assert(kNames.size() == Step::kWhats);
  return out << kNames[static_cast<std::size_t>(step.what)] << " " << step.id << " (" << step.detail << ")";
}

rc::Gen<Step> any_step() {
  return rc::gen::construct<Step>(rc::gen::inRange(0, static_cast<int>(Step::kWhats)),
                                  rc::gen::inRange<std::uint64_t>(0, kIds), rc::gen::inRange<std::uint64_t>(1, 1000));
}

/// A pool, and what it must hold.
class Modelled {
 public:
  explicit Modelled(const BufferPoolOptions& options) : options_(options) {
    store_.fill(kIds);
    for (std::uint64_t id = 0; id < kIds; ++id) model_[id] = id;
    options_.log = &log_;
    reopen();
  }
  ~Modelled() { pool_->abandon(); }

  void reopen() { pool_ = must(BufferPool::create(scheduler_, store_, options_)); }

  void step(const Step& step) {
    const PageId id{step.id};
    const bool held = held_[step.id] > 0;  // shared, by this task: it must not wait for the page
    switch (step.what) {
      case Step::read_shared:
        if (held) break;
        if (const auto guard = granted(pool_->fetch(id), step.id)) check(word_of(guard->page()), step.id);
        break;
      case Step::read_copy: {
        std::array<std::byte, 8> bytes{};
        if (granted(pool_->read(id, kPageHeaderBytes, bytes), step.id)) {
          check(std::bit_cast<std::uint64_t>(bytes), step.id);
        }
        break;
      }
      case Step::read_optimistic: {
        std::array<std::byte, 8> bytes{};
        const auto guard = granted(pool_->fetch_optimistic(id, hints_[step.detail % kSlots]), step.id);
        if (!guard) break;
        if (guard->copy(kPageHeaderBytes, bytes)) {
          check(std::bit_cast<std::uint64_t>(bytes), step.id);
        } else {
          REQUIRE(options_.background_reader);  // which may have evicted it for a page of its own
        }
        break;
      }
      case Step::write:
        if (held) break;
        if (auto guard = granted(pool_->fetch_exclusive(id), step.id)) put(*guard, step);
        break;
      case Step::upgrade: {
        if (held) break;
        auto shared = granted(pool_->fetch(id), step.id);
        if (!shared) break;
        if (ExclusiveGuard guard = shared->try_upgrade()) put(guard, step);
        break;
      }
      case Step::downgrade: {
        if (held) break;
        auto guard = granted(pool_->fetch_exclusive(id), step.id);
        if (!guard) break;
        if (step.detail % 2 == 0) put(*guard, step);
        check(word_of(guard->downgrade().page()), step.id);
        break;
      }
      case Step::new_page: {
        if (held) break;
        auto guard = pool_->new_page(id);
        if (exhausted(guard)) break;
        REQUIRE(guard.has_value());
        REQUIRE(word_of(guard->page()) == 0u);
        model_[step.id] = 0;
        if (step.detail % 2 == 0) put(*guard, step);
        break;
      }
      case Step::hold: {
        Slot& slot = slots_[step.detail % kSlots];
        let_go(slot);
        if (held_[step.id] > 0) break;
        if (auto guard = granted(pool_->fetch(id, hints_[step.detail % kSlots]), step.id)) {
          slot = {std::move(*guard), step.id};
          ++held_[step.id];
        }
        break;
      }
      case Step::let_go:
        let_go(slots_[step.detail % kSlots]);
        break;
      case Step::flush:
        must_be_ok(pool_->flush(id));
        break;
      case Step::flush_all:
        must_be_ok(pool_->flush_all());
        break;
      case Step::sync:
        must_be_ok(pool_->sync());
        break;
      case Step::checkpoint:
        REQUIRE(pool_->checkpoint(Lsn{last_lsn_ + 1}).has_value());
        break;
      case Step::drop:
        if (held) break;
        pool_->drop(id);
        // What the store has of it is anything that was ever written: the page is as good as freed.
        model_.erase(step.id);
        break;
      case Step::prefetch: {
        const std::array<PageId, 2> ids{id, PageId{step.detail % kIds}};
        static_cast<void>(pool_->prefetch(ids));
        break;
      }
    }
    for (const Slot& slot : slots_) {
      if (slot.guard) check(word_of(slot.guard.page()), slot.id);
    }
  }

  /// Everything is closed, and a new pool shows what the old one did.
  void finish() {
    for (Slot& slot : slots_) let_go(slot);
    must_be_ok(pool_->close());
    REQUIRE(pool_->stats().dirty == 0u);
    pool_.reset();
    reopen();
    for (const auto& [id, value] : model_) {
      REQUIRE(store_.durable(id) == std::optional(value));
      const auto guard = pool_->fetch(PageId{id});
      REQUIRE(guard.has_value());
      REQUIRE(word_of(guard->page()) == value);
    }
  }

 private:
  struct Slot {
    SharedGuard guard;
    std::uint64_t id = 0;
  };

  void let_go(Slot& slot) {
    if (!slot.guard) return;
    slot.guard.release();
    --held_[slot.id];
  }
  template <class T>
  static bool exhausted(const Result<T>& result) {
    return !result && result.error().code == ErrorCode::pool_exhausted;
  }
  /// The result, unless the pool may say no: this task holds as many frames as there are.
  template <class T>
  Result<T> granted(Result<T> result, std::uint64_t) {
    std::uint32_t frames_held = 0;
    for (const auto& [id, count] : held_) frames_held += count > 0 ? 1 : 0;
    if (exhausted(result)) {
      REQUIRE(frames_held >= options_.frames);
      return result;
    }
    if (!result) RC_FAIL(result.error().message());
    return result;
  }
  static void must_be_ok(const Result<void>& result) {
    if (!result) RC_FAIL(result.error().message());
  }
  void put(ExclusiveGuard& guard, const Step& step) {
    put_word(guard, step.detail);
    guard.set_lsn(Lsn{++last_lsn_});
    model_[step.id] = step.detail;
  }
  void check(std::uint64_t value, std::uint64_t id) const {
    const auto known = model_.find(id);
    if (known != model_.end()) REQUIRE(value == known->second);
  }

  BufferPoolOptions options_;
  ThreadScheduler scheduler_;
  MemoryStore store_;
  MemoryLog log_;
  std::unique_ptr<BufferPool> pool_;
  std::map<std::uint64_t, std::uint64_t> model_;
  std::array<Slot, kSlots> slots_;
  std::array<FrameHint, kSlots> hints_{};
  std::map<std::uint64_t, int> held_;
  std::uint64_t last_lsn_ = 0;
};

RC_GTEST_PROP(PoolProperty, ReadsBackWhatWasLastWritten, ()) {
  BufferPoolOptions options{.frames = *rc::gen::inRange(2u, 9u)};
  options.background_writer = *rc::gen::arbitrary<bool>();
  options.background_reader = *rc::gen::arbitrary<bool>();
  options.write_batch_pages = *rc::gen::inRange(1u, 5u);
  const auto steps = *rc::gen::scale(5.0, rc::gen::container<std::vector<Step>>(any_step()));
  Modelled world(options);
  for (const Step& step : steps) world.step(step);
  world.finish();
}

}  // namespace
}  // namespace pagedb
