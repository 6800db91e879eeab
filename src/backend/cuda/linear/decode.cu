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

// The runs of two neighbouring half warps follow each other in memory: 64 bytes, which two stores
// write as whole sectors.
__device__ inline void store_runs(const float (&values)[16], bf16* to) {
  alignas(16) __nv_bfloat162 pairs[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    pairs[i] = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
  }
  const auto* halves = reinterpret_cast<const uint4*>(pairs);
  const bool second = threadIdx.x % 32 >= kTile;
  const uint4 given = second ? halves[0] : halves[1];
  const uint4 taken = {__shfl_xor_sync(~0U, given.x, kTile), __shfl_xor_sync(~0U, given.y, kTile),
                       __shfl_xor_sync(~0U, given.z, kTile), __shfl_xor_sync(~0U, given.w, kTile)};
  // `to` is this thread's own run.
  auto* place = reinterpret_cast<uint4*>(second ? to - 16 : to) + (second ? 1 : 0);
  place[0] = second ? taken : halves[0];
  place[2] = second ? halves[1] : taken;
}
__device__ inline void store_runs(const float (&values)[16], float* to) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    reinterpret_cast<float4*>(to)[i] =
        make_float4(values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]);
  }
}

// Tile blockIdx.x, a thread for several runs, whose loads are under way together. Outputs are side
// by side, because their codes lie so. The number of runs is even, and all 16 outputs are written.
constexpr int kRunsAtOnce = 4;
template <TileFormat kFormat, class T>
__global__ void __launch_bounds__(kThreads)
    decode_tiles(const uint8_t* tiles, size_t tile_bytes, int64_t runs, T* to) {
  const unsigned i = blockIdx.y * kThreads + threadIdx.x;
  const unsigned first = i / kTile, stride = gridDim.y * kThreads / kTile, lane = i % kTile;
  const uint8_t* tile = tiles + blockIdx.x * tile_bytes;
  T* row = to + (int64_t{blockIdx.x} * kTile + lane) * runs * 16;
  PackedRun<kFormat> packed[kRunsAtOnce];
#pragma unroll
  for (int k = 0; k < kRunsAtOnce; ++k) {
    const unsigned run = first + k * stride;
    if (run < runs) packed[k] = load_run<kFormat>(tile, static_cast<int>(lane), run);
  }
#pragma unroll
  for (int k = 0; k < kRunsAtOnce; ++k) {
    const unsigned run = first + k * stride;
    if (run >= runs) return;
    float values[16];
    decode_run<kFormat>(packed[k], run, values);
    store_runs(values, row + int64_t{run} * 16);
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
  const dim3 blocks{static_cast<unsigned>(tiles_of(count)),
                    static_cast<unsigned>(divide_up(runs * kTile, kRunsAtOnce * kThreads))};
  with_packed_format(tile_format(weight), [&]<class Tag>(Tag) {
    const size_t bytes = tile_bytes(weight.layout, weight.in);
    const auto* first = static_cast<const uint8_t*>(weight.storage.data()) +
                        static_cast<size_t>(begin / kTile) * bytes;
    with_activation_type(to.dtype, [&]<class T>(TypeTag<T>) {
      launch(context, {.blocks = blocks, .threads = kThreads}, decode_tiles<Tag::kFormat, T>, first,
             bytes, runs, to.as<T>());
    });
  });
}

}  // namespace spate::cuda
