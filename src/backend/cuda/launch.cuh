// Launching a kernel on the context's queue, with its errors checked.
#pragma once

#include <utility>

#include "backend/cuda/context.h"
#include "backend/cuda/error.h"

namespace spate::cuda {

struct Grid {
  dim3 blocks, threads;
  size_t shared_bytes = 0;  // dynamic; for more than 48 KiB see allow_shared_bytes
  unsigned cluster = 1;     // blocks of it; of launch_early() alone
};

// Must come before a launch whose kernel takes more than 48 KiB of shared memory, with `bytes` of
// it dynamic: less than 40 KiB leave room for what is static.
template <class Kernel>
void allow_shared_bytes(Kernel* kernel, size_t bytes) {
  if (bytes < size_t{40} << 10) return;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)));
}

// Does nothing when the grid is empty.
template <class... Parameters, class... Arguments>
void launch(const Context& context, const Grid& grid, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, context.stream()>>>(
      std::forward<Arguments>(arguments)...);
  cuda_check(cudaGetLastError());
}

// The same for a kernel that may begin while the one before it still runs: what the one before
// wrote, or reads, it may touch only behind wait_for_kernel_before(), which it must come to.
template <class... Parameters, class... Arguments>
void launch_early(const Context& context, const Grid& grid, void (*kernel)(Parameters...),
                  Arguments&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = grid.cluster;
  attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = context.stream();
  config.attrs = attributes;
  config.numAttrs = grid.cluster > 1 ? 2 : 1;
  cuda_check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

__device__ inline void wait_for_kernel_before() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

// The next kernel may begin once all blocks have come here or ended, where it was launched so.
__device__ inline void let_next_kernel_begin() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks for a loop over `count` elements with a stride of the grid.
inline unsigned blocks_for(const Context& context, int64_t count, int threads) {
  const int64_t most = int64_t{context.multiprocessors()} * 8;
  const int64_t wanted = divide_up(count, threads);
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

}  // namespace spate::cuda
