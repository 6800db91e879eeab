// Weights on their way to the device, and how they lie there.
//
// Packed formats lie in tiles (tiles/layout.h) with their own bits. Plain floats lie as rows of the
// backend's activation type, each row padded with zeros to a multiple of 32 elements, so that
// kernels read whole pieces of it. With Quantize::fp8 the weights of layers lie as rows of e4m3
// (linear/f8.h).
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "backend/cuda/context.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/staging.h"
#include "backend/tiles/layout.h"
#include "base/threads.h"
#include "quant/format.h"

namespace spate::cuda {

constexpr int64_t kRowMultiple = 32;  // elements

inline bool is_packed(const Format& format) { return format.block > 1; }
inline TileFormat tile_format(const Weight& weight) {
  return static_cast<TileFormat>(weight.layout);  // f32 and bf16: plain rows
}
constexpr int kF8Layout = kTileFormats;  // of Weight::layout: rows of e4m3
inline bool is_f8(const Weight& weight) { return weight.layout == kF8Layout; }
// Elements from one row of plain floats to the next.
constexpr int64_t padded_row(int64_t in) {
  return (in + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}

size_t placed_bytes(const Context& context, const HostWeight& weight);

// Brings weights with bytes to their layout with all threads, part by part, while the parts before
// travel.
//
// Owner: CudaBackend.
class Placer {
 public:
  Placer(const Context& context, Staging& staging, int threads)
      : context_(context), staging_(staging), threads_(threads) {}

  // The parts as one weight: see Backend::place_joined. The copies are in the context's queue when
  // this returns; the parts are not needed any more.
  Weight place(WeightMemory& memory, std::span<const HostWeight> parts);

 private:
  void place_part(const Weight& placed, int64_t first_output, const HostWeight& part);

  // Makes unit `index`: all its bytes, at `to`.
  using MakeUnit = std::function<void(int64_t index, uint8_t* to)>;
  // Says where `count` units from `begin` on go, on the device; and what is done there with them.
  using PlaceOf = std::function<uint8_t*(int64_t begin)>;
  using Arrived = std::function<void(int64_t begin, int64_t count)>;

  void copy(int64_t units, size_t unit_bytes, const MakeUnit& make, const PlaceOf& place_of,
            const Arrived& arrived);

  const Context& context_;
  Staging& staging_;
  int threads_;
  std::unique_ptr<ThreadPool> pool_;  // there from the first weight on
};

// The same for random weights, which the device makes itself.
Weight place_random(const Context& context, WeightMemory& memory,
                    std::span<const HostWeight> parts);

}  // namespace spate::cuda
