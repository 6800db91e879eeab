#include "backend/cuda/linear/medium_rows.cuh"

namespace spate::cuda {

void multiply_medium_rows_f8(const Context& context, const FewRowsProblem& problem) {
  if (problem.rows <= 64) {
    launch_medium_rows<MediumRowsLayout<Element::e4m3, 64>>(context, problem);
  } else {
    launch_medium_rows<MediumRowsLayout<Element::e4m3, 128>>(context, problem);
  }
}

}  // namespace spate::cuda
