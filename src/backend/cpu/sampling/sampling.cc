// Sampling ops, row by row.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/cpu/ops.h"
#include "base/random.h"

namespace spate::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Token ids from the largest logit down; ties by the smaller id.
std::vector<int32_t> ranking(const float* logits, int64_t size) {
  std::vector<int32_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return order;
}

// log of the sum of exp(logits)
double log_sum_exp(const float* logits, int64_t size) {
  const double largest = *std::max_element(logits, logits + size);
  double sum = 0;
  for (int64_t v = 0; v < size; ++v) sum += std::exp(logits[v] - largest);
  return largest + std::log(sum);
}

}  // namespace

void run(Context& /*context*/, const op::Penalize& op) {
  for (int64_t b = 0; b < op.logits.rows(); ++b) {
    const float repetition = op.repetition.as<float>()[b];
    for (int32_t n = op.begin.as<int32_t>()[b]; n < op.begin.as<int32_t>()[b + 1]; ++n) {
      float& logit = op.logits.row<float>(b)[op.tokens.as<int32_t>()[n]];
      const auto count = static_cast<float>(op.count.as<int32_t>()[n]);
      logit = logit > 0 ? logit / repetition : logit * repetition;
      if (count > 0) logit -= op.frequency.as<float>()[b] * count + op.presence.as<float>()[b];
    }
  }
}

void run(Context& /*context*/, const op::LogitEdit& op) {
  for (int64_t b = 0; b < op.logits.rows(); ++b) {
    for (int32_t n = op.begin.as<int32_t>()[b]; n < op.begin.as<int32_t>()[b + 1]; ++n) {
      op.logits.row<float>(b)[op.tokens.as<int32_t>()[n]] += op.values.as<float>()[n];
    }
  }
}

void run(Context& /*context*/, const op::KeepOnly& op) {
  const int64_t size = op.logits.row_size();
  for (int64_t b = 0; b < op.logits.rows(); ++b) {
    const int32_t begin = op.begin.as<int32_t>()[b], end = op.begin.as<int32_t>()[b + 1];
    if (begin == end) continue;
    float* logits = op.logits.row<float>(b);
    std::vector<float> kept(static_cast<size_t>(size), -kInfinity);
    for (int32_t n = begin; n < end; ++n) {
      const int32_t token = op.tokens.as<int32_t>()[n];
      kept[static_cast<size_t>(token)] = logits[token];
    }
    std::copy(kept.begin(), kept.end(), logits);
  }
}

void run(Context& /*context*/, const op::MaskTop& op) {
  const int64_t size = op.logits.row_size();
  for (int64_t b = 0; b < op.logits.rows(); ++b) {
    const float temperature = op.temperature.as<float>()[b];
    if (temperature == 0) continue;
    float* logits = op.logits.row<float>(b);
    for (int64_t v = 0; v < size; ++v) logits[v] /= temperature;
    const int32_t top_k = op.top_k.as<int32_t>()[b];
    if (top_k > 0 && top_k < size) {
      const float limit = logits[ranking(logits, size)[static_cast<size_t>(top_k) - 1]];
      for (int64_t v = 0; v < size; ++v) {
        if (logits[v] < limit) logits[v] = -kInfinity;
      }
    }
    const float top_p = op.top_p.as<float>()[b];
    if (top_p < 1) {
      const double log_sum = log_sum_exp(logits, size);
      double reached = 0;
      bool first = true;
      for (const int32_t token : ranking(logits, size)) {
        const double probability = std::exp(logits[token] - log_sum);
        if (!first && reached >= top_p) logits[token] = -kInfinity;
        reached += probability;
        first = false;
      }
    }
    const float min_p = op.min_p.as<float>()[b];
    if (min_p > 0) {
      const float limit = *std::max_element(logits, logits + size) + std::log(min_p);
      for (int64_t v = 0; v < size; ++v) {
        if (logits[v] < limit) logits[v] = -kInfinity;
      }
    }
  }
}

void run(Context& /*context*/, const op::Draw& op) {
  for (int64_t b = 0; b < op.logits.rows(); ++b) {
    const float* logits = op.logits.row<float>(b);
    const auto* words = reinterpret_cast<const uint32_t*>(op.key.row<int32_t>(b));
    const uint64_t key = words[0] | uint64_t{words[1]} << 32;
    const auto position = static_cast<uint64_t>(op.position.as<int32_t>()[b]);
    float best = -kInfinity;
    int32_t chosen = 0;
    for (int32_t v = 0; v < op.logits.row_size(); ++v) {
      float score = logits[v];
      if (op.temperature.as<float>()[b] > 0 && score > -kInfinity) {
        const uint32_t word = philox(key, position, static_cast<uint64_t>(v) / 4).word[v % 4];
        score -= std::log(-std::log(open_uniform(word)));
      }
      if (score > best) {
        best = score;
        chosen = v;
      }
    }
    op.out.as<int32_t>()[b] = chosen;
  }
}

void run(Context& /*context*/, const op::Logprobs& op) {
  const int64_t size = op.logits.row_size();
  for (int64_t b = 0; b < op.logits.rows(); ++b) {
    const float* logits = op.logits.row<float>(b);
    const double log_sum = log_sum_exp(logits, size);
    const float chosen = logits[op.chosen.as<int32_t>()[b]];
    op.logprob.as<float>()[b] = static_cast<float>(chosen - log_sum);
    op.rank.as<int32_t>()[b] = 1 + static_cast<int32_t>(std::count_if(
                                       logits, logits + size, [&](float x) { return x > chosen; }));
    if (op.top_tokens.data == nullptr) continue;
    const std::vector<int32_t> order = ranking(logits, size);
    for (int64_t k = 0; k < op.top_tokens.row_size(); ++k) {
      op.top_tokens.row<int32_t>(b)[k] = order[static_cast<size_t>(k)];
      op.top_logprobs.row<float>(b)[k] =
          static_cast<float>(logits[order[static_cast<size_t>(k)]] - log_sum);
    }
  }
}

}  // namespace spate::cpu
