// Element types of tensors, and where a tensor lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spate {

// e4m3: eight bits, 4 of exponent and 3 of mantissa; largest 448, no infinities.
enum class DType : uint8_t { f32, f16, bf16, i32, u8, e4m3 };

constexpr size_t size_of(DType type) {
  constexpr size_t kSizes[] = {4, 2, 2, 4, 1, 1};
  return kSizes[static_cast<int>(type)];
}

constexpr std::string_view name_of(DType type) {
  constexpr std::string_view kNames[] = {"f32", "f16", "bf16", "i32", "u8", "e4m3"};
  return kNames[static_cast<int>(type)];
}

struct Device {
  enum class Kind : uint8_t { cpu, cuda } kind = Kind::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

}  // namespace spate
