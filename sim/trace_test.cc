// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Trace: the hash sees every field and the order, keeping events changes nothing, and every event has a line of text.
#include "sim/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "faults/fault.h"

namespace pagedb::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::uint64_t hash_of(std::initializer_list<Event> events, bool keep = false) {
  Trace trace(keep);
  for (const Event& event : events) trace.add(event);
  return trace.hash();
}

constexpr Event kEvent{EventKind::submit_write, 1, 2, 3, 4000, 5, 6, 7};

TEST(Trace, HashDependsOnEveryField) {
  std::set<std::uint64_t> seen{Trace().hash(), hash_of({kEvent})};
  EXPECT_EQ(seen.size(), 2u);
  const auto changed = [&](auto&& change) {
    Event event = kEvent;
    change(event);
    EXPECT_TRUE(seen.insert(hash_of({event})).second);
  };
  changed([](Event& e) { e.kind = EventKind::submit_read; });
  changed([](Event& e) { e.depth = 2; });
  changed([](Event& e) { e.fiber = 3; });
  changed([](Event& e) { e.file = 4; });
  changed([](Event& e) { e.time_ns = 4001; });
  changed([](Event& e) { e.a = 6; });
  changed([](Event& e) { e.b = 7; });
  changed([](Event& e) { e.c = 8; });
  changed([](Event& e) { std::swap(e.a, e.b); });
  changed([](Event& e) { std::swap(e.b, e.c); });
  changed([](Event& e) { e.a |= std::uint64_t{1} << 63; });
}

TEST(Trace, HashDependsOnOrderAndNumber) {
  Event other = kEvent;
  other.a = 99;
  EXPECT_NE(hash_of({kEvent, other}), hash_of({other, kEvent}));
  EXPECT_NE(hash_of({kEvent}), hash_of({kEvent, kEvent}));
  EXPECT_NE(hash_of({}), hash_of({Event{}}));
  Trace mixed;
  mixed.mix(0);
  EXPECT_NE(mixed.hash(), Trace().hash());
}

TEST(Trace, KeepingEventsChangesNothing) {
  EXPECT_EQ(hash_of({kEvent, Event{}}, true), hash_of({kEvent, Event{}}, false));
  Trace kept(true), dropped;
  for (Trace* trace : {&kept, &dropped}) trace->add(kEvent);
  EXPECT_EQ(kept.events(), std::vector<Event>{kEvent});
  EXPECT_TRUE(dropped.events().empty());
  EXPECT_EQ(kept.count(), 1u);
  EXPECT_EQ(dropped.count(), 1u);
  EXPECT_TRUE(kept.keeps());
  EXPECT_FALSE(dropped.keeps());
}

// The hash is compared between builds and compilers, and stands in reports: it is part of the format.
TEST(Trace, HashIsTheSameEverywhere) { EXPECT_EQ(hash_of({kEvent}), 0x7d05b57bb2269ea4u); }

TEST(Trace, FirstDifference) {
  const Event a{}, b = kEvent;
  EXPECT_EQ(first_difference({}, {}), -1);
  EXPECT_EQ(first_difference({a, b}, {a, b}), -1);
  EXPECT_EQ(first_difference({a, b, a}, {a, a, a}), 1);
  EXPECT_EQ(first_difference({b}, {a}), 0);
  EXPECT_EQ(first_difference({a, b}, {a}), 1);
  EXPECT_EQ(first_difference({a}, {a, b}), 1);
  EXPECT_EQ(first_difference({}, {a}), 0);
}

TEST(Trace, EveryKindHasANameAndALine) {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(EventKind::count_); ++i) {
    const auto kind = static_cast<EventKind>(i);
    EXPECT_FALSE(name(kind).empty()) << i;
    EXPECT_TRUE(names.insert(name(kind)).second) << name(kind);
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{5}, ~std::uint64_t{0}}) {
      const std::string line = to_text({kind, 2, 3, 1, 1500, value, value, value});
      EXPECT_THAT(line, HasSubstr(std::string(name(kind))));
      EXPECT_THAT(line, HasSubstr("1.500 us"));
      EXPECT_THAT(line, HasSubstr("fiber 3"));
      EXPECT_THAT(line, HasSubstr("file 1"));
      EXPECT_THAT(line, Not(HasSubstr("\n")));
    }
  }
  EXPECT_EQ(name(EventKind::count_), "?");
  EXPECT_EQ(name(EventKind::verdict), "verdict") << "names are in the order of the enumeration";
  EXPECT_EQ(name(EventKind::done_write), "done_write");
  EXPECT_EQ(name(EventKind::crash), "crash");
}

