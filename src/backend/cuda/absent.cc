// What a build without CUDA has in place of the CUDA backend.
#include "backend/backend.h"
#include "backend/cpu/memory.h"
#include "backend/cuda/devices.h"
#include "backend/cuda/libraries.h"
#include "base/check.h"

namespace spate {

CudaDevices list_cuda_devices() {
  return {.note = "this binary was built without CUDA; the gpu preset builds one with it"};
}

CudaState examine_cuda_device(int, bool) { return {}; }

Buffer allocate_pinned(size_t bytes) { return cpu::allocate(bytes); }

std::vector<CudaLibrary> list_cuda_libraries() { return {}; }

std::vector<KernelFamily> cuda_kernel_families() { return {}; }

std::unique_ptr<Backend> open_cuda_backend(const BackendOptions&, int index) {
  throw Error(cat("GPU ", index, " cannot be used: ", list_cuda_devices().note), ExitCode::memory);
}

DeviceRates measure_cuda_rates(const BackendOptions& options, int index) {
  open_cuda_backend(options, index);
  return {};
}

}  // namespace spate
