#include <cuda_runtime.h>

#include <algorithm>

#include "backend/cuda/devices.h"
#include "backend/cuda/rates.h"

namespace spate {
namespace {

constexpr int kBlock = 512;
constexpr size_t kReadBytes = size_t{1} << 30;  // far beyond any L2 cache
constexpr int kRepeats = 5;
constexpr int kPasses = 4;  // of a kernel, so that its beginning and its end count little

// Sums the array so that every byte is read; `sum` keeps the compiler from dropping the loads.
__global__ void read_all(const float4* data, size_t count, float* sum) {
  constexpr int kAtOnce = 4;
  const size_t step = size_t{gridDim.x} * blockDim.x;
  float total = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += kAtOnce * step) {
      float4 values[kAtOnce];
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        values[j] = i + j * step < count ? __ldcs(data + i + j * step) : float4{};
      }
#pragma unroll
      for (const float4& value : values) total += value.x + value.y + value.z + value.w;
    }
  }
  if (total != 0) atomicAdd(sum, total);
}

int multiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

}  // namespace

double cuda::measure_read() {
  const int blocks = 4 * multiprocessors();
  void* data = nullptr;
  float* sum = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  double best = 0;
  if (cudaMalloc(&data, kReadBytes) == cudaSuccess &&
      cudaMalloc(&sum, sizeof *sum) == cudaSuccess &&
      cudaMemset(data, 0, kReadBytes) == cudaSuccess &&
      cudaMemset(sum, 0, sizeof *sum) == cudaSuccess && cudaEventCreate(&begin) == cudaSuccess &&
      cudaEventCreate(&end) == cudaSuccess) {
    for (int repeat = 0; repeat <= kRepeats; ++repeat) {  // the first pass warms up
      cudaEventRecord(begin);
      read_all<<<blocks, kBlock>>>(static_cast<const float4*>(data), kReadBytes / sizeof(float4),
                                   sum);
      cudaEventRecord(end);
      float milliseconds = 0;
      if (cudaEventSynchronize(end) != cudaSuccess || cudaGetLastError() != cudaSuccess ||
          cudaEventElapsedTime(&milliseconds, begin, end) != cudaSuccess) {
        best = 0;
        break;
      }
      if (repeat > 0) best = std::max(best, kPasses * kReadBytes / (1e-3 * milliseconds));
    }
  }
  if (end != nullptr) cudaEventDestroy(end);
  if (begin != nullptr) cudaEventDestroy(begin);
  cudaFree(sum);
  cudaFree(data);
  cudaGetLastError();  // a failed measurement must not surface in a later call
  return best;
}

CudaDevices list_cuda_devices() {
  CudaDevices out;
  cudaDriverGetVersion(&out.driver_version);
  cudaRuntimeGetVersion(&out.runtime_version);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    out.note =
        out.driver_version == 0 ? "no NVIDIA driver on this machine" : cudaGetErrorString(status);
    cudaGetLastError();
    return out;
  }
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) {
      out.note = "a device does not answer: ";
      out.note += cudaGetErrorString(cudaGetLastError());
      continue;
    }
    out.devices.push_back({.index = index,
                           .name = properties.name,
                           .compute_major = properties.major,
                           .compute_minor = properties.minor,
                           .multiprocessors = properties.multiProcessorCount,
                           .total_bytes = properties.totalGlobalMem});
  }
  return out;
}

CudaState examine_cuda_device(int index, bool measure) {
  CudaState state;
  size_t total = 0;
  if (cudaSetDevice(index) == cudaSuccess &&
      cudaMemGetInfo(&state.free_bytes, &total) == cudaSuccess && measure) {
    state.read_gb_per_s = 1e-9 * cuda::measure_read();
  }
  cudaGetLastError();
  return state;
}

}  // namespace spate
