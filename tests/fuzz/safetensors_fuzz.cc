// Covers load/safetensors.cc: any bytes are either refused with an Error or give tensors whose
// bytes can all be read and decoded.
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "load/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const spate::SafetensorsFile file({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
    for (const auto& [name, tensor] : file.tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
      tensor.format->decode(tensor.bytes.data(), values);
    }
  } catch (const spate::Error&) {
  }
  return 0;
}
