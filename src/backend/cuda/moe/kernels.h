// The kernels for products with experts' weights. Which of them runs is decided in products.cc.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/context.h"

namespace spate::cuda {

// Packed weights and hidden states of bf16, on tensor cores.
bool expert_tiles_accept(const op::ExpertLinear& op);
void multiply_expert_tiles(const Context& context, const op::ExpertLinear& op);

// Any product.
void multiply_experts(const Context& context, const op::ExpertLinear& op);

}  // namespace spate::cuda
