// The general kernels, one function for each type of hidden states so that they compile side by
// side.
#pragma once

#include "backend/cuda/context.h"
#include "backend/ops/linear.h"

namespace spate::cuda {

void tiles_bf16(const Context& context, const op::Linear& op);
void tiles_f32(const Context& context, const op::Linear& op);

}  // namespace spate::cuda
