// The few-rows kernels of packed formats, in two files so that they compile side by side.
#pragma once

#include "backend/cuda/linear/problem.cuh"

namespace spate::cuda {

using StreamProblem = LinearProblem<bf16>;

void stream_block32(const Context& context, const StreamProblem& problem, TileFormat format);
void stream_k(const Context& context, const StreamProblem& problem, TileFormat format);

}  // namespace spate::cuda
