#include "backend/cuda/attention/prefill.cuh"

namespace spate::cuda {

void attend_tiles_f16(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  attend_tiles<f16>(context, problem, rows);
}

}  // namespace spate::cuda
