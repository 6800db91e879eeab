#include "backend/cuda/attention/decode.cuh"

namespace spate::cuda {

void attend_few_f16(const Context& context, const AttentionProblem& problem) {
  attend_few<f16>(context, problem);
}

}  // namespace spate::cuda
