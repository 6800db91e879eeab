// The general kernel for hidden states of f32.
#include "backend/cuda/linear/tiles.cuh"
#include "backend/cuda/linear/tiles.h"

namespace spate::cuda {

void tiles_f32(const Context& context, const op::Linear& op) {
  const LinearProblem<float> problem = linear_problem<float>(op);
  const Grid grid{.blocks = tiles_grid(problem), .threads = kF32Threads};
  if (!is_packed(*op.weight->format)) {
    launch(context, grid, tiles_fma<PlainF32>, problem);
    return;
  }
  with_packed_format(tile_format(*op.weight), [&]<class Tag>(Tag) {
    launch(context, grid, tiles_fma<PackedF32<Tag::kFormat>>, problem);
  });
}

}  // namespace spate::cuda
