// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Property: whatever version of each page a crash left, recovery brings it to its newest version, or reports it, and
// reports none that could be brought there.
//
// The model knows each page's whole history. It does not know the decision table: a page can be brought to its newest
// version when an image of it stands in the log, or when the version found is one that the log's first record of the
// page, or a later one, was made of.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/recovery_test.h"

namespace pagedb {
namespace {

using namespace testing_support;

struct Version {
  std::uint64_t lsn = 0;
  std::uint64_t word = 0;
  bool image = false;
};

constexpr std::uint64_t kPages = 12;

RC_GTEST_PROP(RecoveryProperty, every_page_is_at_its_newest_version_or_reported, ()) {
  // History. Bodies are padded by images, so that some runs need several gatherings.
  std::map<std::uint64_t, std::vector<Version>> history;
  for (std::uint64_t page = 0; page < kPages; ++page) history[page].push_back({});
  ListedLog log;
  const auto steps = *rc::gen::inRange<std::uint64_t>(0, 200);
  for (std::uint64_t lsn = 1; lsn <= steps; ++lsn) {
    const auto page = *rc::gen::inRange<std::uint64_t>(0, kPages);
    const Version before = history[page].back();
    const bool image = *rc::gen::inRange(0, 5) == 0;
    if (image) {
      log.image(page, lsn, before.lsn, lsn * 1000);
      history[page].push_back({lsn, lsn * 1000, true});
    } else {
      log.change(page, lsn, before.lsn, lsn);
      history[page].push_back({lsn, mixed(before.word, lsn), false});
    }
  }
  const Lsn from{*rc::gen::inRange<std::uint64_t>(0, steps + 2)};

  // What the crash left: any version, or none that verifies.
  MemoryStore store;
  std::map<std::uint64_t, std::size_t> found;
  std::set<std::uint64_t> invalid;
  for (auto& [page, versions] : history) {
    found[page] = *rc::gen::inRange<std::size_t>(0, versions.size());
    const Version& version = versions[found[page]];
    if (version.lsn != 0) put_page(store, page, version.lsn, version.word);
    if (*rc::gen::inRange(0, 4) == 0) invalid.insert(page);
  }
  store.on_read = [&](PageId id) -> std::optional<ErrorCode> {
    if (invalid.contains(id.value) && store.writes_of(id.value) == 0) return ErrorCode::bad_checksum;
    return std::nullopt;
  };

  ThreadScheduler scheduler;
  const auto report = recover(scheduler, store, log, mix,
                              {.redo_memory = *rc::gen::element<std::size_t>(0, std::size_t{64} << 20),
                               .tasks = *rc::gen::inRange(1u, 4u),
                               .redo_from = from});
  RC_ASSERT(report.has_value());
  for (const auto& [page, versions] : history) {
    const auto logged = std::ranges::count_if(
        versions, [&](const Version& v) { return v.lsn >= std::max<std::uint64_t>(from.value, 1); });
    const auto first = versions.size() - static_cast<std::size_t>(logged);  // that the log still has
    const bool has_image = std::any_of(versions.begin() + static_cast<std::ptrdiff_t>(first), versions.end(),
                                       [](const Version& v) { return v.image; });
    const bool possible = logged == 0 || has_image || (!invalid.contains(page) && found[page] + 1 >= first);
    const bool reported =
        std::ranges::any_of(report->unrecoverable, [id = page](const DamagedPage& d) { return d.page.value == id; });
    RC_ASSERT(reported == !possible);
    if (reported || logged == 0 || versions.back().lsn == 0) continue;
    RC_ASSERT(store.durable(page) == versions.back().word);
  }
  const auto writes = store.write_count();
  log.rewind();
  const auto again = recover(scheduler, store, log, mix, {.redo_from = from});
  RC_ASSERT(again.has_value());
  RC_ASSERT(again->unrecoverable.size() == report->unrecoverable.size());
  RC_ASSERT(store.write_count() == writes);
}

}  // namespace
}  // namespace pagedb
