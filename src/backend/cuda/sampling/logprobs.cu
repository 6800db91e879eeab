// Logprobs: a block a row. One pass gives the sum, the rank and the largest logits of groups of
// tokens; a second gathers the tokens that can be among the best K.
#include <climits>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/sampling/select.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kMostTop = 512;  // alternatives

struct Scoring {
  Rows<const float> logits;
  int size, top;
  bool aligned;
  const int32_t* chosen;
  float* logprob;
  int32_t* rank;
  Rows<int32_t> top_tokens;
  Rows<float> top_logprobs;
};

// The logarithm of the sum of exp over a row, kept as two numbers so that subtracting it is exact
// near the largest logit.
struct LogSum {
  float largest;
  double rest;

  __device__ float logprob(float logit) const {
    if (logit == -INFINITY) return -INFINITY;
    if (largest == INFINITY) return logit == INFINITY ? 0 : -INFINITY;
    return static_cast<float>(static_cast<double>(logit) - static_cast<double>(largest) - rest);
  }
};

// The best `top` candidates, in no order: fills `keys` and `tokens`.
__device__ void best_of(const Candidates& candidates, int top, uint32_t most, uint32_t* keys,
                        int32_t* tokens) {
  const auto each = [&](const auto& body) { candidates.each(body); };
  const auto wanted = static_cast<uint64_t>(top);
  const Choice last =
      select(each, One{}, candidates.bound, most, wanted, candidates.memory->histogram);
  const uint64_t equal = wanted - last.before;
  const int32_t end = equal < last.at ? nth_token(candidates, last.key, equal) : INT_MAX;
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  each([&](uint32_t key, int32_t token) {
    if (key < last.key || (key == last.key && token > end)) return;
    const int at = atomicAdd(&count, 1);
    keys[at] = key;
    tokens[at] = token;
  });
  __syncthreads();
}

__global__ void __launch_bounds__(kRowThreads) score_rows(Scoring scoring) {
  extern __shared__ uint4 shared[];
  __shared__ uint32_t keys[kMostTop];
  __shared__ int32_t tokens[kMostTop];
  RowMemory& memory = *reinterpret_cast<RowMemory*>(shared);
  const int64_t b = blockIdx.x;
  const Row row{scoring.logits[b], scoring.size, scoring.aligned, 1};
  const int32_t token = scoring.chosen[b];
  const float chosen = token < 0 ? -INFINITY : fmaxf(row.logits[token], -INFINITY);
  int larger = 0;
  const Summary summary = summarise(row, true, memory, [&](const float(&values)[kQuad]) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) larger += values[j] > chosen ? 1 : 0;
  });
  larger = of_block<kRowThreads>(larger, Plus{});
  const LogSum sum{summary.largest, log(summary.sum)};
  if (threadIdx.x == 0) {
    scoring.logprob[b] = sum.logprob(chosen);
    scoring.rank[b] = 1 + larger;
  }
  if (scoring.top == 0) return;

  const uint32_t most = key_of(summary.largest);
  const Choice bound = select(EachMaximum{memory}, One{}, kKeyOfMinusInfinity, most,
                              static_cast<uint64_t>(scoring.top), memory.histogram);
  best_of(gather(row, bound.key, memory), scoring.top, most, keys, tokens);
  const int i = static_cast<int>(threadIdx.x);
  if (i >= scoring.top) return;
  int better = 0;
  for (int j = 0; j < scoring.top; ++j) {
    better += keys[j] > keys[i] || (keys[j] == keys[i] && tokens[j] < tokens[i]) ? 1 : 0;
  }
  scoring.top_tokens[b][better] = tokens[i];
  scoring.top_logprobs[b][better] = sum.logprob(value_of(keys[i]));
}

}  // namespace

void run(Context& context, const op::Logprobs& op) {
  const int64_t size = op.logits.row_size();
  const int64_t top = op.top_tokens.data == nullptr ? 0 : op.top_tokens.row_size();
  check(top <= kMostTop && top <= size, "logprobs with ", top, " alternatives of ", size,
        " tokens, expected at most ", kMostTop);
  allow_shared_bytes(score_rows, sizeof(RowMemory));
  launch(context,
         {.blocks = static_cast<unsigned>(op.logits.rows()),
          .threads = kRowThreads,
          .shared_bytes = sizeof(RowMemory)},
         score_rows,
         Scoring{.logits = rows_of<const float>(op.logits),
                 .size = static_cast<int>(size),
                 .top = static_cast<int>(top),
                 .aligned = packs_fit<kQuad>(size, op.logits),
                 .chosen = op.chosen.as<int32_t>(),
                 .logprob = op.logprob.as<float>(),
                 .rank = op.rank.as<int32_t>(),
                 .top_tokens = rows_of<int32_t>(op.top_tokens),
                 .top_logprobs = rows_of<float>(op.top_logprobs)});
}

}  // namespace spate::cuda
