// The device's lane of a trace: each step's two parts, and its ops when they are profiled.
//
// Owner: the engine thread.
#pragma once

#include <span>

#include "backend/backend.h"
#include "base/trace.h"
#include "engine/step_times.h"

namespace spate {

// Puts times of the device on the host's clock, without ever waiting for the device: a mark cannot
// be passed before the host set it, nor after the host saw it passed. What lies outside moves the
// device's clock, so two clocks that drift stay together.
class DeviceClock {
 public:
  // Marks come in their order. `since_last`: seconds of the device since the mark before; `given`
  // and `seen`: seconds of the host.
  double place(double since_last, double given, double seen);

 private:
  double last_ = 0;  // the last mark, as it was placed
};

// What a step did, for the arguments of its events.
struct StepFacts {
  int64_t number = 0;  // of the engine's steps, from 1
  int64_t rows = 0, tokens = 0;
  int64_t kv_used = 0;  // slots
};

class StepTrace {
 public:
  StepTrace(Backend& backend, Trace* trace) : backend_(backend), trace_(trace) {}

  // A step that has ended, in its order. Without a trace this does nothing.
  void add(const StepTimes& times, const StepFacts& facts, std::span<const OpRun> ops);

 private:
  struct Part {
    uint64_t from, to;  // marks
    double begin, end;  // on the host's clock
  };

  double place(const Stamp& stamp, double seen);
  void add_ops(std::span<const OpRun> ops, const Part& part);

  Backend& backend_;
  Trace* trace_;
  DeviceClock clock_;
  uint64_t last_mark_ = 0;
  bool any_ = false;  // a step was added
};

}  // namespace spate
