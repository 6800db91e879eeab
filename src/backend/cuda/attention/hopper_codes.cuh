// Warps of the `hopper` kernel that turn tiles of codes, as they lie in a cache in e4m3, into the
// tiles of f16 that its products read: codes times their scales, which f16 holds exactly (KvView).
#pragma once

#include "backend/cuda/attention/hopper_load.cuh"
#include "backend/cuda/e4m3.cuh"

namespace spate::cuda {

// One of kConverterWarps warps. Together they take codes as load_items() brings them. A warp takes
// eight keys at a time; a lane 16 neighbouring codes of every 64 of one key.
template <int D, class C>
class CodeConverter {
  using Layout = HopperLayout<D, C>;
  static constexpr int kKeysAtOnce = 8, kBytesAtOnce = kKeysAtOnce * kSlabRowBytes;

 public:
  __device__ explicit CodeConverter(HopperShared<D, C>& shared)
      : shared_(shared),
        lane_(static_cast<int>(threadIdx.x) % 32),
        warp_(static_cast<int>(threadIdx.x) / 32 - kConsumerWarps - 1) {}

  __device__ void convert_items() {
    RingPlace<Layout::kItemSlots> item_place;
    while (true) {
      const int slot = item_place.slot;
      wait_for_phase(shared_.items_full + slot, item_place.parity);
      item_place.advance();
      const HopperItem item = shared_.items[slot];
      arrive(shared_.items_empty + slot);
      if (item.tokens == 0) return;
      const int end = item.position + item.step * (item.tokens - 1) + 1;  // of keys that are seen
      for (int tile = item.first_tile; tile <= item.end_tile; ++tile) {
        if (tile < item.end_tile) {
          convert<false>(shared_.keys, shared_.keys_full, shared_.keys_empty, key_place_, 0);
        }
        if (tile > item.first_tile) {
          convert<true>(shared_.values, shared_.values_full, shared_.values_empty, value_place_,
                        end - (tile - 1) * Layout::kKeys);
        }
      }
    }
  }

 private:
  // What a lane has of eight keys.
  struct Codes {
    uint4 of_slab[Layout::kSlabs];
    KvScales scales;
  };

  // The next tile of codes. Of values all but the first `seen` become zeros: they have no weight,
  // but must be numbers.
  template <bool kOfValues, int kBytes>
  __device__ void convert(unsigned char (&ring)[Layout::kStages][kBytes], Barrier* full,
                          Barrier* empty, RingPlace<Layout::kStages>& place, int seen) {
    const int stage = code_place_.slot;
    unsigned char* to = ring[place.slot];
    wait_for_phase(shared_.codes.full + stage, code_place_.parity);
    wait_for_phase(empty + place.slot, place.parity ^ 1);
    // Codes are on their way while those before them are converted.
    Codes next = load(stage, warp_);
#pragma unroll
    for (int i = 0; i * kConverterWarps * kKeysAtOnce < Layout::kKeys; ++i) {
      const int group = warp_ + i * kConverterWarps;
      if (group * kKeysAtOnce >= Layout::kKeys) break;
      const Codes codes = next;
      if ((group + kConverterWarps) * kKeysAtOnce < Layout::kKeys) {
        next = load(stage, group + kConverterWarps);
      }
      const float scale = kOfValues ? codes.scales.of_value() : codes.scales.of_key();
      store(to + group * kBytesAtOnce, codes, __float2half2_rn(scale));
    }
    if (kOfValues && seen < Layout::kKeys) {
      for (int group = warp_; group * kKeysAtOnce < Layout::kKeys; group += kConverterWarps) {
        if (group * kKeysAtOnce + key() >= seen) store(to + group * kBytesAtOnce, {}, {});
      }
    }
    publish_writes();
    __syncwarp();
    if (lane_ == 0) arrive(full + place.slot);
    arrive(shared_.codes.empty + stage);
    place.advance();
    code_place_.advance();
  }

  // The lane's key of eight. Eight neighbouring lanes have two, whose vectors meet all banks, of
  // codes and of f16: their numbers differ in bits 0 and 2.
  __device__ int key() const {
    const int pair = lane_ / 8;
    return lane_ % 8 < 4 ? pair : pair ^ 5;
  }

  // The lane's n-th vector of 16 bytes in a slab of eight keys.
  __device__ int place_of(int vector) const {
    return key() * kSlabRowBytes + (vector ^ key()) * 16;
  }

  // The lane has codes in slab n of f16.
  __device__ bool has(int slab) const { return D % 64 == 0 || 4 * slab + lane_ % 4 < D / 16; }

  __device__ Codes load(int stage, int group) const {
    const unsigned char* codes = shared_.codes.codes[stage] + group * kBytesAtOnce;
    Codes loaded{};
    loaded.scales = {shared_.codes.scales[stage][group * kKeysAtOnce + key()]};
#pragma unroll
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      if (!has(slab)) continue;
      loaded.of_slab[slab] = *reinterpret_cast<const uint4*>(codes + slab / 2 * Layout::kKeySlab +
                                                             place_of(slab % 2 * 4 + lane_ % 4));
    }
    return loaded;
  }

  __device__ void store(unsigned char* to, const Codes& codes, half2 scale) const {
#pragma unroll
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      if (!has(slab)) continue;
      const uint4& of_slab = codes.of_slab[slab];
      unsigned char* row = to + slab * Layout::kKeySlab;
      *reinterpret_cast<uint4*>(row + place_of(lane_ % 4 * 2)) =
          converted(of_slab.x, of_slab.y, scale);
      *reinterpret_cast<uint4*>(row + place_of(lane_ % 4 * 2 + 1)) =
          converted(of_slab.z, of_slab.w, scale);
    }
  }

  // Eight codes times a scale.
  __device__ static uint4 converted(uint32_t first, uint32_t second, half2 scale) {
    uint32_t pairs[4] = {low_as_f16(first), high_as_f16(first), low_as_f16(second),
                         high_as_f16(second)};
#pragma unroll
    for (uint32_t& pair : pairs) {
      half2& of_pair = reinterpret_cast<half2&>(pair);
      of_pair = __hmul2(of_pair, scale);
    }
    return {pairs[0], pairs[1], pairs[2], pairs[3]};
  }

  HopperShared<D, C>& shared_;
  const int lane_, warp_;
  RingPlace<Layout::kStages> key_place_, value_place_;
  RingPlace<Layout::kCodeStages> code_place_;
};

}  // namespace spate::cuda
