// Dense products by NVIDIA's cublasLt. The library is opened at run time: a machine without it has
// the other kernels.
//
// The library's heuristic names several algorithms for a product, of which the first is not always
// the fastest. So a product of many rows that came often is timed with each of them, once, while it
// runs: the device is waited for, and the result is written more than once. The fastest is used
// from then on for products of about so many rows, and kept in a file (KeptChoices) for later runs.
//
// Owner: Context.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

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
  bool fast_sums = false;                // of codes: see Quantize::fp8_fast
};

class Cublas {
 public:
  // Scratch that the library may use for one product.
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  // Null where the library is not found. `device`: its name, under which the fastest algorithms are
  // kept; empty: none are measured.
  static std::unique_ptr<Cublas> open(std::string device);
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
