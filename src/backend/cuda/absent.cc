#include "backend/cuda/devices.h"

namespace spate {

CudaDevices list_cuda_devices(bool) {
  return {.note = "this binary was built without CUDA; the gpu preset builds one with it"};
}

}  // namespace spate
