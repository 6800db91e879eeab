#include "backend/cuda/tensor_map.h"

#include "backend/cuda/error.h"
#include "base/check.h"

namespace spate::cuda {

TensorMapEncoder::TensorMapEncoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  cuda_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                              cudaEnableDefault, &found));
  check(found == cudaDriverEntryPointSuccess, "the driver has no cuTensorMapEncodeTiled");
  encode_ = reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

CUtensorMap TensorMapEncoder::operator()(const BoxedTensor& tensor) const {
  const uint64_t strides[] = {tensor.strides[0] * tensor.element_bytes,
                              tensor.strides[1] * tensor.element_bytes};
  const uint32_t steps[] = {1, 1, 1};
  // What the L2 cache fetches at once: no more than a row, whose neighbours others may read.
  const uint64_t row_bytes = tensor.sizes[0] * tensor.element_bytes;
  const CUtensorMapL2promotion fetched = row_bytes >= 256   ? CU_TENSOR_MAP_L2_PROMOTION_L2_256B
                                         : row_bytes >= 128 ? CU_TENSOR_MAP_L2_PROMOTION_L2_128B
                                                            : CU_TENSOR_MAP_L2_PROMOTION_L2_64B;
  CUtensorMap map;
  const CUresult result = encode_(
      &map,
      tensor.element_bytes == 1 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      3, const_cast<void*>(tensor.data), tensor.sizes.data(), strides, tensor.box.data(), steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, fetched,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "cuTensorMapEncodeTiled: error ", static_cast<int>(result));
  return map;
}

}  // namespace spate::cuda
