// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The Chrome trace: processes are depths (workload, recovery, nested recovery), threads are fibers.
//
// A fiber may have many transfers in flight, and slices of one thread must nest; so each fiber has lanes, and a
// transfer takes the first free one.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "reports/branches.h"
#include "reports/timeline.h"

namespace pagedb::reports {
namespace {

using Json = nlohmann::ordered_json;
using sim::Event;
using sim::EventKind;

constexpr std::uint64_t kLanes = 1000;  // lane 0 of a fiber holds what takes no time

bool begins(EventKind kind) {
  return kind == EventKind::submit_read || kind == EventKind::submit_write || kind == EventKind::sync_begin;
}
bool ends(EventKind kind) {
  return kind == EventKind::done_read || kind == EventKind::done_write || kind == EventKind::sync_end;
}

std::string slice_name(const Event& event) {
  switch (event.kind) {
    case EventKind::submit_read:
      return "read";
    case EventKind::submit_write:
      return "write";
    default:
      return "sync";
  }
}

double microseconds(std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

class Writer {
 public:
  void add(const Event& event) {
    if (begins(event.kind)) return begin(event);
    if (ends(event.kind)) return end(event);
    instant(event);
  }

  std::string take() {
    for (const auto& [key, open] : open_) instant(open.event);  // never completed: the power went
    Json all = Json::array();
    for (const auto& [depth, lane] : lanes_) name_lane(all, depth, lane);
    for (Json& event : events_) all.push_back(std::move(event));
    return Json{{"displayTimeUnit", "ns"}, {"traceEvents", std::move(all)}}.dump() + '\n';
  }

 private:
  using Key = std::tuple<std::uint8_t, std::uint32_t, std::uint64_t>;  // depth, file, request
  struct Open {
    Event event;
    std::uint64_t lane = 0;
  };

  static Key key_of(const Event& event) { return {event.depth, event.file, event.a}; }

  void begin(const Event& event) {
    std::uint64_t lane = std::uint64_t{event.fiber} * kLanes + 1;
    while (busy_.contains({event.depth, lane})) ++lane;
    busy_.insert({event.depth, lane});
    open_[key_of(event)] = {event, lane};
  }

  void end(const Event& event) {
    const auto found = open_.find(key_of(event));
    if (found == open_.end()) return instant(event);
    const Open& open = found->second;
    Json json = head(open.event, "X", slice_name(open.event), open.lane);
    json["dur"] = microseconds(event.time_ns - open.event.time_ns);
    json["args"] = {{"submitted", sim::to_text(open.event)}, {"done", sim::to_text(event)}};
    events_.push_back(std::move(json));
    busy_.erase({open.event.depth, open.lane});
    open_.erase(found);
  }

  void instant(const Event& event) {
    Json json = head(event, "i", std::string(name(event.kind)), std::uint64_t{event.fiber} * kLanes);
    json["s"] = event.kind == EventKind::crash ? "g" : "t";
    json["args"] = {{"event", sim::to_text(event)}};
    events_.push_back(std::move(json));
  }

  Json head(const Event& event, const char* phase, std::string what, std::uint64_t lane) {
    lanes_.insert({event.depth, lane});
    return {{"name", std::move(what)},
            {"ph", phase},
            {"ts", microseconds(event.time_ns)},
            {"pid", event.depth},
            {"tid", lane}};
  }

  static void name_lane(Json& all, std::uint8_t depth, std::uint64_t lane) {
    const char* process = depth == 0 ? "workload" : depth == 1 ? "recovery" : "recovery of a crashed recovery";
    const std::string thread = lane % kLanes == 0 ? fmt::format("fiber {}", lane / kLanes)
                                                  : fmt::format("fiber {} I/O {}", lane / kLanes, lane % kLanes);
    all.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", depth}, {"args", {{"name", process}}}});
    all.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", depth}, {"tid", lane}, {"args", {{"name", thread}}}});
  }

  std::map<Key, Open> open_;
  std::set<std::pair<std::uint8_t, std::uint64_t>> busy_;
  std::set<std::pair<std::uint8_t, std::uint64_t>> lanes_;
  std::vector<Json> events_;
};

}  // namespace

std::string chrome_trace(std::span<const Event> events, std::optional<std::uint64_t> branch) {
  Writer writer;
  const std::vector<std::uint64_t> branches = branches_of(events);
  for (std::size_t i = 0; i < events.size(); ++i)
    if (branches[i] == 0 || branches[i] == branch) writer.add(events[i]);
  return writer.take();
}

}  // namespace pagedb::reports
