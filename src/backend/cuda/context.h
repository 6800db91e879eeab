// What every op of the CUDA backend works with: the device, its queue, forced kernels and scratch
// memory.
//
// Owner: CudaBackend. One op at a time; all launches go to stream().
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>

#include "backend/cuda/tensor_map.h"
#include "backend/kernel_choice.h"
#include "quant/format.h"
#include "tensor/dtype.h"

namespace spate::cuda {

class Cublas;

struct ContextOptions {
  int device = 0;
  DType activation = DType::bf16;
  bool deterministic = false;
  Quantize quantize = Quantize::none;
  bool measure_products = true;
  ForcedKernels forced;
};

class Context {
 public:
  // Scratch that one op may use; problems that need more are cut into parts.
  static constexpr size_t kWorkspaceBytes = size_t{128} << 20;
  static constexpr int kCounters = 4096;

  explicit Context(ContextOptions options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int device() const { return options_.device; }
  DType activation() const { return options_.activation; }
  bool deterministic() const { return options_.deterministic; }
  Quantize quantize() const { return options_.quantize; }
  KernelChoice& choice() { return choice_; }
  cudaStream_t stream() const { return stream_; }
  const cudaDeviceProp& properties() const { return properties_; }
  int multiprocessors() const { return properties_.multiProcessorCount; }
  // At least `bytes` <= kWorkspaceBytes bytes, aligned to 256, with undefined content: the running
  // op's, until it has been run.
  void* workspace(size_t bytes) const;
  // kCounters zeros on the device, for blocks that count each other; an op leaves zeros behind.
  uint32_t* counters() const { return counters_; }
  // Kernels that are launched early read weights while the one ahead of them runs, which may have
  // begun early itself: behind this none begins before all that is in the queue has ended.
  void hold_back() const;
  CUtensorMap tensor_map(const BoxedTensor& tensor) const { return tensor_map_(tensor); }
  // Dense products by the library; null where it is not found. Opening it takes a tenth of a
  // second: open_cublas() begins that in a thread of its own, and cublas() ends it, whoever comes
  // first.
  void open_cublas();
  Cublas* cublas();

 private:
  ContextOptions options_;
  KernelChoice choice_;
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  void* workspace_ = nullptr;
  uint32_t* counters_ = nullptr;
  TensorMapEncoder tensor_map_;
  std::optional<std::unique_ptr<Cublas>> cublas_;  // absent until it was waited for
  std::future<std::unique_ptr<Cublas>> opening_;
};

}  // namespace spate::cuda
