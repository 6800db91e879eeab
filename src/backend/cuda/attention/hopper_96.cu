#include "backend/cuda/attention/hopper.cuh"

namespace spate::cuda {

void attend_hopper_96(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  launch_hopper<96>(context, problem, rows);
}

}  // namespace spate::cuda
