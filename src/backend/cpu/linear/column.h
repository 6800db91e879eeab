// One row of a placed weight, decoded: what an embedding reads.
#pragma once

#include <cstdint>

namespace spate::cpu {

// Output `lane` of a tile of layout `layout`: `inputs` floats, with the bits of Format::decode.
void decode_column(int layout, const uint8_t* tile, int lane, int64_t inputs, float* to);

}  // namespace spate::cpu
