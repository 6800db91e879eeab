// Random weights of any format, for tests of the ops that read them.
#pragma once

#include <cstring>
#include <vector>

#include "quant/format.h"
#include "tests/ops/support.h"

namespace spate::test {

// Offsets of a block's f16 scale and its minimum, or -1. All other bytes of a block may be
// anything, but for the first of mxfp4, an exponent.
struct ScaleFields {
  const Format* format;
  int scale, minimum;
};
inline ScaleFields scale_fields(const Format& format) {
  constexpr int kNone = -1;
  const ScaleFields all[] = {
      {&kQ4_0, 0, kNone}, {&kQ4_1, 0, 2},      {&kQ5_0, 0, kNone},  {&kQ5_1, 0, 2},
      {&kQ8_0, 0, kNone}, {&kIq4Nl, 0, kNone}, {&kQ2K, 80, 82},     {&kQ3K, 108, kNone},
      {&kQ4K, 0, 2},      {&kQ5K, 0, 2},       {&kQ6K, 208, kNone},
  };
  for (const ScaleFields& fields : all) {
    if (fields.format == &format) return fields;
  }
  return {&format, kNone, kNone};
}

struct RandomWeight {
  HostWeight host;  // views `bytes`
  std::vector<std::byte> bytes;

  RandomWeight(const Format& format, int64_t out, int64_t in, uint64_t seed) {
    Random random(seed);
    bytes.resize(static_cast<size_t>(out * format.row_bytes(in)));
    host = {.format = &format, .out = out, .in = in, .bytes = bytes.data()};
    if (format.block == 1) {
      for (int64_t i = 0; i < out * in; ++i) put_float(random, i);
      return;
    }
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.whole(0, 255));
    if (&format == &kMxfp4) {
      for (size_t block = 0; block < bytes.size(); block += 17) {
        bytes[block] = static_cast<std::byte>(random.whole(119, 123));
      }
      return;
    }
    const ScaleFields fields = scale_fields(format);
    for (size_t block = 0; block < bytes.size(); block += static_cast<size_t>(format.block_bytes)) {
      put_half(block + static_cast<size_t>(fields.scale), random.normal(0.02));
      if (fields.minimum >= 0) {
        put_half(block + static_cast<size_t>(fields.minimum), random.normal(0.1));
      }
    }
  }
  RandomWeight(const RandomWeight&) = delete;
  RandomWeight(RandomWeight&&) = default;

 private:
  void put_half(size_t offset, double value) {
    const uint16_t bits = f32_to_f16(static_cast<float>(value));
    std::memcpy(bytes.data() + offset, &bits, sizeof bits);
  }
  void put_float(Random& random, int64_t index) {
    const auto value = static_cast<float>(random.normal(0.3));
    const auto offset = static_cast<size_t>(index * host.format->block_bytes);
    if (host.format == &kF16) {
      put_half(offset, value);
    } else if (host.format == &kBf16) {
      const uint16_t bits = f32_to_bf16(value);
      std::memcpy(bytes.data() + offset, &bits, sizeof bits);
    } else {
      std::memcpy(bytes.data() + offset, &value, sizeof value);
    }
  }
};

}  // namespace spate::test
