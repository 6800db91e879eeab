// Norms of heads, rotary positions and the writing of keys and values to their slots. One kernel
// does all or some of it: a block takes a few heads of one token, a warp each; the angles of the
// token's position are made once for the block, and a head lies in shared memory as f32 from the
// first step to the last.
#include <algorithm>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kPack = 4;  // elements: a warp covers a head of 128
constexpr int kMostHeads = 8;
constexpr size_t kMostShared = size_t{48} << 10;

// What happens to heads of one kind: queries, keys or values.
template <class T, class C>
struct Heads {
  Rows<T> x;
  int heads = 0;                  // of a token
  const float* weight = nullptr;  // [D], norms by it
  bool turn = false;              // by the token's position
  bool keep = false;              // the result, in place
  Rows<C> cache{};                // where there is one, written at the token's slot
};

struct Turn {
  const int32_t* positions;
  const float* frequencies;
  int pairs;
  float magnitude;
  bool neighbours;
};

template <class T, class C>
struct HeadWork {
  Heads<T, C> kinds[3];
  int64_t width;
  float eps;
  Turn turn;
  const int32_t* slot;
  bool aligned;
};

// Cosine and sine of position * frequency. The angle is exact in f64: 31 bits of position, 24 of
// frequency; what is left of it after whole quarter turns, at most pi / 4, goes to f32 polynomials
// (Cephes' sinf and cosf).
__device__ float2 cosine_sine(int32_t position, float frequency) {
  const double angle = static_cast<double>(position) * static_cast<double>(frequency);
  const double turns = rint(angle * 0.63661977236758134);  // 2 / pi
  // pi / 2 in two parts.
  const auto rest = static_cast<float>(
      fma(-turns, 6.0771005065061922e-11, fma(-turns, 1.5707963267341256, angle)));
  const auto quarter = static_cast<int>(static_cast<long long>(turns) & 3);
  const float square = rest * rest;
  const float s = ((-1.9515295891e-4F * square + 8.3321608736e-3F) * square - 1.6666654611e-1F) *
                      square * rest +
                  rest;
  const float c =
      ((2.443315711809948e-5F * square - 1.388731625493765e-3F) * square + 4.166664568298827e-2F) *
          square * square -
      0.5F * square + 1;
  switch (quarter) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

template <class T, class C>
__global__ void __launch_bounds__(kMostHeads* kWarp, 6) work_on_heads(HeadWork<T, C> work) {
  extern __shared__ float shared[];
  const int64_t t = blockIdx.x;
  const int lane = threadIdx.x, pairs = work.turn.pairs;
  int h = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  int kind = 0;
  while (kind < 3 && h >= work.kinds[kind].heads) h -= work.kinds[kind++].heads;
  const bool idle = kind == 3;
  const Heads<T, C> heads = work.kinds[idle ? 0 : kind];
  const int64_t width = work.width;
  T* x = heads.x[t] + (idle ? 0 : h) * width;
  // The first pack is on its way while the angles are made.
  float values[kPack];
  if (lane * kPack < width) load_pack(x + lane * kPack, work.aligned, width - lane * kPack, values);

  float* cosine = shared;
  float* sine = cosine + pairs;
  if (pairs > 0) {
    const int32_t position = work.turn.positions[t];
    for (int i = threadIdx.y * kWarp + lane; i < pairs; i += blockDim.y * kWarp) {
      const float2 angle = cosine_sine(position, work.turn.frequencies[i]);
      cosine[i] = angle.x * work.turn.magnitude;
      sine[i] = angle.y * work.turn.magnitude;
    }
    __syncthreads();
  }
  if (idle) return;
  float* head = sine + pairs + threadIdx.y * width;
  float sum = 0;
  for (int64_t i = lane * kPack; i < width; i += kWarp * kPack) {
    if (i >= kWarp * kPack) load_pack(x + i, work.aligned, width - i, values);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      if (i + j < width) head[i + j] = values[j];
      sum = fmaf(values[j], values[j], sum);
    }
  }
  __syncwarp();
  if (heads.weight != nullptr) {
    const float factor = 1 / sqrtf(warp_sum(sum) / static_cast<float>(width) + work.eps);
    for (int64_t i = lane; i < width; i += kWarp) head[i] = head[i] * factor * heads.weight[i];
    __syncwarp();
  }
  if (heads.turn) {
    for (int i = lane; i < pairs; i += kWarp) {
      float& a = head[work.turn.neighbours ? 2 * i : i];
      float& b = head[work.turn.neighbours ? 2 * i + 1 : i + pairs];
      const float old_a = a, old_b = b;
      a = old_a * cosine[i] - old_b * sine[i];
      b = old_a * sine[i] + old_b * cosine[i];
    }
    __syncwarp();
  }
  C* cached = heads.cache.data == nullptr ? nullptr : heads.cache[work.slot[t]] + h * width;
  for (int64_t i = lane * kPack; i < width; i += kWarp * kPack) {
    float values[kPack];
#pragma unroll
    for (int j = 0; j < kPack; ++j) values[j] = i + j < width ? head[i + j] : 0;
    if (heads.keep) store_pack(x + i, work.aligned, width - i, values);
    if (cached != nullptr) store_pack(cached + i, work.aligned, width - i, values);
  }
}

