#include <algorithm>
#include <cstring>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/random.h"
#include "quant/random_values.h"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;

// T has the size of an element; its bits are only moved.
template <class T>
struct Table {
  T values[kRandomPlaces];
};

// A block makes whole rows.
template <class T>
__global__ void __launch_bounds__(kThreads)
    make_rows(const __grid_constant__ Table<T> table, uint64_t key, const RandomRows to) {
  __shared__ T values[kRandomPlaces];  // parameters are read fast only where all threads agree
  for (int place = threadIdx.x; place < kRandomPlaces; place += kThreads) {
    values[place] = table.values[place];
  }
  __syncthreads();
  for (int64_t row = blockIdx.x; row < to.rows; row += gridDim.x) {
    T* made = static_cast<T*>(to.to) + row * to.stride;
    const int64_t begin = (to.first + row) * to.in;  // number of the row's first element
    // A draw makes four elements, at the ends of a row perhaps some of another.
    for (int64_t draw = begin / 4 + threadIdx.x; 4 * draw < begin + to.in; draw += kThreads) {
      const Philox4 words = philox(key, static_cast<uint64_t>(draw));
#pragma unroll
      for (int lane = 0; lane < 4; ++lane) {
        const int64_t column = 4 * draw + lane - begin;
        if (column >= 0 && column < to.in) made[column] = values[random_place(words.word[lane])];
      }
    }
  }
}

template <class T>
void make(const Context& context, std::span<const std::byte> bytes, uint64_t key,
          const RandomRows& to) {
  Table<T> table;
  check(bytes.size() == sizeof table, "a table of random values has ", bytes.size(), " bytes");
  std::memcpy(&table, bytes.data(), sizeof table);
  const auto blocks =
      static_cast<unsigned>(std::min<int64_t>(to.rows, int64_t{8} * context.multiprocessors()));
  launch(context, {.blocks = {blocks}, .threads = {kThreads}}, make_rows<T>, table, key, to);
}

}  // namespace

void make_random_rows(const Context& context, std::span<const std::byte> table, uint64_t key,
                      DType type, const RandomRows& to) {
  if (type == DType::f32) {
    make<uint32_t>(context, table, key, to);
  } else {
    make<uint16_t>(context, table, key, to);
  }
}

}  // namespace spate::cuda
