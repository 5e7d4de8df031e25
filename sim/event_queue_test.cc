// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// EventQueue: order by time then insertion, called-off alarms, and no growth by stale entries.
#include "sim/event_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "sim/sim_scheduler.h"

namespace pagedb::sim {
namespace {

class Nothing final : public TimedEvent {
 public:
  void fire() override {}
};

TEST(EventQueue, OrdersByTimeThenByInsertion) {
  EventQueue queue(4);
  std::array<Nothing, 6> events;
  const std::array<int, 6> times = {5, 1, 5, 3, 1, 5};
  for (std::size_t i = 0; i < events.size(); ++i) queue.add(Time(times[i]), events[i], i);
  std::vector<std::size_t> order;
  while (queue.next() != nullptr) {
    const EventQueue::Entry entry = queue.pop();
    EXPECT_EQ(entry.event, &events[entry.tag]);
    order.push_back(entry.tag);
  }
  EXPECT_EQ(order, (std::vector<std::size_t>{1, 4, 3, 0, 2, 5}));
}

TEST(EventQueue, SortsLikeAStableSort) {
  EventQueue queue(0);
  std::array<Nothing, 1000> events;
  std::multimap<std::uint64_t, TimedEvent*> expected;
  std::uint64_t state = 1;
  for (Nothing& event : events) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t time = state >> 58;
    queue.add(Time(static_cast<std::int64_t>(time)), event, 0);
    expected.emplace(time, &event);
  }
  for (const auto& [time, event] : expected) {
    ASSERT_NE(queue.next(), nullptr);
    EXPECT_EQ(queue.pop().event, event);
  }
  EXPECT_EQ(queue.next(), nullptr);
}

TEST(EventQueue, ACalledOffAlarmDoesNotRingButItsNextOneDoes) {
  EventQueue queue(4);
  Alarm alarm;
  queue.add(Time(1), alarm);
  queue.call_off(alarm);
  EXPECT_EQ(queue.next(), nullptr);
  queue.add(Time(2), alarm);
  ASSERT_NE(queue.next(), nullptr);
  EXPECT_EQ(queue.pop().time, Time(2));
  EXPECT_EQ(queue.next(), nullptr);
}

TEST(EventQueue, StaleEntriesDoNotPileUp) {
  EventQueue queue(4);
  Alarm alarm;
  Nothing event;
  queue.add(Time(500), event, 0);
  for (int i = 0; i < 100'000; ++i) {
    queue.add(Time(1'000'000 + i), alarm);
    queue.call_off(alarm);
    ASSERT_LE(queue.size(), 130u);
  }
  EXPECT_EQ(queue.pop().event, &event);
  EXPECT_EQ(queue.next(), nullptr);
}

TEST(EventQueueDeathTest, PoppingNothingIsRefused) {
  EventQueue queue(4);
  EXPECT_DEATH(queue.pop(), "nothing is left");
}

}  // namespace
}  // namespace pagedb::sim