std::string line(EventKind kind, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0, std::uint32_t file = 1) {
  return to_text({kind, 0, 0, file, 0, a, b, c});
}

TEST(Trace, LinesSayWhatHappened) {
  EXPECT_THAT(line(EventKind::submit_write, 17, 3 * 4096, 42),
              AllOf(HasSubstr("#17"), HasSubstr("page 3 (byte 12288)"), HasSubstr("lsn 42")));
  EXPECT_THAT(line(EventKind::submit_write, 17, 4096 + 512, (std::uint64_t{1} << 63) + 6),
              AllOf(HasSubstr("byte 4608 (page 1 + 512)"), HasSubstr("superblock generation 6")));
  EXPECT_THAT(line(EventKind::submit_write, 17, 7 * 4096, (std::uint64_t{1} << 62) + 6),
              HasSubstr("allocation node generation 6"));
  EXPECT_THAT(line(EventKind::submit_write, 17, 512, 0, 2), AllOf(HasSubstr("byte 512"), Not(HasSubstr("page"))));
  EXPECT_THAT(line(EventKind::submit_read, 18, 8192, 4096),
              AllOf(HasSubstr("#18"), HasSubstr("page 2"), HasSubstr("4096 bytes")));
  EXPECT_THAT(line(EventKind::done_read, 18, 4096, 42),
              AllOf(HasSubstr("#18"), HasSubstr("4096 bytes"), HasSubstr("lsn 42")));
  EXPECT_THAT(line(EventKind::done_write, 17, std::uint64_t{EIO} << 32),
              AllOf(HasSubstr("#17"), HasSubstr(std::strerror(EIO)), Not(HasSubstr(" bytes"))));
  EXPECT_THAT(line(EventKind::sync_end, 19, 0), AllOf(HasSubstr("#19"), HasSubstr("ok")));
  EXPECT_THAT(line(EventKind::sync_end, 19, EIO), HasSubstr(std::strerror(EIO)));
  EXPECT_THAT(line(EventKind::sync_directory, EINTR), HasSubstr(std::strerror(EINTR)));
  EXPECT_THAT(line(EventKind::open, 0, 1), HasSubstr("for writing"));
  EXPECT_THAT(line(EventKind::open, 0, 0), HasSubstr("for reading"));
  EXPECT_THAT(line(EventKind::open, EWOULDBLOCK, 1),
              AllOf(HasSubstr("refused"), HasSubstr(std::strerror(EWOULDBLOCK))));
  EXPECT_THAT(line(EventKind::create, EEXIST), HasSubstr(std::strerror(EEXIST)));
  EXPECT_THAT(line(EventKind::resize, 8192, 0), AllOf(HasSubstr("to 8192 bytes"), Not(HasSubstr("refused"))));
  EXPECT_THAT(line(EventKind::resize, 8192, ENOSPC), HasSubstr("refused"));
  EXPECT_THAT(line(EventKind::resize, 4096, 0, 1), HasSubstr("after the crash: 4096 bytes"));
  EXPECT_THAT(line(EventKind::fault, static_cast<std::uint64_t>(faults::FaultKind::bit_rot), 4096),
              AllOf(HasSubstr("bit_rot"), HasSubstr("page 1"), Not(HasSubstr("told"))));
  EXPECT_THAT(line(EventKind::fault, static_cast<std::uint64_t>(faults::FaultKind::write_error), 0, EIO),
              AllOf(HasSubstr("write_error"), HasSubstr(std::strerror(EIO))));
  EXPECT_THAT(line(EventKind::lost, 8192, 0, 7), AllOf(HasSubstr("page 2"), HasSubstr("lsn 7")));
  EXPECT_THAT(line(EventKind::damaged, 4096, 0b101 | std::uint64_t{2} << 56, 7),
              AllOf(HasSubstr("page 1"), HasSubstr("#.#....."), HasSubstr("2 damaged"), HasSubstr("lsn 7")));
}

}  // namespace
}  // namespace pagedb::sim
