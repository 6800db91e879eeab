#include "nn/rope.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace spate {
namespace {

double llama3_scaled(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double context = static_cast<double>(scaling.original_max_positions);
  const double longest_kept = context / scaling.high_frequency_factor;
  const double shortest_scaled = context / scaling.low_frequency_factor;
  if (wavelength < longest_kept) return frequency;
  if (wavelength > shortest_scaled) return frequency / scaling.factor;
  const double blend = (context / wavelength - scaling.low_frequency_factor) /
                       (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - blend) * frequency / scaling.factor + blend * frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const Config& config) {
  const int64_t pairs = config.rope_width / 2;
  if (!config.rope_factors.empty() && static_cast<int64_t>(config.rope_factors.size()) != pairs) {
    fail("the rope factors are ", config.rope_factors.size(), " numbers, expected ", pairs,
         ", one for each pair of a head's elements");
  }
  std::vector<float> out;
  for (int64_t i = 0; i < pairs; ++i) {
    double frequency =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(2 * pairs));
    if (!config.rope_factors.empty()) {
      frequency /= config.rope_factors[static_cast<size_t>(i)];
    } else if (config.rope_scaling.kind == RopeScaling::Kind::linear) {
      frequency /= config.rope_scaling.factor;
    } else if (config.rope_scaling.kind == RopeScaling::Kind::llama3) {
      frequency = llama3_scaled(frequency, config.rope_scaling);
    }
    out.push_back(static_cast<float>(frequency));
  }
  return out;
}

}  // namespace spate