template <class T, class C>
void run_heads(const Context& context, int64_t tokens, const HeadWork<T, C>& work) {
  const int64_t heads = work.kinds[0].heads + work.kinds[1].heads + work.kinds[2].heads;
  const size_t angles = 2 * static_cast<size_t>(work.turn.pairs) * sizeof(float);
  const size_t head = static_cast<size_t>(work.width) * sizeof(float);
  const auto together = static_cast<unsigned>(
      std::clamp<int64_t>(static_cast<int64_t>((kMostShared - angles) / std::max<size_t>(head, 1)),
                          1, std::min<int64_t>(kMostHeads, std::max<int64_t>(heads, 1))));
  launch(context,
         {.blocks = dim3(static_cast<unsigned>(tokens),
                         static_cast<unsigned>(divide_up(heads, together))),
          .threads = dim3(kWarp, together),
          .shared_bytes = angles + together * head},
         work_on_heads<T, C>, work);
}

Turn turn_of(const Tensor& positions, const Rope& rope) {
  return {.positions = positions.as<int32_t>(),
          .frequencies = rope.frequencies.as<float>(),
          .pairs = static_cast<int>(rope.frequencies.rows()),
          .magnitude = rope.magnitude,
          .neighbours = rope.pairs == RopePairs::neighbours};
}

int heads_of(const Tensor& x) { return static_cast<int>(x.shape[1]); }

}  // namespace

void run(Context& context, const op::RopeApply& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    HeadWork<T, T> work{.width = op.x.shape[2],
                        .turn = turn_of(op.positions, op.rope),
                        .aligned = packs_fit<kPack>(op.x.shape[2], op.x)};
    work.kinds[0] =
        Heads<T, T>{.x = rows_of<T>(op.x), .heads = heads_of(op.x), .turn = true, .keep = true};
    run_heads(context, op.x.rows(), work);
  });
}

void run(Context& context, const op::KvWrite& op) {
  with_activation_type(op.key.dtype, [&]<class T>(TypeTag<T>) {
    with_cache_type(op.kv.keys.dtype, [&]<class C>(TypeTag<C>) {
      const int64_t width = op.key.shape[2];
      HeadWork<T, C> work{
          .width = width,
          .turn = {},
          .slot = op.kv.slot.as<int32_t>(),
          .aligned = packs_fit<kPack>(width, op.key, op.value, op.kv.keys, op.kv.values)};
      work.kinds[0] = Heads<T, C>{
          .x = rows_of<T>(op.key), .heads = heads_of(op.key), .cache = rows_of<C>(op.kv.keys)};
      work.kinds[1] = Heads<T, C>{.x = rows_of<T>(op.value),
                                  .heads = heads_of(op.value),
                                  .cache = rows_of<C>(op.kv.values)};
      run_heads(context, op.key.rows(), work);
    });
  });
}

void run(Context& context, const op::QkvNormRopeWrite& op) {
  with_activation_type(op.q.dtype, [&]<class T>(TypeTag<T>) {
    with_cache_type(op.kv.keys.dtype, [&]<class C>(TypeTag<C>) {
      const int64_t width = op.q.shape[2];
      HeadWork<T, C> work{
          .width = width,
          .eps = op.eps,
          .turn = turn_of(op.positions, op.rope),
          .slot = op.kv.slot.as<int32_t>(),
          .aligned = packs_fit<kPack>(width, op.q, op.key, op.value, op.kv.keys, op.kv.values)};
      work.kinds[0] = Heads<T, C>{.x = rows_of<T>(op.q),
                                  .heads = heads_of(op.q),
                                  .weight = op.q_norm.as<float>(),
                                  .turn = true,
                                  .keep = true};
      work.kinds[1] = Heads<T, C>{.x = rows_of<T>(op.key),
                                  .heads = heads_of(op.key),
                                  .weight = op.k_norm.as<float>(),
                                  .turn = true,
                                  .keep = true,
                                  .cache = rows_of<C>(op.kv.keys)};
      work.kinds[2] = Heads<T, C>{.x = rows_of<T>(op.value),
                                  .heads = heads_of(op.value),
                                  .cache = rows_of<C>(op.kv.values)};
      run_heads(context, op.q.rows(), work);
    });
  });
}

}  // namespace spate::cuda
