#include "backend/cuda/linear/medium_rows.cuh"

namespace spate::cuda {

int medium_rows_peers(const Context& context, int64_t outputs) {
  return cut_medium_rows(outputs, context.multiprocessors()).peers;
}

void multiply_medium_rows_bf16(const Context& context, const FewRowsProblem& problem) {
  launch_medium_rows<MediumRowsLayout<Element::bf16, 64>>(context, problem);
}

}  // namespace spate::cuda
