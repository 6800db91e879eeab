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
  double utilization = 0;  // share of the free memory that we may use
  int64_t budget = 0;      // that share in bytes
  int64_t weights = 0;     // bytes of placed weights
  int64_t workspace = 0;   // bytes of scratch, logits and tables
  int64_t kv_bytes = 0;    // bytes of the cache
  int64_t kv_tokens = 0;   // token slots in it
  int64_t kv_bytes_per_token = 0;
  DType kv_type = DType::f16;
  int64_t max_rows = 0;         // sequences running at once
  int64_t max_step_tokens = 0;  // tokens in a step
  int64_t max_length = 0;       // longest sequence
  int64_t parameters = 0;       // of the model
};

// Throws Error with ExitCode::memory, and the values that would fit, when it does not fit.
MemoryPlan plan_memory(const Checkpoint& checkpoint, Backend& backend,
                       const EngineOptions& options);

}  // namespace spate
