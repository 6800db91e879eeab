// How large a model is on a device, before it is loaded: for the memory plan.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "load/checkpoint.h"

namespace spate {

struct ModelSizes {
  int64_t placed_bytes = 0;  // of all weights in the layouts of the backend
  int64_t parameters = 0;    // elements of all weights
};

// Sums over the tensors that the model will read: in the formats in which the checkpoint stores
// them or, for random weights, in the config's own type.
ModelSizes measure_model(const Checkpoint& checkpoint, const Backend& backend);

}  // namespace spate
