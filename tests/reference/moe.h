// Mixtures of experts in plain double loops, as backend/ops/moe.h describes them.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/ops/moe.h"

namespace spate::reference {

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Chosen {
  std::vector<int64_t> experts;
  std::vector<double> weights;
};

// Indices by value, the largest first; ties by the smaller index.
inline std::vector<int64_t> by_value(const std::vector<double>& values) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  return order;
}

// What one token chooses. `bias` may be empty.
inline Chosen route(const std::vector<double>& logits, const std::vector<double>& bias,
                    int64_t count, const op::Routing& routing) {
  std::vector<double> scores;
  const double largest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const double logit : logits) {
    const bool softmax = routing.score == op::Routing::Score::softmax;
    scores.push_back(softmax ? std::exp(logit - largest) : sigmoid(logit));
    total += scores.back();
  }
  if (routing.score == op::Routing::Score::softmax) {
    for (double& score : scores) score /= total;
  }
  std::vector<double> choice = scores;
  for (size_t e = 0; e < bias.size(); ++e) choice[e] += bias[e];

  const size_t size = choice.size() / static_cast<size_t>(routing.groups);
  std::vector<double> of_group;
  for (size_t g = 0; g < static_cast<size_t>(routing.groups); ++g) {
    std::vector<double> group(choice.begin() + static_cast<ptrdiff_t>(g * size),
                              choice.begin() + static_cast<ptrdiff_t>((g + 1) * size));
    std::sort(group.rbegin(), group.rend());
    const bool two = routing.group_score == op::Routing::GroupScore::two_best && size > 1;
    of_group.push_back(two ? group[0] + group[1] : group[0]);
  }
  std::vector<int64_t> groups = by_value(of_group);
  groups.resize(static_cast<size_t>(routing.top_groups));

  Chosen out;
  double sum = 0;
  for (const int64_t expert : by_value(choice)) {
    const auto group = expert / static_cast<int64_t>(size);
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) continue;
    if (static_cast<int64_t>(out.experts.size()) == count) break;
    out.experts.push_back(expert);
    out.weights.push_back(scores[static_cast<size_t>(expert)]);
    sum += out.weights.back();
  }
  for (double& weight : out.weights) weight *= routing.scale / (routing.normalize ? sum : 1);
  return out;
}

}  // namespace spate::reference
