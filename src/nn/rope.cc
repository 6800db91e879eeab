#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

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

// Of the first `pairs` pairs, how much of the frequency is divided by `factor`: 0 to 1.
class YarnRamp {
 public:
  YarnRamp(const Config& config, int64_t pairs) {
    const RopeScaling& scaling = config.rope_scaling;
    // The pair, and the part of one, that turns so many times in the original context.
    const auto pair_of = [&](double turns) {
      const auto context = static_cast<double>(scaling.original_max_positions);
      return static_cast<double>(pairs) * std::log(context / (turns * 2 * std::numbers::pi)) /
             std::log(config.rope_theta);
    };
    first_ = pair_of(scaling.beta_fast);
    last_ = pair_of(scaling.beta_slow);
    if (scaling.whole_pairs) {
      first_ = std::floor(first_);
      last_ = std::ceil(last_);
    }
    first_ = std::max(first_, 0.0);
    last_ = std::min(last_, static_cast<double>(2 * pairs - 1));
    if (first_ == last_) last_ += 0.001;
  }
  double of(int64_t pair) const {
    return std::clamp((static_cast<double>(pair) - first_) / (last_ - first_), 0.0, 1.0);
  }

 private:
  double first_, last_;
};

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

}  // namespace

float rope_magnitude(const Config& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind != RopeScaling::Kind::yarn) return 1;
  if (scaling.magnitude != 0) return static_cast<float>(scaling.magnitude);
  if (scaling.mscale == 0 || scaling.mscale_all == 0) {
    return static_cast<float>(yarn_magnitude(scaling.factor, 1));
  }
  return static_cast<float>(yarn_magnitude(scaling.factor, scaling.mscale) /
                            yarn_magnitude(scaling.factor, scaling.mscale_all));
}

float latent_score_factor(const Config& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind == RopeScaling::Kind::none || scaling.mscale_all == 0) return 1;
  const double magnitude = yarn_magnitude(scaling.factor, scaling.mscale_all);
  return static_cast<float>(magnitude * magnitude);
}

std::vector<float> rope_frequencies(const Config& config) {
  const int64_t pairs = config.rope_width / 2;
  if (!config.rope_factors.empty() && static_cast<int64_t>(config.rope_factors.size()) != pairs) {
    fail("the rope factors are ", config.rope_factors.size(), " numbers, expected ", pairs,
         ", one for each pair of a head's elements");
  }
  std::optional<YarnRamp> yarn;
  if (config.rope_scaling.kind == RopeScaling::Kind::yarn) yarn.emplace(config, pairs);
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
    } else if (yarn) {
      const double scaled = yarn->of(i);
      frequency *= (1 - scaled) + scaled / config.rope_scaling.factor;
    }
    out.push_back(static_cast<float>(frequency));
  }
  return out;
}

}  // namespace spate
