// Route: a warp for each token, with the scores of all experts in shared memory.
#include <cfloat>
#include <climits>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

using op::Routing;

constexpr float kTaken = -INFINITY;  // never the best

struct RouteProblem {
  Rows<const float> logits;
  const float* bias;  // or null
  int experts, chosen_each;
  Rows<int32_t> chosen;
  Rows<float> weights;
  Routing routing;
};

__device__ inline int lane() { return static_cast<int>(threadIdx.x); }

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// Whole numbers in the order of the floats, none of which is a NaN or -0.
__device__ inline uint32_t order_of(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// The place of the largest value, the first of equal ones, in all lanes. It is taken away.
__device__ int take_best(float* values, int count) {
  float best = kTaken;
  int index = INT_MAX;
  for (int i = lane(); i < count; i += kWarp) {
    if (values[i] > best) {
      best = values[i];
      index = i;
    }
  }
  const uint32_t most = __reduce_max_sync(~0U, order_of(best));
  index = __reduce_min_sync(~0U, order_of(best) == most ? index : INT_MAX);
  if (lane() == 0) values[index] = kTaken;
  __syncwarp();
  return index;
}

__device__ void score(const RouteProblem& p, const float* logits, float* scores) {
  if (p.routing.score == Routing::Score::sigmoid) {
    for (int e = lane(); e < p.experts; e += kWarp) scores[e] = sigmoid(logits[e]);
    return;
  }
  float largest = -INFINITY, sum = 0;
  for (int e = lane(); e < p.experts; e += kWarp) largest = fmaxf(largest, logits[e]);
  largest = warp_max(largest);
  for (int e = lane(); e < p.experts; e += kWarp) {
    scores[e] = expf(logits[e] - largest);
    sum += scores[e];
  }
  sum = warp_sum(sum);
  for (int e = lane(); e < p.experts; e += kWarp) scores[e] /= sum;
}

// Takes all experts away that are in none of the best groups.
__device__ void keep_best_groups(const RouteProblem& p, float* choice, float* of_group) {
  const auto groups = static_cast<int>(p.routing.groups);
  const int size = p.experts / groups;
  for (int g = lane(); g < groups; g += kWarp) {
    float best = kTaken, second = kTaken;
    for (int e = g * size; e < (g + 1) * size; ++e) {
      second = fmaxf(second, fminf(best, choice[e]));
      best = fmaxf(best, choice[e]);
    }
    const bool two = p.routing.group_score == Routing::GroupScore::two_best && size > 1;
    of_group[g] = fmaxf(two ? best + second : best, -FLT_MAX);
  }
  __syncwarp();
  for (int64_t i = 0; i < p.routing.top_groups; ++i) take_best(of_group, groups);
  for (int e = lane(); e < p.experts; e += kWarp) {
    if (of_group[e / size] != kTaken) choice[e] = kTaken;
  }
  __syncwarp();
}

__global__ void route(const RouteProblem p) {
  extern __shared__ float memory[];
  float* scores = memory;
  float* choice = scores + p.experts;
  float* of_group = choice + p.experts;
  score(p, p.logits[blockIdx.x], scores);
  for (int e = lane(); e < p.experts; e += kWarp) {
    choice[e] = fmaxf(scores[e] + (p.bias == nullptr ? 0 : p.bias[e]), -FLT_MAX);  // no NaN
  }
  __syncwarp();
  if (p.routing.groups > 1) keep_best_groups(p, choice, of_group);
  int32_t* chosen = p.chosen[blockIdx.x];
  float* weights = p.weights[blockIdx.x];
  float sum = 0;
  for (int k = 0; k < p.chosen_each; ++k) {
    const int expert = take_best(choice, p.experts);
    sum += scores[expert];
    if (lane() == 0) chosen[k] = expert;
  }
  __syncwarp();
  const float factor = p.routing.normalize ? p.routing.scale / (sum + 1e-20F) : p.routing.scale;
  for (int k = lane(); k < p.chosen_each; k += kWarp) weights[k] = scores[chosen[k]] * factor;
}

}  // namespace

void run(Context& context, const op::Route& op) {
  const RouteProblem problem{.logits = rows_of<const float>(op.logits),
                             .bias = op.bias.as<float>(),
                             .experts = static_cast<int>(op.logits.row_size()),
                             .chosen_each = static_cast<int>(op.chosen.row_size()),
                             .chosen = rows_of<int32_t>(op.chosen),
                             .weights = rows_of<float>(op.weights),
                             .routing = op.routing};
  const auto floats = static_cast<size_t>(2 * op.logits.row_size() + op.routing.groups);
  launch(context,
         {.blocks = static_cast<unsigned>(op.logits.rows()),
          .threads = kWarp,
          .shared_bytes = floats * sizeof(float)},
         route, problem);
}

}  // namespace spate::cuda
