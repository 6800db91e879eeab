// Kernels that start before the one in front of them has ended: their blocks take room that is
// left, and do there what needs nothing of what steps write.
#pragma once

#include "backend/cuda/launch.cuh"

namespace spate::cuda {

// Waits until the kernel in front has ended and what it wrote can be read.
__device__ inline void wait_for_kernels() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// As launch(), for a kernel that calls wait_for_kernels().
template <class... Parameters, class... Arguments>
void launch_early(const Context& context, const Grid& grid, void (*kernel)(Parameters...),
                  Arguments&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  const cudaLaunchConfig_t config{.gridDim = grid.blocks,
                                  .blockDim = grid.threads,
                                  .dynamicSmemBytes = grid.shared_bytes,
                                  .stream = context.stream(),
                                  .attrs = &early,
                                  .numAttrs = 1};
  cuda_check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

}  // namespace spate::cuda
