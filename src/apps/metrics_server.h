// Pages of a running job over HTTP: GET /metrics for Prometheus, / and /health for people and
// probes. A thread of its own answers from the text that was published last; it never touches the
// engine, and neither a slow nor a silent client holds up anybody else.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/metrics.h"
#include "base/clock.h"

namespace spate {

class MetricsServer {
 public:
  // Port 0: any that is free. Throws Error (exit code 2) when it cannot listen there.
  MetricsServer(const std::string& host, int port);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  void publish(std::string text);  // any thread
  std::string address() const;     // "http://127.0.0.1:9090/metrics"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What a job's loop sees of it: off until it is opened. Owner: one thread.
class MetricsFeed {
 public:
  void open(const std::string& host, int port, const std::string& model);
  bool is_open() const { return server_.has_value(); }
  std::string address() const { return server_->address(); }

  bool due() const { return server_ && since_.seconds() >= kInterval; }
  void publish(MetricsSnapshot snapshot);  // adds the time left

 private:
  static constexpr double kInterval = 1;  // seconds

  std::optional<MetricsServer> server_;
  ProgressMeter meter_;
  Stopwatch since_;
};

}  // namespace spate
