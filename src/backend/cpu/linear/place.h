// Placing weights: all of them as tiles.
#pragma once

#include "backend/cpu/context.h"
#include "backend/tiles/pack.h"

namespace spate::cpu {

size_t placed_bytes(const Format& format, int64_t out, int64_t in);

// `to` has placed_bytes zeroed bytes.
void place(Context& context, const HostWeight& weight, void* to);

}  // namespace spate::cpu
