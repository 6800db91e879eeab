// Tensors as the copy engine of compute capability 9.0 sees them. The driver encodes them; it is
// asked through the runtime, so that nothing links to it.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

#include <array>
#include <cstdint>

namespace spate::cuda {

// A tensor of elements of two bytes, or one, that comes to shared memory in boxes. Sizes and
// strides count elements, the innermost dimension first. What a box has beyond the tensor becomes
// zeros.
struct BoxedTensor {
  const void* data;  // at a multiple of 16 bytes
  std::array<uint64_t, 3> sizes;
  std::array<uint64_t, 2> strides;  // of all dimensions but the innermost, multiples of 16 bytes
  std::array<uint32_t, 3> box;      // of 128 bytes in the innermost dimension
  size_t element_bytes = 2;
};

// Rows of elements of two bytes, `stride` elements apart, that come in boxes of so many rows.
inline BoxedTensor boxed_rows(const void* data, int64_t rows, int64_t columns, int64_t stride,
                              int box_rows) {
  constexpr uint32_t kBoxColumns = 64;
  const auto to_next = static_cast<uint64_t>(stride);
  return {.data = data,
          .sizes = {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), 1},
          .strides = {to_next, to_next},
          .box = {kBoxColumns, static_cast<uint32_t>(box_rows), 1}};
}

class TensorMapEncoder {
 public:
  TensorMapEncoder();

  // Boxes lie in shared memory as rows of 128 bytes, of whose eight 16-byte vectors the n-th lies
  // at place n ^ (row % 8); rows count from an address that is a multiple of 1024.
  CUtensorMap operator()(const BoxedTensor& tensor) const;

 private:
  PFN_cuTensorMapEncodeTiled_v12000 encode_ = nullptr;
};

}  // namespace spate::cuda
