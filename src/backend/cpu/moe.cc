// Mixtures of experts but for their products: plain loops, a token at a time.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {
namespace {

constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kTaken = -std::numeric_limits<float>::infinity();  // never the best

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

void score_row(const float* logits, op::Routing::Score kind, std::span<float> scores) {
  if (kind == op::Routing::Score::sigmoid) {
    for (size_t e = 0; e < scores.size(); ++e) scores[e] = sigmoid(logits[e]);
    return;
  }
  const float largest = *std::max_element(logits, logits + scores.size());
  float sum = 0;
  for (size_t e = 0; e < scores.size(); ++e) {
    scores[e] = std::exp(logits[e] - largest);
    sum += scores[e];
  }
  for (float& score : scores) score /= sum;
}

// The best is taken away.
size_t take_best(std::span<float> values) {
  const auto best = std::max_element(values.begin(), values.end());  // the first of equal ones
  *best = kTaken;
  return static_cast<size_t>(best - values.begin());
}

// Takes all experts away that are in none of the best groups.
void keep_best_groups(const op::Routing& routing, std::span<float> choice) {
  const auto groups = static_cast<size_t>(routing.groups);
  const size_t size = choice.size() / groups;
  std::vector<float> scores;
  for (size_t g = 0; g < groups; ++g) {
    float best = kTaken, second = kTaken;
    for (const float value : choice.subspan(g * size, size)) {
      second = std::max(second, std::min(best, value));
      best = std::max(best, value);
    }
    const bool two = routing.group_score == op::Routing::GroupScore::two_best && size > 1;
    scores.push_back(std::max(two ? best + second : best, kLowest));
  }
  std::vector<bool> kept(groups, false);
  for (int64_t i = 0; i < routing.top_groups; ++i) kept[take_best(scores)] = true;
  for (size_t e = 0; e < choice.size(); ++e) {
    if (!kept[e / size]) choice[e] = kTaken;
  }
}

void route(const op::Route& op, int64_t t, std::span<float> scores, std::span<float> choice) {
  score_row(op.logits.row<float>(t), op.routing.score, scores);
  const auto* bias = op.bias.as<float>();
  for (size_t e = 0; e < scores.size(); ++e) {
    const float value = scores[e] + (bias == nullptr ? 0 : bias[e]);
    choice[e] = value >= kLowest ? value : kLowest;  // a NaN, too
  }
  if (op.routing.groups > 1) keep_best_groups(op.routing, choice);
  const int64_t count = op.chosen.row_size();
  auto* chosen = op.chosen.row<int32_t>(t);
  auto* weights = op.weights.row<float>(t);
  float sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    const size_t expert = take_best(choice);
    chosen[k] = static_cast<int32_t>(expert);
    weights[k] = scores[expert];
    sum += scores[expert];
  }
  const float factor = op.routing.normalize ? op.routing.scale / (sum + 1e-20F) : op.routing.scale;
  for (int64_t k = 0; k < count; ++k) weights[k] *= factor;
}

}  // namespace

void run(Context& context, const op::Route& op) {
  const auto experts = static_cast<size_t>(op.logits.row_size());
  constexpr int64_t kWork = 16;  // of an expert, in elements: exponentials and searches
  for_rows(context, op.logits.rows(), kWork * op.logits.row_size(), [&](int64_t t, int thread) {
    auto* memory = static_cast<float*>(context.scratch(thread, 2 * experts * sizeof(float)));
    route(op, t, {memory, experts}, {memory + experts, experts});
  });
}

void run(Context& /*context*/, const op::GroupPairs& op) {
  const int64_t each = op.chosen.row_size();
  const auto pairs = static_cast<size_t>(op.chosen.shape.elements());
  const std::span chosen(op.chosen.as<int32_t>(), pairs);
  const std::span begin(op.begin.as<int32_t>(), static_cast<size_t>(op.begin.rows()));
  std::ranges::fill(begin, 0);
  for (const int32_t expert : chosen) ++begin[static_cast<size_t>(expert) + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<int32_t> next(begin.begin(), begin.end() - 1);
  for (size_t pair = 0; pair < pairs; ++pair) {
    const int32_t place = next[static_cast<size_t>(chosen[pair])]++;
    op.places.as<int32_t>()[pair] = place;
    op.tokens.as<int32_t>()[place] = static_cast<int32_t>(static_cast<int64_t>(pair) / each);
  }
}

void run(Context& context, const op::ExpertSum& op) {
  const int64_t each = op.places.row_size(), width = op.out.row_size();
  for_rows(context, op.out.rows(), each * width, [&](int64_t t, int /*thread*/) {
    float* out = op.out.row<float>(t);
    const auto* places = op.places.row<int32_t>(t);
    const auto* weights = op.weights.row<float>(t);
    std::fill_n(out, width, 0.0F);
    for (int64_t k = 0; k < each; ++k) {
      const float* row = op.pairs.row<float>(places[k]);
      for (int64_t c = 0; c < width; ++c) out[c] += weights[k] * row[c];
    }
  });
}

void run(Context& context, const op::GateRows& op) {
  const RowKernels& rows = *context.kernels().rows;
  for_rows(context, op.x.rows(), op.x.row_size(), [&](int64_t t, int /*thread*/) {
    rows.scale(op.x.row<float>(t), sigmoid(*op.gate.row<float>(t)), op.x.row_size());
  });
}

}  // namespace spate::cpu
