// Attention for every type, head width and stride. A block computes one token and up to kHeads
// query heads that share a key/value head. Keys are taken in blocks of 32, counted from position 0:
// block n belongs to warp n % kWarps, a lane scores one key, and the warps' results are merged in
// order of warps. So a token's bits depend on its own keys alone: not on the batch, on how its
// prompt was cut or on where segments begin. Sums are fused multiply-adds in f32.
#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/e4m3.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kBlockKeys = 32;
constexpr int kHeads = 4;              // query heads of a block
constexpr int kColumns = 256;          // of the output; wider values take several blocks
constexpr int kPairs = kColumns / 64;  // a lane has this many pairs of columns, 64 columns apart

// The softmax of one head, as far as a warp has come; all its lanes have the same.
struct HeadState {
  float largest = -INFINITY;
  float sum = 0;
  float2 values[kPairs] = {};

  __device__ void rescale(float new_largest) {
    const float factor = expf(largest - new_largest);
    largest = new_largest;
    sum *= factor;
    for (float2& value : values) {
      value.x *= factor;
      value.y *= factor;
    }
  }
};

// One column of a head's softmax, to which the warps' pieces are added one by one.
struct Merged {
  float largest = -INFINITY;
  float sum = 0;
  float value = 0;

  __device__ void add(float piece_largest, float piece_sum, float piece_value) {
    if (piece_sum == 0) return;  // it saw no keys, or weighs nothing
    const float common = fmaxf(largest, piece_largest);
    const float factor = expf(largest - common), weight = expf(piece_largest - common);
    largest = common;
    sum = fmaf(weight, piece_sum, factor * sum);
    value = fmaf(weight, piece_value, factor * value);
  }
};

// Finds the row of a token; every thread of the block gets it.
__device__ int row_of(const AttentionProblem& problem, int token) {
  __shared__ int found;
  for (int row = static_cast<int>(threadIdx.x); row < problem.rows; row += kWarps * 32) {
    if (problem.row_begin[row] <= token && token < problem.row_begin[row + 1]) found = row;
  }
  __syncthreads();
  return found;
}

struct SharedLayout {
  int query_width;  // padded to whole vectors of eight
  __host__ __device__ explicit SharedLayout(int width) : query_width((width + 7) / 8 * 8) {}
  __host__ __device__ size_t bytes() const {
    return sizeof(float) *
           static_cast<size_t>(kHeads * query_width + kWarps * kHeads * (kColumns + 2));
  }
};

