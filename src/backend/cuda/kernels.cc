#include "backend/cuda/kernels.h"

#include "backend/cuda/devices.h"

namespace spate {

std::vector<KernelFamily> cuda_kernel_families() {
  return {cuda::linear_family(), cuda::joined_gated_family(), cuda::attention_family(),
          cuda::linear_attention_family(), cuda::expert_family()};
}

}  // namespace spate
