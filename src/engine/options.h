// How an engine is set up. Defaults are what `spate run` uses; zero means "choose for me".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "base/trace.h"
#include "sched/scheduler.h"

namespace spate {

struct EngineOptions {
  BackendOptions backend;
  std::optional<DType> kv_type;        // of the cache; f16 when absent
  DType state_type = DType::f32;       // of states, where the model keeps them; f32 or bf16
  int64_t kv_cache_tokens = 0;         // token slots; 0: what memory_utilization leaves
  int64_t max_num_seqs = 0;            // rows running at once
  int64_t max_num_batched_tokens = 0;  // tokens in a step
  int64_t max_model_len = 0;           // longest sequence, prompt and output; 0: the model's
  // On a GPU, the share of its memory that is in use while the engine runs; on a CPU, the share of
  // the memory free at start that the engine takes. Absent: the device's, see device_defaults.h.
  std::optional<double> memory_utilization;
  Batching batching = Batching::mix;
  Order order = Order::fifo;
  int64_t order_horizon = 8192;  // requests that are put in order together
  bool share_prefixes = true;
  // Plan and launch a step before the tokens of the one before are known; absent: on a GPU.
  std::optional<bool> ahead;
  bool graphs = true;  // decode steps are recorded and replayed, where the device can
  std::optional<DeviceRates> profile;  // time every op, beside these rates of the device
  Trace* trace = nullptr;              // the caller's, outlives the engine; null: no trace
};

}  // namespace spate
