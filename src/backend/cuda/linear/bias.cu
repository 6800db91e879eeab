#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/kernels.h"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void spread(const float* bias, int64_t rows, int64_t width, Rows<T> out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < rows * width) out[i / width][i % width] = from_float<T>(bias[i % width]);
}

}  // namespace

void spread_bias(const Context& context, const Tensor& bias, const Tensor& out) {
  const auto blocks = static_cast<unsigned>(divide_up(out.shape.elements(), kThreads));
  with_activation_type(out.dtype, [&]<class T>(TypeTag<T>) {
    launch(context, {.blocks = blocks, .threads = kThreads}, spread<T>, bias.as<float>(),
           out.rows(), out.row_size(), rows_of<T>(out));
  });
}

}  // namespace spate::cuda
