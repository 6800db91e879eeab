// Rotary frequencies of a model, with the scalings that its config may ask for.
#pragma once

#include <vector>

#include "load/config.h"

namespace spate {

// R / 2 angles a position, in radians: theta^(-2i/R), then divided by the file's own factors, or
// stretched by `linear` or `llama3` scaling. llama3 (Llama 3.1 to 3.3): wavelengths longer than the
// original context over low_frequency_factor are divided by `factor`, those shorter than it over
// high_frequency_factor stay, those between are blended.
std::vector<float> rope_frequencies(const Config& config);

}  // namespace spate
