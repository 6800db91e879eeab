// What an engine does on a device where its options leave it open.
#pragma once

#include "backend/backend.h"

namespace spate {

struct DeviceDefaults {
  int64_t max_rows;         // sequences running at once
  int64_t level_rows;       // see SchedulerOptions; of a model all of whose weights a token needs
  int64_t max_step_tokens;  // tokens in a step
  int64_t step_multiple;    // see SchedulerOptions
  int64_t logit_rows;       // rows of logits at once; more go through the head in turns
  bool ahead;               // a step begins before the tokens of the one before are known
  // Memory in use while the engine runs, as a share of all that the device has, what others use
  // included; or memory of the engine, as a share of what is free.
  enum class ShareOf { total, free } share_of;
  double memory_share, most_memory_share;  // what is taken, and what one can ask for
};

// Logits stay near; memory belongs to others too.
constexpr DeviceDefaults kCpuDefaults{.max_rows = 64,
                                      .level_rows = 0,
                                      .max_step_tokens = 512,
                                      .step_multiple = 1,
                                      .logit_rows = 64,
                                      .ahead = false,
                                      .share_of = DeviceDefaults::ShareOf::free,
                                      .memory_share = 0.85,
                                      .most_memory_share = 0.95};

// The head is read once for half of the rows, and the host stays a step in front. From about 250
// tokens on products take longer than the reading of their weights. They go by tiles, of which 512
// tokens x 4096 outputs fill an H100 or H200 once: 640 take in eight bits 1.4 times as long.
constexpr DeviceDefaults kGpuDefaults{.max_rows = 1024,
                                      .level_rows = 512,
                                      .max_step_tokens = 4096,
                                      .step_multiple = 512,
                                      .logit_rows = 512,
                                      .ahead = true,
                                      .share_of = DeviceDefaults::ShareOf::total,
                                      .memory_share = 0.92,
                                      .most_memory_share = 0.98};

inline const DeviceDefaults& defaults_of(const Backend& backend) {
  return backend.device().kind == Device::Kind::cpu ? kCpuDefaults : kGpuDefaults;
}

}  // namespace spate
