// The NVIDIA GPUs of this machine, as the CUDA runtime sees them. devices.cu finds and times them
// in builds with CUDA; absent.cc says so in builds without.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "backend/kernel_choice.h"
#include "tensor/tensor.h"

namespace spate {

struct CudaDevice {
  int index = 0;
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  size_t total_bytes = 0;
};

struct CudaDevices {
  std::vector<CudaDevice> devices;
  std::string note;  // why there are none: no driver, built without CUDA, ...
  int driver_version = 0, runtime_version = 0;  // 12040 is 12.4; 0 when unknown
};

// Never throws: a machine without a GPU or driver is a normal answer. Opens none of them: that
// would take memory of each.
CudaDevices list_cuda_devices();

// What an opened device says; zeros where it cannot be opened. Never throws.
struct CudaState {
  size_t free_bytes = 0;
  double read_gb_per_s = 0;  // a kernel that sums a large array; 0 when not asked for
};
// `measure` takes about 0.1 s and 1 GiB of memory.
CudaState examine_cuda_device(int index, bool measure);

// Page-locked host memory that the GPU reaches as well; plain memory where no GPU is. Aligned to 64
// bytes, with undefined content. Throws Error(ExitCode::memory).
Buffer allocate_pinned(size_t bytes);

// The families of ops of the CUDA backend that have kernels to choose from; none in builds without.
std::vector<KernelFamily> cuda_kernel_families();

}  // namespace spate
