// The kernel of JoinedGated that multiplies and activates in one pass, for compute capability 9.0.
#pragma once

#include "backend/cuda/context.h"
#include "backend/ops/linear.h"

namespace spate::cuda {

// Plain weights in bf16 without bias, and sizes and addresses such that the kernel can run.
bool gated_hopper_accepts(const op::JoinedGated& op);
// How much is wanted of what the device multiplies meanwhile, from 0 to 1: the rest are tiles that
// are not full, and multiprocessors that have none left.
double gated_hopper_share(const Context& context, const op::JoinedGated& op);
void multiply_gated_hopper(const Context& context, const op::JoinedGated& op);

}  // namespace spate::cuda
