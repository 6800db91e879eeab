#include "backend/cuda/attention/decode.cuh"

namespace spate::cuda {

void attend_few_bf16(const Context& context, const AttentionProblem& problem) {
  attend_few<bf16>(context, problem);
}

}  // namespace spate::cuda
