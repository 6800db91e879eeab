#include "backend/cuda/attention/decode.cuh"

namespace spate::cuda {

void attend_few_e4m3(const Context& context, const AttentionProblem& problem) {
  attend_few<e4m3>(context, problem);
}

}  // namespace spate::cuda
