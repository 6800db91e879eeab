// Ops that move or combine rows: each thread works on packs of neighbouring elements.
#include "backend/cuda/gated.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 8;  // elements

// a / b of numbers >= 0; of 64 bits it takes longer than the rest of an op, which few ask for.
__device__ int64_t divide(int64_t a, int64_t b) {
  if ((a | b) >> 32 != 0) return a / b;
  return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
}

// Calls f(row, column, count) for each pack of [rows, width].
template <class F>
__global__ void for_packs(int64_t rows, int64_t width, F f) {
  let_next_kernel_begin();
  wait_for_kernel_before();
  const int64_t packs = (width + kPack - 1) / kPack;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < rows * packs;
       i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t row = divide(i, packs), column = (i - row * packs) * kPack;
    f(row, column, width - column);
  }
}

template <class F>
void run_packs(const Context& context, const Tensor& shape, const F& f) {
  const int64_t count = shape.rows() * divide_up(shape.row_size(), kPack);
  launch_early(context, {.blocks = blocks_for(context, count, kThreads), .threads = kThreads},
               for_packs<F>, shape.rows(), shape.row_size(), f);
}

// Rows of any type, as words of its size.
template <class Word>
struct Gather {
  Rows<const Word> x;
  const int32_t* rows;
  Rows<Word> out;
  bool aligned;
  __device__ void operator()(int64_t row, int64_t column, int64_t count) const {
    copy_pack<kPack>(x[rows[row]] + column, out[row] + column, aligned, count);
  }
};

template <class T>
struct Put {
  Rows<const float> rows;
  const int32_t* index;
  Rows<T> x;
  bool aligned;
  __device__ void operator()(int64_t row, int64_t column, int64_t count) const {
    float values[kPack];
    load_pack(rows[row] + column, aligned, count, values);
    store_pack(x[index[row]] + column, aligned, count, values);
  }
};

struct Drawn {
  int32_t* tokens;
  const int32_t* drawn;
  __device__ void operator()(int64_t t, int64_t /*column*/, int64_t /*count*/) const {
    if (tokens[t] < 0) tokens[t] = max(drawn[-1 - tokens[t]], 0);
  }
};

// out = combine(a, b), element by element.
template <class T, class Combine>
struct Combined {
  Rows<const T> a, b;
  Rows<T> out;
  bool aligned;
  Combine combine;
  __device__ void operator()(int64_t row, int64_t column, int64_t count) const {
    float values[kPack], right[kPack];
    load_pack(a[row] + column, aligned, count, values);
    load_pack(b[row] + column, aligned, count, right);
#pragma unroll
    for (int i = 0; i < kPack; ++i) values[i] = combine(values[i], right[i]);
    store_pack(out[row] + column, aligned, count, values);
  }
};

template <class T, class Combine>
void run_combined(const Context& context, const Tensor& a, const Tensor& b, const Tensor& out,
                  Combine combine) {
  run_packs(context, out,
            Combined<T, Combine>{rows_of<const T>(a), rows_of<const T>(b), rows_of<T>(out),
                                 packs_fit<kPack>(out.row_size(), a, b, out), combine});
}

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

template <class T>
struct Multiple {
  Rows<T> x;
  float factor;
  bool aligned;
  __device__ void operator()(int64_t row, int64_t column, int64_t count) const {
    float values[kPack];
    load_pack(x[row] + column, aligned, count, values);
#pragma unroll
    for (int i = 0; i < kPack; ++i) values[i] *= factor;
    store_pack(x[row] + column, aligned, count, values);
  }
};

}  // namespace

void run(Context& context, const op::GatherRows& op) {
  const auto gather = [&]<class Word>(TypeTag<Word>) {
    run_packs(context, op.out,
              Gather<Word>{rows_of<const Word>(op.x), op.rows.as<int32_t>(), rows_of<Word>(op.out),
                           packs_fit<kPack>(op.out.row_size(), op.x, op.out)});
  };
  if (size_of(op.x.dtype) == 4) {
    gather(TypeTag<uint32_t>{});
  } else {
    check(size_of(op.x.dtype) == 2, "rows of type ", name_of(op.x.dtype));
    gather(TypeTag<uint16_t>{});
  }
}

void run(Context& context, const op::PutRows& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_packs(context, op.rows,
              Put<T>{rows_of<const float>(op.rows), op.index.as<int32_t>(), rows_of<T>(op.x),
                     packs_fit<kPack>(op.rows.row_size(), op.rows, op.x)});
  });
}

void run(Context& context, const op::TakeDrawn& op) {
  run_packs(context, op.tokens, Drawn{op.tokens.as<int32_t>(), op.drawn.as<int32_t>()});
}

void run(Context& context, const op::Add& op) {
  with_activation_type(op.out.dtype, [&]<class T>(TypeTag<T>) {
    run_combined<T>(context, op.a, op.b, op.out, Sum{});
  });
}

void run(Context& context, const op::Scale& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_packs(context, op.x,
              Multiple<T>{rows_of<T>(op.x), op.factor, packs_fit<kPack>(op.x.row_size(), op.x)});
  });
}

void run(Context& context, const op::Gated& op) {
  with_activation_type(op.out.dtype, [&]<class T>(TypeTag<T>) {
    with_gate<T>(op.activation, [&]<class Gate>(TypeTag<Gate>) {
      run_combined<T>(context, op.gate, op.up, op.out, Gate{});
    });
  });
}

}  // namespace spate::cuda
