// Ops that move or combine rows: a block a row, or an element a thread.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;

// Calls f(row, column) for each element of [rows, width].
template <class F>
__global__ void for_elements(int64_t rows, int64_t width, F f) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < rows * width;
       i += int64_t{gridDim.x} * blockDim.x) {
    f(i / width, i % width);
  }
}

template <class F>
void run_elements(const Context& context, const Tensor& shape, const F& f) {
  const int64_t count = shape.shape.elements();
  launch(context, {.blocks = blocks_for(context, count, kThreads), .threads = kThreads},
         for_elements<F>, shape.rows(), shape.row_size(), f);
}

template <class T>
struct Gather {
  Rows<const T> x;
  const int32_t* rows;
  Rows<T> out;
  __device__ void operator()(int64_t row, int64_t column) const {
    out[row][column] = x[rows[row]][column];
  }
};

struct Drawn {
  int32_t* tokens;
  const int32_t* drawn;
  __device__ void operator()(int64_t t, int64_t /*column*/) const {
    if (tokens[t] < 0) tokens[t] = max(drawn[-1 - tokens[t]], 0);
  }
};

template <class T>
struct Sum {
  Rows<const T> a, b;
  Rows<T> out;
  __device__ void operator()(int64_t row, int64_t column) const {
    out[row][column] = from_float<T>(to_float(a[row][column]) + to_float(b[row][column]));
  }
};

template <class T>
struct Multiple {
  Rows<T> x;
  float factor;
  __device__ void operator()(int64_t row, int64_t column) const {
    x[row][column] = from_float<T>(to_float(x[row][column]) * factor);
  }
};

}  // namespace

void run(Context& context, const op::GatherRows& op) {
  const auto gather = [&]<class Word>(TypeTag<Word>) {
    run_elements(
        context, op.out,
        Gather<Word>{rows_of<const Word>(op.x), op.rows.as<int32_t>(), rows_of<Word>(op.out)});
  };
  if (size_of(op.x.dtype) == 4) {
    gather(TypeTag<uint32_t>{});
  } else {
    check(size_of(op.x.dtype) == 2, "rows of type ", name_of(op.x.dtype));
    gather(TypeTag<uint16_t>{});
  }
}

void run(Context& context, const op::TakeDrawn& op) {
  run_elements(context, op.tokens, Drawn{op.tokens.as<int32_t>(), op.drawn.as<int32_t>()});
}

void run(Context& context, const op::Add& op) {
  with_activation_type(op.a.dtype, [&]<class T>(TypeTag<T>) {
    run_elements(context, op.out,
                 Sum<T>{rows_of<const T>(op.a), rows_of<const T>(op.b), rows_of<T>(op.out)});
  });
}

void run(Context& context, const op::Scale& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_elements(context, op.x, Multiple<T>{rows_of<T>(op.x), op.factor});
  });
}

}  // namespace spate::cuda
