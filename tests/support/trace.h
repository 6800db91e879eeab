// Reads a trace and holds what every one must keep: valid JSON, and events of a lane that lie
// inside of each other or one after the other.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace spate::test {

struct TraceEvent {
  std::string lane;  // "host engine"
  std::string name;
  double begin = 0, end = 0;  // microseconds
  Json arguments;

  int64_t argument(std::string_view key) const { return arguments.find(key)->as_integer(); }
};

// Outer events before inner ones.
inline std::vector<TraceEvent> read_trace(const std::string& path) {
  const auto whole = [](const Json& event, std::string_view key) {
    return event.find(key)->as_integer();
  };
  std::map<int64_t, std::string> processes;
  std::map<std::pair<int64_t, int64_t>, std::string> threads;
  std::vector<TraceEvent> events;
  const Json trace = parse_json_file(path);
  for (const Json& event : trace.as_array()) {
    const int64_t process = whole(event, "pid"), thread = whole(event, "tid");
    const std::string& name = event.find("name")->as_string();
    if (event.find("ph")->as_string() == "M") {
      const std::string& value = event.find("args")->find("name")->as_string();
      (name == "process_name" ? processes[process] : threads[{process, thread}]) = value;
      continue;
    }
    EXPECT_EQ(event.find("ph")->as_string(), "X");
    const double begin = event.find("ts")->as_number();
    const double duration = event.find("dur")->as_number();
    EXPECT_GE(duration, 0) << name;
    const Json* arguments = event.find("args");
    events.push_back({.lane = processes.at(process) + " " + threads.at({process, thread}),
                      .name = name,
                      .begin = begin,
                      .end = begin + duration,
                      .arguments = arguments == nullptr ? Json() : *arguments});
  }
  std::ranges::stable_sort(events, [](const TraceEvent& a, const TraceEvent& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  return events;
}

inline std::vector<TraceEvent> events_of(const std::vector<TraceEvent>& all, std::string_view lane,
                                         std::string_view name = {}) {
  std::vector<TraceEvent> events;
  std::ranges::copy_if(all, std::back_inserter(events), [&](const TraceEvent& event) {
    return event.lane == lane && (name.empty() || event.name == name);
  });
  return events;
}

inline void expect_nested(const std::vector<TraceEvent>& all, std::string_view lane) {
  constexpr double kRounding = 0.0021;  // two times, written in thousandths of a microsecond
  std::vector<TraceEvent> around;
  for (const TraceEvent& event : events_of(all, lane)) {
    while (!around.empty() && around.back().end <= event.begin + kRounding) around.pop_back();
    if (!around.empty()) {
      EXPECT_LE(event.end, around.back().end + kRounding)
          << lane << ": " << event.name << " leaves " << around.back().name;
    }
    around.push_back(event);
  }
}

}  // namespace spate::test
