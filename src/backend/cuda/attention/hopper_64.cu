#include "backend/cuda/attention/hopper.cuh"

namespace spate::cuda {

void attend_hopper_64(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  launch_hopper<64>(context, problem, rows);
}

}  // namespace spate::cuda
