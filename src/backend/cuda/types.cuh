// Element types on the device: floats of any width are read and written as f32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "base/check.h"
#include "tensor/tensor.h"

namespace spate::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;
using e4m3 = __nv_fp8_e4m3;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(f16 x) { return __half2float(x); }
__device__ inline float to_float(e4m3 x) { return static_cast<float>(x); }

template <class T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ inline f16 from_float<f16>(float x) {
  return __float2half_rn(x);
}

// What is larger than 448 becomes that.
template <>
__device__ inline e4m3 from_float<e4m3>(float x) {
  return e4m3(x);
}

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) with the type of hidden states, f32 or bf16.
template <class F>
void with_activation_type(DType type, const F& f) {
  switch (type) {
    case DType::f32: return f(TypeTag<float>{});
    case DType::bf16: return f(TypeTag<bf16>{});
    default: check(false, "hidden states of type ", name_of(type), ", expected f32 or bf16");
  }
}

// The same with the type of states, f32 or bf16.
template <class F>
void with_state_type(DType type, const F& f) {
  switch (type) {
    case DType::f32: return f(TypeTag<float>{});
    case DType::bf16: return f(TypeTag<bf16>{});
    default: check(false, "states of type ", name_of(type), ", expected f32 or bf16");
  }
}

// The same with the type of a cache: f32, f16, bf16 or e4m3.
template <class F>
void with_cache_type(DType type, const F& f) {
  switch (type) {
    case DType::f32: return f(TypeTag<float>{});
    case DType::f16: return f(TypeTag<f16>{});
    case DType::bf16: return f(TypeTag<bf16>{});
    case DType::e4m3: return f(TypeTag<e4m3>{});
    default: check(false, "a cache of type ", name_of(type), ", expected f32, f16, bf16 or e4m3");
  }
}

// The sum of a warp's numbers up to the lane's own.
template <class T>
__device__ T sum_through(T number) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const T other = __shfl_up_sync(~0U, number, distance);
    if (lane >= distance) number += other;
  }
  return number;
}

// Rows with a stride, as kernels take them.
template <class T>
struct Rows {
  T* data;
  int64_t stride;  // elements

  __device__ T* operator[](int64_t row) const { return data + row * stride; }
};

template <class T>
Rows<T> rows_of(const Tensor& tensor) {
  return {tensor.as<T>(), tensor.row_stride};
}

}  // namespace spate::cuda
