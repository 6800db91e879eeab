#include "backend/cuda/attention/hopper.cuh"

namespace spate::cuda {

void attend_hopper_256(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  launch_hopper<256>(context, problem, rows);
}

}  // namespace spate::cuda
