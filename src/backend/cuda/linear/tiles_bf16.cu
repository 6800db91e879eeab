// The general kernel for hidden states of bf16.
#include "backend/cuda/linear/tiles.cuh"
#include "backend/cuda/linear/tiles.h"

namespace spate::cuda {

void tiles_bf16(const Context& context, const op::Linear& op) {
  const LinearProblem<bf16> problem = linear_problem<bf16>(op);
  const Grid grid{.blocks = tiles_grid(problem), .threads = kMmaThreads};
  if (!is_packed(*op.weight->format)) {
    launch(context, grid, tiles_mma<PlainStep>, problem);
    return;
  }
  with_packed_format(tile_format(*op.weight), [&]<class Tag>(Tag) {
    launch(context, grid, tiles_mma<PackedStep<Tag::kFormat>>, problem);
  });
}

}  // namespace spate::cuda
