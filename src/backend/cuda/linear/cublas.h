// Dense products by NVIDIA's cublasLt. The library is opened at run time: a machine without it has
// the other kernels.
//
// Owner: Context.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "tensor/tensor.h"

namespace spate::cuda {

// out = x * weight^T, or out += where `add`. x and weight are of one type, f32 or bf16; out is of
// that type or f32. Sums are in f32. Where there are scales, x and weight are codes of e4m3 (type
// u8), and each product is multiplied with the scales of its row and output; out is f32 or bf16.
struct DenseProduct {
  const void* weight;
  int64_t weight_stride;  // elements
  int64_t outputs, inputs;
  Tensor x;    // [T, inputs]
  Tensor out;  // [T, outputs], perhaps columns of a wider one
  bool add = false;
  const float* weight_scales = nullptr;  // [outputs]
  const float* x_scales = nullptr;       // [T]
};

class Cublas {
 public:
  // Scratch that the library may use for one product.
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  static std::unique_ptr<Cublas> open();  // null where the library is not found
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // Whether the library has a kernel for these sizes and addresses.
  bool accepts(const DenseProduct& product);
  // `workspace` has kWorkspaceBytes bytes. Only for products that it accepts.
  void run(const DenseProduct& product, void* workspace, cudaStream_t stream);

 private:
  struct State;
  explicit Cublas(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace spate::cuda
