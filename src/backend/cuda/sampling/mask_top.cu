// MaskTop: a block a row. One pass finds the largest logits of groups of tokens, from which a bound
// follows that all survivors reach; a second gathers the tokens above it into shared memory, where
// the cut is found exactly; then the row is overwritten. Where the bound lets too many through, or
// there is none, the cut is found in the row itself, by a few more passes.
#include <climits>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/sampling/select.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

struct Masking {
  Rows<float> logits;
  int size;
  bool aligned;
  const float *temperature, *top_p, *min_p;
  const int32_t* top_k;
};

struct Limits {
  bool uses_top_k, uses_top_p, uses_min_p;
  uint64_t top_k;
  double top_p, min_p;
};

// The mass e^(logit - largest) of a token in units of 2^-40: a sum of 2^18 such roundings is far
// finer than the exponential itself.
constexpr double kMassUnits = 0x1p40;
struct Mass {
  float largest;
  __device__ uint64_t operator()(uint32_t key) const {
    return __float2ull_rn(expf(value_of(key) - largest) * static_cast<float>(kMassUnits));
  }
};

__device__ uint64_t mass_to_reach(double share, double total) {
  const double target = ceil(share * total);
  return target > 1 ? static_cast<uint64_t>(target) : 1;
}

// Where a row is cut: keys below `least` go, and among those equal to it the tokens after `last`.
struct Cut {
  uint32_t least = 0;
  int32_t last = INT_MAX;
  __device__ bool keeps(uint32_t key, int32_t token) const {
    return key > least || (key == least && token <= last);
  }
};

// A key that all survivors reach, or kLowestKey where none is known, from the maxima of groups.
__device__ uint32_t bound_of(const Limits& limits, const Summary& summary, RowMemory& memory) {
  const EachMaximum each{memory};
  const uint32_t most = key_of(summary.largest);
  const Choice choice =
      limits.uses_top_k
          ? select(each, One{}, kLowestKey, most, limits.top_k, memory.histogram)
          : select(each, Mass{summary.largest}, kLowestKey, most,
                   mass_to_reach(limits.top_p, summary.sum * kMassUnits), memory.histogram);
  return choice.reached ? choice.key : kLowestKey;
}

__device__ Cut cut_of(const Limits& limits, const Summary& summary, const Candidates& candidates) {
  Histogram& histogram = candidates.memory->histogram;
  const uint32_t most = key_of(summary.largest);
  const auto each = [&](const auto& body) { candidates.each(body); };
  Cut cut{.least = candidates.bound};
  if (limits.uses_top_k) {
    const Choice kth = select(each, One{}, candidates.bound, most, limits.top_k, histogram);
    if (kth.reached) cut.least = kth.key;  // else fewer are finite
  }
  if (limits.uses_top_p) {
    const Mass mass{summary.largest};
    double total = summary.sum * kMassUnits;
    if (limits.uses_top_k) {
      uint64_t sum = 0;
      each([&](uint32_t key, int32_t) { sum += key >= cut.least ? mass(key) : 0; });
      total = static_cast<double>(of_block<kRowThreads>(sum, Plus{}));
    }
    const uint64_t target = mass_to_reach(limits.top_p, total);
    const Choice end = select(each, mass, cut.least, most, target, histogram);
    if (end.reached) {
      const uint64_t one = mass(end.key), missing = target - end.before;
      const uint64_t wanted = (missing + one - 1) / one;
      cut.least = end.key;
      if (wanted * one < end.at) cut.last = nth_token(candidates, end.key, wanted);
    }
  }
  return cut;
}

// Divides a row and masks all that the cut does not keep. Says whether the thread has seen an
// infinite quotient.
__device__ bool overwrite(float* logits, const Row& row, const Cut& cut) {
  const float floor = row.raw_floor(cut.least);
  bool infinite = false;
  row.each_quad([&](int token, const float(&raw)[kQuad]) {
    float masked[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      masked[j] = -INFINITY;
      if (raw[j] < floor) continue;
      const float value = row.divided(raw[j]);
      if (cut.keeps(key_of(value), token + j)) masked[j] = value;
    }
    infinite |= largest_of(masked) == INFINITY;
    store_pack(logits + token, row.aligned, row.size - token, masked);
  });
  return infinite;
}

