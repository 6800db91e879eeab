// Weights decoded: rows of a table (Embed), and ranges of outputs for dense products.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/decode.cuh"
#include "backend/cuda/linear/kernels.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/ops.h"
#include "backend/tiles/pack.h"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__device__ void store_run(const float (&values)[16], T* to) {
#pragma unroll
  for (int i = 0; i < 16; ++i) to[i] = from_float<T>(values[i]);
}

// A thread for each run of each token's row.
template <TileFormat kFormat, class T>
__global__ void embed_packed(const uint8_t* tiles, size_t tile_bytes, const int32_t* tokens,
                             int64_t count, int64_t runs, Rows<T> out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count * runs) return;
  const int64_t row = i / runs, run = i % runs;
  const int token = tokens[row];
  float values[16];
  decode_run<kFormat>(load_run<kFormat>(tiles + token / kTile * tile_bytes, token % kTile, run),
                      run, values);
  store_run(values, out[row] + 16 * run);
}

template <class Table, class T>
__global__ void embed_plain(Rows<const Table> table, const int32_t* tokens, int64_t count,
                            int64_t width, Rows<T> out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count * width) return;
  const int64_t row = i / width, column = i % width;
  out[row][column] = from_float<T>(to_float(table[tokens[row]][column]));
}

// A thread for each run: 16 outputs side by side, because their codes lie so. [count, runs]
template <TileFormat kFormat, class T>
__global__ void decode_tiles(const uint8_t* tiles, size_t tile_bytes, int64_t count, int64_t runs,
                             T* to) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t tile = i / kTile / runs, run = i / kTile % runs;
  const int lane = static_cast<int>(i % kTile);
  const int64_t output = tile * kTile + lane;
  if (output >= count) return;
  float values[16];
  decode_run<kFormat>(load_run<kFormat>(tiles + tile * tile_bytes, lane, run), run, values);
  alignas(16) T converted[16];
  store_run(values, converted);
  auto* row = reinterpret_cast<uint4*>(to + (output * runs + run) * 16);
#pragma unroll
  for (size_t k = 0; k < sizeof converted / sizeof(uint4); ++k) {
    row[k] = reinterpret_cast<const uint4*>(converted)[k];
  }
}

Grid grid_of(int64_t threads) {
  return {.blocks = static_cast<unsigned>(divide_up(threads, kThreads)), .threads = kThreads};
}

}  // namespace

void run(Context& context, const op::Embed& op) {
  const Weight& table = *op.table;
  const int64_t count = op.tokens.rows();
  const auto* tokens = op.tokens.as<int32_t>();
  with_activation_type(op.out.dtype, [&]<class T>(TypeTag<T>) {
    if (!is_packed(*table.format)) {
      with_activation_type(context.activation(), [&]<class Table>(TypeTag<Table>) {
        const Rows<const Table> rows{static_cast<const Table*>(table.storage.data()),
                                     padded_row(table.in)};
        launch(context, grid_of(count * table.in), embed_plain<Table, T>, rows, tokens, count,
               table.in, rows_of<T>(op.out));
      });
      return;
    }
    with_packed_format(tile_format(table), [&]<class Tag>(Tag) {
      launch(context, grid_of(count * (table.in / 16)), embed_packed<Tag::kFormat, T>,
             static_cast<const uint8_t*>(table.storage.data()), tile_bytes(table.layout, table.in),
             tokens, count, table.in / 16, rows_of<T>(op.out));
    });
  });
}

void decode_outputs(const Context& context, const Weight& weight, int64_t begin, int64_t count,
                    const Tensor& to) {
  const int64_t runs = weight.in / 16;
  with_packed_format(tile_format(weight), [&]<class Tag>(Tag) {
    const size_t bytes = tile_bytes(weight.layout, weight.in);
    const auto* first = static_cast<const uint8_t*>(weight.storage.data()) +
                        static_cast<size_t>(begin / kTile) * bytes;
    with_activation_type(to.dtype, [&]<class T>(TypeTag<T>) {
      launch(context, grid_of(divide_up(count, kTile) * kTile * runs),
             decode_tiles<Tag::kFormat, T>, first, bytes, count, runs, to.as<T>());
    });
  });
}

}  // namespace spate::cuda