// Grid: T, G x chunks of kHeads heads, chunks of kColumns columns. `aligned`: rows of keys and
// values are whole vectors of 16 bytes.
template <class T, class Cache>
__global__ void __launch_bounds__(kWarps * 32)
    general(const __grid_constant__ AttentionProblem problem, bool aligned) {
  extern __shared__ __align__(16) float shared[];
  const SharedLayout layout(problem.width);
  float* queries = shared;                               // [kHeads, query_width]
  float* parts = queries + kHeads * layout.query_width;  // [kWarps, kHeads, kColumns]
  float* stats = parts + kWarps * kHeads * kColumns;     // [kWarps, kHeads, 2]: largest, sum
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;

  const int token = static_cast<int>(blockIdx.x);
  const int row = row_of(problem, token);
  const RowShape shape = row_shape(problem, row);
  const int position = shape.position(token - shape.first_token);  // of its key
  const int first = first_seen_by(problem, shape, token - shape.first_token);
  // The keys of the step that it sees: all of them, or those of its path in the tree.
  const uint64_t path = problem.tree == nullptr ? ~uint64_t{0} : seen_in_tree(problem, token);

  const int chunks = (problem.group + kHeads - 1) / kHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / chunks;
  const int first_head = static_cast<int>(blockIdx.y) % chunks * kHeads;  // of the group
  const int heads = min(kHeads, problem.group - first_head);
  const int head = kv_head * problem.group + first_head;
  const int first_column = static_cast<int>(blockIdx.z) * kColumns;
  const int columns = min(kColumns, problem.value_width - first_column);

  const T* q =
      static_cast<const T*>(problem.q) + token * problem.q_stride + int64_t{head} * problem.width;
  for (int i = thread; i < kHeads * layout.query_width; i += kWarps * 32) {
    const int h = i / layout.query_width, d = i % layout.query_width;
    queries[i] = h < heads && d < problem.width ? to_float(q[h * problem.width + d]) : 0;
  }
  __syncthreads();

  const Cache* keys = static_cast<const Cache*>(problem.keys) + int64_t{kv_head} * problem.width;
  const Cache* values = static_cast<const Cache*>(problem.values) +
                        int64_t{kv_head} * problem.value_width + first_column;
  constexpr bool kScaled = std::is_same_v<Cache, e4m3>;
  const uint32_t* scales = problem.scales + int64_t{kv_head} * problem.slots;  // where kScaled
  HeadState states[kHeads];
  SlotCursor cursor(problem, row);
  const int first_block = first / kBlockKeys;
  for (int block = first_block + (warp + kWarps - first_block % kWarps) % kWarps;
       block * kBlockKeys <= position; block += kWarps) {
    const int key = block * kBlockKeys + lane;
    const bool in_range = first <= key && key <= position;
    const int slot = in_range ? cursor.slot(key) : 0;
    const int node = key - shape.position(0);
    const bool seen = in_range && (node < 0 || node >= 64 || (path >> node & 1) != 0);

    float scores[kHeads] = {}, of_key = 1, of_value = 1;  // scales
    if (seen) {
      if constexpr (kScaled) {
        const KvScales pair{scales[slot]};
        of_key = pair.of_key();
        of_value = pair.of_value();
      }
      const Cache* of_slot = keys + slot * problem.key_stride;
      for (int d = 0; d < problem.width; d += 8) {
        float k[8];
        load_pack(of_slot + d, aligned, problem.width - d, k);
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          if (h >= heads) break;
          const float* of_head = queries + h * layout.query_width + d;
          for (int i = 0; i < 8; ++i) scores[h] = fmaf(of_head[i], k[i], scores[h]);
        }
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      if (h >= heads) break;
      float score = scores[h] * of_key * problem.scale;
      if (problem.soft_cap > 0) score = problem.soft_cap * tanhf(score / problem.soft_cap);
      if (!seen) score = -INFINITY;
      const float largest = warp_max(score);
      if (largest > states[h].largest) states[h].rescale(largest);
      // Scores that all are -infinity weigh nothing.
      scores[h] = score == -INFINITY ? 0 : expf(score - states[h].largest);
      states[h].sum += warp_sum(scores[h]);
      scores[h] *= of_value;
    }

    const int begin = max(first - block * kBlockKeys, 0);
    const int end = min(position + 1 - block * kBlockKeys, kBlockKeys);
#pragma unroll 4
    for (int i = begin; i < end; ++i) {
      const Cache* of_slot = values + __shfl_sync(~0U, slot, i) * problem.value_stride;
      float v[kPairs][2] = {};
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        const int column = 64 * pair + 2 * lane;
        if (column < columns) load_pack(of_slot + column, aligned, columns - column, v[pair]);
      }
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        if (h >= heads) break;
        const float weight = __shfl_sync(~0U, scores[h], i);
#pragma unroll
        for (int pair = 0; pair < kPairs; ++pair) {
          states[h].values[pair].x = fmaf(weight, v[pair][0], states[h].values[pair].x);
          states[h].values[pair].y = fmaf(weight, v[pair][1], states[h].values[pair].y);
        }
      }
    }
  }

#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const int part = warp * kHeads + h;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      *reinterpret_cast<float2*>(parts + part * kColumns + 64 * pair + 2 * lane) =
          states[h].values[pair];
    }
    if (lane == 0) {
      stats[2 * part] = states[h].largest;
      stats[2 * part + 1] = states[h].sum;
    }
  }
  __syncthreads();

  T* out = static_cast<T*>(problem.out) + token * problem.out_stride +
           int64_t{head} * problem.value_width + first_column;
  for (int i = thread; i < heads * columns; i += kWarps * 32) {
    const int h = i / columns, column = i % columns;
    Merged merged;
    for (int other = 0; other < kWarps; ++other) {
      const int part = other * kHeads + h;
      merged.add(stats[2 * part], stats[2 * part + 1], parts[part * kColumns + column]);
    }
    if (problem.sinks != nullptr) merged.add(problem.sinks[head + h], 1, 0);
    out[h * problem.value_width + column] = from_float<T>(merged.value / merged.sum);
  }
}

bool aligned(const void* data, int64_t stride, int width, DType type) {
  const auto vector = static_cast<int64_t>(16 / size_of(type));
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % vector == 0 && width % 8 == 0;
}

}  // namespace

void attend_general(const Context& context, const AttentionProblem& problem) {
  const int chunks = static_cast<int>(divide_up(problem.group, kHeads));
  const Grid grid{.blocks = dim3(problem.tokens, problem.kv_heads * chunks,
                                 static_cast<unsigned>(divide_up(problem.value_width, kColumns))),
                  .threads = kWarps * 32,
                  .shared_bytes = SharedLayout(problem.width).bytes()};
  const bool whole =
      aligned(problem.keys, problem.key_stride, problem.width, problem.cache) &&
      aligned(problem.values, problem.value_stride, problem.value_width, problem.cache);
  with_activation_type(problem.activation, [&]<class T>(TypeTag<T>) {
    with_cache_type(problem.cache, [&]<class Cache>(TypeTag<Cache>) {
      allow_shared_bytes(general<T, Cache>, grid.shared_bytes);
      launch(context, grid, general<T, Cache>, problem, whole);
    });
  });
}

}  // namespace spate::cuda
