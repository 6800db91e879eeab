// The few-rows kernels, one function for each folder of formats so that they compile side by side.
#pragma once

#include "backend/tiles/layout.h"

namespace spate::cuda {

class Context;
struct StreamProblem;

void stream_plain(const Context& context, const StreamProblem& problem);
void stream_block32(const Context& context, const StreamProblem& problem, TileFormat format);
void stream_k(const Context& context, const StreamProblem& problem, TileFormat format);

}  // namespace spate::cuda
