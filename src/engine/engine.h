// The engine: requests in, events out. One thread of its own plans, runs and commits steps; nothing
// of the caller runs on it. With engine/options.h and sched/request.h this is the public interface;
// no tensor type appears in it.
//
// Thread safety: all but the constructor and the destructor may be called by any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model_files.h"
#include "engine/op_profile.h"
#include "engine/options.h"
#include "engine/plan.h"
#include "sched/request.h"

namespace spate {

// What some steps did together: those of one slice of time, for rates, ramps and tails, or those of
// one kind.
struct StepSlice {
  double seconds = 0;  // length of the steps together
  int64_t steps = 0;
  int64_t rows = 0;           // sum over steps
  int64_t prompt_tokens = 0;  // computed, recomputed ones too
  int64_t output_tokens = 0;  // drawn
};

// What has been done so far, cheap to ask for.
struct EngineCounts {
  SchedulerStats scheduler;
  double busy_seconds = 0;         // in steps
  double idle_seconds = 0;         // waiting for requests while none was there
  double device_idle_seconds = 0;  // of busy_seconds, the device without work; 0 on a CPU
  int64_t steps = 0;
  int64_t prompt_tokens = 0;  // computed
  int64_t output_tokens = 0;  // drawn
  int64_t rows = 0;           // sum over steps
};

struct EngineStats : EngineCounts {
  StepSlice prefill;                   // the steps that computed prompts alone
  StepSlice decode;                    // the steps that went on with outputs alone
  int64_t kv_peak = 0;                 // slots
  double kv_mean = 0;                  // slots, weighted by time
  std::vector<int64_t> steps_by_rows;  // [rows] -> steps that ran so many rows
  double slice_seconds = 0.1;          // time a slice of `slices` covers; doubles in long runs
  std::vector<StepSlice> slices;       // since the first step
  std::optional<DeviceRates> rates;    // of the device, when profiling
  std::vector<OpProfile> profile;
};

class Engine {
 public:
  // Loads the weights and starts the thread. `files` may be dropped afterwards except the
  // tokenizer and the template, which the engine does not use.
  Engine(const ModelFiles& files, const EngineOptions& options);
  ~Engine();  // stops at the end of the step that runs

  // Queues a request. Does not wait: the caller bounds how much it has in flight.
  void submit(Request request);
  void cancel(uint64_t request);
  void close();  // no more requests will come

  // Waits for news, at most `seconds` (for ever when negative). Nothing: the time is over, or the
  // engine is closed and all is done (see finished()). Throws Error when the engine thread failed.
  std::vector<Event> next_events(double seconds = -1);
  bool finished() const;  // closed, and every event has been taken

  EngineStats stats() const;
  EngineCounts counts() const;
  const MemoryPlan& plan() const;
  std::string device() const;  // "CPU, 2 threads, avx2"
  double load_seconds() const;
  std::vector<std::string> warnings() const;  // unread tensors and the like

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spate