// The same where the survivors are known: nothing is read.
__device__ void overwrite(float* logits, const Candidates& survivors, const Cut& cut) {
  constexpr float kMasked[kQuad] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  const Row& row = survivors.row;
  for (int token = threadIdx.x * kQuad; token < row.size; token += kRowThreads * kQuad) {
    store_pack(logits + token, row.aligned, row.size - token, kMasked);
  }
  __syncthreads();
  survivors.each([&](uint32_t key, int32_t token) {
    if (cut.keeps(key, token)) logits[token] = value_of(key);
  });
}

__device__ Cut with_min_p(Cut cut, double min_p, float largest) {
  const float least = __double2float_ru(static_cast<double>(largest) + log(min_p));
  return key_of(least) > cut.least ? Cut{.least = key_of(least)} : cut;
}

__global__ void __launch_bounds__(kRowThreads) mask_rows(Masking masking) {
  extern __shared__ uint4 shared[];
  RowMemory& memory = *reinterpret_cast<RowMemory*>(shared);
  const int64_t b = blockIdx.x;
  float* logits = masking.logits[b];
  const Row row{logits, masking.size, masking.aligned, masking.temperature[b]};
  const int32_t top_k = masking.top_k[b];
  const float top_p = masking.top_p[b], min_p = masking.min_p[b];
  const Limits limits{.uses_top_k = top_k > 0 && top_k < row.size,
                      .uses_top_p = top_p<1, .uses_min_p = min_p> 0,
                      .top_k = static_cast<uint64_t>(top_k),
                      .top_p = top_p,
                      .min_p = min_p};
  const Cut only_infinite{.least = key_of(INFINITY)};  // finite logits beside it: no probability
  if (row.temperature == 0) return;
  if (!limits.uses_top_k && !limits.uses_top_p && !limits.uses_min_p) {
    if (row.temperature == 1) return;
    if (__syncthreads_or(overwrite(logits, row, Cut{}))) {
      overwrite(logits, Row{logits, row.size, row.aligned, 1}, only_infinite);
    }
    return;
  }
  const bool with_sum = limits.uses_top_p && !limits.uses_top_k;
  const Summary summary = summarise(row, with_sum, memory, [](const float(&)[kQuad]) {});
  __syncthreads();
  if (isinf(summary.largest)) {
    overwrite(logits, row, summary.largest > 0 ? only_infinite : Cut{});
    return;
  }
  Candidates candidates{row, &memory, kLowestKey, -1};
  Cut cut;
  if (limits.uses_top_k || limits.uses_top_p) {
    const uint32_t bound = bound_of(limits, summary, memory);
    if (bound > kLowestKey) candidates = gather(row, bound, memory);
    cut = cut_of(limits, summary, candidates);
  }
  if (limits.uses_min_p) cut = with_min_p(cut, limits.min_p, summary.largest);
  if (candidates.count >= 0) {
    overwrite(logits, candidates, cut);
  } else {
    overwrite(logits, row, cut);
  }
}

}  // namespace

void run(Context& context, const op::MaskTop& op) {
  const int64_t size = op.logits.row_size();
  allow_shared_bytes(mask_rows, sizeof(RowMemory));
  launch(context,
         {.blocks = static_cast<unsigned>(op.logits.rows()),
          .threads = kRowThreads,
          .shared_bytes = sizeof(RowMemory)},
         mask_rows,
         Masking{.logits = rows_of<float>(op.logits),
                 .size = static_cast<int>(size),
                 .aligned = packs_fit<kQuad>(size, op.logits),
                 .temperature = op.temperature.as<float>(),
                 .top_p = op.top_p.as<float>(),
                 .min_p = op.min_p.as<float>(),
                 .top_k = op.top_k.as<int32_t>()});
}

}  // namespace spate::cuda
