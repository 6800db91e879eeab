#include "backend/cuda/attention/hopper.cuh"

namespace spate::cuda {

void attend_hopper_128(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  launch_hopper<128>(context, problem, rows);
}

}  // namespace spate::cuda
