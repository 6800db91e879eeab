// The kernels of the family "linear" on the GPU. Which of them runs is decided in linear.cc.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/context.h"

namespace spate::cuda {

// Few rows times packed weights, with hidden states of bf16: reads the weights once, as fast as
// memory gives them.
bool stream_accepts(const op::Linear& op);
void multiply_stream(const Context& context, const op::Linear& op);

// Any product. The sum over the inputs runs in one order whatever rows there are.
void multiply_tiles(const Context& context, const op::Linear& op);

// Outputs [begin, begin + count) of packed weights as rows of plain floats, [count, I]; `begin` is
// a multiple of 16.
void decode_outputs(const Context& context, const Weight& weight, int64_t begin, int64_t count,
                    const Tensor& to);

// Every row of out = bias.
void spread_bias(const Context& context, const Tensor& bias, const Tensor& out);

}  // namespace spate::cuda
