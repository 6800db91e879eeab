#include "backend/cuda/attention/prefill.cuh"

namespace spate::cuda {

void attend_tiles_e4m3(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  attend_tiles<e4m3>(context, problem, rows);
}

}  // namespace spate::cuda
