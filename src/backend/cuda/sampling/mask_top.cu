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
  Histogram& histogram = candidates.memory.histogram;
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

// The smallest f32 that is not below `value`.
__device__ float round_up(double value) { return __double2float_ru(value); }

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
  const bool cuts_tail = limits.uses_top_k || limits.uses_top_p;
  if (row.temperature == 0) return;
  if (row.temperature == 1 && !cuts_tail && !limits.uses_min_p) return;

  Cut cut;
  int listed = -1;  // candidates in memory, which hold all survivors
  if (cuts_tail || limits.uses_min_p) {
    const bool with_sum = limits.uses_top_p && !limits.uses_top_k;
    const Summary summary = summarise(row, with_sum, memory, [](const float(&)[kQuad]) {});
    __syncthreads();
    if (isinf(summary.largest)) {  // finite logits have no probability beside +infinity
      if (summary.largest > 0) cut.least = key_of(summary.largest);
    } else {
      if (cuts_tail) {
        const uint32_t bound = bound_of(limits, summary, memory);
        const Candidates candidates = bound > kLowestKey ? gather(row, bound, memory)
                                                         : Candidates{row, memory, kLowestKey, -1};
        cut = cut_of(limits, summary, candidates);
        listed = candidates.count;
      }
      if (limits.uses_min_p) {
        const uint32_t least =
            key_of(round_up(static_cast<double>(summary.largest) + log(limits.min_p)));
        if (least > cut.least) cut = {.least = least};
      }
    }
  }

  if (listed < 0) {
    row.each_quad([&](int token, const float(&values)[kQuad], int) {
      float masked[kQuad];
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        masked[j] = cut.keeps(key_of(values[j]), token + j) ? values[j] : -INFINITY;
      }
      store_pack(logits + token, row.aligned, row.size - token, masked);
    });
    return;
  }
  constexpr float kMasked[kQuad] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  for (int token = threadIdx.x * kQuad; token < row.size; token += kRowThreads * kQuad) {
    store_pack(logits + token, row.aligned, row.size - token, kMasked);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < listed; i += kRowThreads) {
    const uint32_t key = memory.keys[i];
    if (cut.keeps(key, memory.tokens[i])) logits[memory.tokens[i]] = value_of(key);
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
