// Rotary frequencies of a model, with the scalings that its config may ask for.
#pragma once

#include <vector>

#include "load/config.h"

namespace spate {

// R / 2 angles a position, in radians: theta^(-2i/R), then divided by the file's own factors, or
// stretched by `linear` or `llama3` scaling. llama3 (Llama 3.1 to 3.3): wavelengths longer than the
// original context over low_frequency_factor are divided by `factor`, those shorter than it over
// high_frequency_factor stay, those between are blended. yarn: pairs that turn more than beta_fast
// times in the original context stay, those that turn less than beta_slow times are divided by
// `factor`, those between are blended by their place.
std::vector<float> rope_frequencies(const Config& config);

// What sine and cosine are multiplied by: 1 unless the scaling is yarn.
float rope_magnitude(const Config& config);

// What latent attention multiplies its scores by, besides 1 over the root of a head's width: the
// square of yarn's magnitude for mscale_all.
float latent_score_factor(const Config& config);

}  // namespace spate
