// One entry of a vocabulary.
#pragma once

#include <cstdint>

namespace spate {

using Token = int32_t;

}  // namespace spate
