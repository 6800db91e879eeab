// Where the memory goes, computed before anything is loaded. One plan from arithmetic: weights,
// workspace of the largest step, and what is left for the KV cache.
#pragma once

#include <cstdint>
#include <string>

#include "backend/backend.h"
#include "engine/options.h"
#include "load/checkpoint.h"

namespace spate {

struct MemoryPlan {
  MemoryInfo memory;       // of the device before loading
  double utilization = 0;  // share that may be used, see DeviceDefaults::share_of
  int64_t shared = 0;      // bytes that it is a share of
  int64_t taken = 0;       // of the share: by others, and by the device's own code
  int64_t budget = 0;      // what is left of the share for all below
  int64_t weights = 0;     // bytes of placed weights
  int64_t workspace = 0;   // bytes of scratch, logits and tables
  int64_t kv_bytes = 0;    // bytes of the cache
  int64_t kv_tokens = 0;   // token slots in it
  int64_t kv_bytes_per_token = 0;
  DType kv_type = DType::f16;
  // States, where the model keeps them: of rows, and snapshots for prefixes that are shared.
  DType state_type = DType::f32;
  int64_t row_states = 0, snapshots = 0;
  int64_t state_bytes = 0;      // of all
  int64_t bytes_per_state = 0;  // 0: the model keeps none
  int64_t max_rows = 0;         // sequences running at once
  int64_t level_rows = 0;       // see SchedulerOptions
  int64_t max_step_tokens = 0;  // tokens in a step
  int64_t step_multiple = 1;    // see SchedulerOptions
  int64_t logit_rows = 0;       // rows of logits at once
  int64_t max_length = 0;       // longest sequence
  int64_t parameters = 0;       // of the model
};

// Throws Error with ExitCode::memory, and the values that would fit, when it does not fit.
MemoryPlan plan_memory(const Checkpoint& checkpoint, Backend& backend,
                       const EngineOptions& options);

}  // namespace spate
