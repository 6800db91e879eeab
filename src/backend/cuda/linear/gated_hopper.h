// The kernel of JoinedGated that multiplies and activates in one pass, for compute capability 9.0.
#pragma once

#include "backend/cuda/context.h"
#include "backend/ops/linear.h"

namespace spate::cuda {

// out[t, o] = activation(gate) * up, where gate is row t of x times row o of the weight, and up the
// same times row outputs + o. All are bf16, strides count elements.
struct GatedProduct {
  Tensor x;            // [T, inputs]
  const void* weight;  // [2 * outputs, inputs]
  int64_t weight_stride, inputs, outputs;
  Tensor out;  // [T, outputs]
  op::Activation activation;
};

// Whether sizes and addresses are such that the kernel can run.
bool gated_hopper_fits(const GatedProduct& product);
// How much is wanted of what the device multiplies meanwhile, from 0 to 1: the rest are tiles that
// are not full, and multiprocessors that have none left.
double gated_hopper_share(const Context& context, const GatedProduct& product);
void multiply_gated_hopper(const Context& context, const GatedProduct& product);

}  // namespace spate::cuda
