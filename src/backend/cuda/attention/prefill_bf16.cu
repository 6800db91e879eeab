#include "backend/cuda/attention/prefill.cuh"

namespace spate::cuda {

void attend_tiles_bf16(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  attend_tiles<bf16>(context, problem, rows);
}

}  // namespace spate::cuda
