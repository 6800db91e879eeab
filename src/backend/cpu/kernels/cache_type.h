// Element types of the KV cache.
#pragma once

#include <cstdint>

namespace spate::cpu {

enum class CacheType : uint8_t { f32, f16, bf16 };

}  // namespace spate::cpu
