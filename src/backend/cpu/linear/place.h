// Placing weights: from checkpoint rows to tiles.
#pragma once

#include "backend/cpu/context.h"
#include "backend/cpu/linear/layout.h"
#include "quant/format.h"

namespace spate::cpu {

int layout_of(const Format& format);  // a TileFormat, for Weight::layout
const TileLayout& tile_layout(int layout);
size_t tile_bytes(int layout, int64_t in);  // of one tile of 16 outputs
size_t placed_bytes(const Format& format, int64_t out, int64_t in);

// `to` has placed_bytes zeroed bytes.
void place(Context& context, const HostWeight& weight, void* to);

}  // namespace spate::cpu
