#include "backend/cpu/linear/place.h"

namespace spate::cpu {

size_t placed_bytes(const Format& format, int64_t out, int64_t in) {
  return static_cast<size_t>(tiles_of(out)) * tile_bytes(layout_of(format), in);
}

void place(Context& context, const HostWeight& weight, void* to) {
  const size_t bytes = tile_bytes(layout_of(*weight.format), weight.in);
  context.pool().parallel(tiles_of(weight.out), [&](int64_t index, int) {
    pack_tile(weight, index, static_cast<uint8_t*>(to) + static_cast<size_t>(index) * bytes);
  });
}

}  // namespace spate::cpu
