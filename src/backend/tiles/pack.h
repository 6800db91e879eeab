// From checkpoint rows to tiles.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/tiles/layout.h"
#include "quant/format.h"

namespace spate {

int layout_of(const Format& format);  // a TileFormat, for Weight::layout
const TileLayout& tile_layout(int layout);
int64_t tiles_of(int64_t out);
size_t tile_bytes(int layout, int64_t in);  // of one tile of 16 outputs

// Packs tile `index` of a weight; `tile` has tile_bytes zeroed bytes.
void pack_tile(const HostWeight& weight, int64_t index, uint8_t* tile);

}  // namespace spate
