// A trace of a run in Chrome's trace event format, for chrome://tracing and ui.perfetto.dev: what
// each thread of the host and the device did, and when. Events stream to the file, so memory is
// bounded; the closing bracket may be missing after a kill, which both viewers accept.
//
// Thread safety: Trace, any thread; a TraceSpan belongs to one.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/json.h"

namespace spate {

// The rows of the picture.
enum class TraceLane : uint8_t { main, engine, reader, writer, device };

class Trace {
 public:
  // Replaces an older trace at `path`; refuses any other file that is not empty, and what cannot be
  // written (ExitCode::usage).
  explicit Trace(const std::string& path);
  ~Trace();  // closes
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  double now() const { return watch_.seconds(); }  // seconds since the trace began
  void add(TraceLane lane, std::string_view name, double begin, double end, JsonObject arguments);
  // Writes what is left and the closing bracket; what comes later is dropped.
  void close();
  // Why the file misses its end: a full disk, for one. Empty when all is well.
  std::string problem() const;

 private:
  void start_event();
  void name_lane(TraceLane lane);
  void write_out();

  const std::string path_;
  const Stopwatch watch_;
  mutable std::mutex mutex_;  // guards all below
  OpenFile file_;
  std::string pending_, problem_;
  uint32_t named_ = 0;  // lanes, one bit each
  bool any_ = false;    // event so far
  bool closed_ = false;
};

// From its construction to its end, on one lane; without a trace it does nothing.
class TraceSpan {
 public:
  TraceSpan(Trace* trace, TraceLane lane, std::string_view name)
      : trace_(trace), lane_(lane), name_(name), begin_(trace == nullptr ? 0 : trace->now()) {}
  ~TraceSpan() {
    if (trace_ != nullptr) trace_->add(lane_, name_, begin_, trace_->now(), std::move(arguments_));
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

  void set(std::string_view name, int64_t value) {
    if (trace_ != nullptr) arguments_.emplace_back(name, value);
  }
  void drop() { trace_ = nullptr; }  // nothing worth showing happened

 private:
  Trace* trace_;
  TraceLane lane_;
  std::string_view name_;
  double begin_;
  JsonObject arguments_;
};

}  // namespace spate
