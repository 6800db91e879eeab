#include "backend/cuda/linear/few_rows.cuh"

namespace spate::cuda {

void multiply_few_rows_f8(const Context& context, const FewRowsProblem& problem) {
  multiply_few_rows<Element::e4m3>(context, problem);
}

}  // namespace spate::cuda
