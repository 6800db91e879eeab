#include "backend/cuda/linear/few_rows.cuh"

namespace spate::cuda {

bool few_rows_fit(const FewRowsProblem& problem) {
  const auto bits = reinterpret_cast<uintptr_t>(problem.weight) |
                    reinterpret_cast<uintptr_t>(problem.x) |
                    static_cast<uintptr_t>(problem.weight_stride | problem.x_stride);
  // A tile of outputs has a counter.
  return bits % 16 == 0 && problem.out <= int64_t{Context::kCounters} * kMostTileOutputs;
}

bool few_rows_have_whole_tiles(const Context& context, int64_t outputs) {
  return cut_few_rows(outputs, context.multiprocessors()).whole;
}

void multiply_few_rows_bf16(const Context& context, const FewRowsProblem& problem) {
  multiply_few_rows<Element::bf16>(context, problem);
}

}  // namespace spate::cuda
