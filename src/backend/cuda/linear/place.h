// Weights on their way to the device, and how they lie there.
#pragma once

#include "backend/cuda/context.h"
#include "backend/cuda/memory.h"
#include "quant/format.h"

namespace spate::cuda {

size_t placed_bytes(const Context& context, const Format& format, int64_t out, int64_t in);
Weight place(const Context& context, WeightMemory& memory, const HostWeight& weight);

}  // namespace spate::cuda
